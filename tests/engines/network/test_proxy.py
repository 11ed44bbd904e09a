"""The proxy against real sockets: what comes through, what does not, and what a server gets to see."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from bacalhau_jupyter.engines.network.accepting import Accepting
from bacalhau_jupyter.engines.network.domains import Domains
from bacalhau_jupyter.engines.network.proxy import CONNECTIONS, HEAD_LIMIT, REFUSALS, Proxy, Rules
from bacalhau_jupyter.transfer.core.reach import Reach

TIMEOUT_S = 60.0
PUBLIC = "127.0.0.2"
"""Stands for an address of the internet."""
GET = "GET http://good.example/ HTTP/1.1\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


@dataclass
class World:
    """A server of the internet, names that lead to it, and the proxy of a job."""

    server_port: int = 0
    proxy_port: int = 0
    received: bytearray = field(default_factory=bytearray)
    answer: bytes = OK
    ends_at: bytes = b"\r\n\r\n"
    names: dict[str, list[str]] = field(default_factory=dict)
    looked_up: list[str] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)

    def lookup(self, host: str, port: int, **options: Any) -> list[Any]:
        self.looked_up.append(host)
        addresses = self.names.get(host) or [host]
        address = addresses.pop(0) if len(addresses) > 1 else addresses[0]
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        if address == PUBLIC:
            return [(family, socket.SOCK_STREAM, 6, "", (address, self.server_port))]
        return list(socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while self.ends_at not in self.received:
            data = await reader.read(65536)
            if not data:
                break
            self.received += data
        writer.write(self.answer)
        await writer.drain()
        # What else comes is noted, too.
        with_rest = await reader.read(65536)
        self.received += with_rest
        writer.close()

    async def ask(self, text: str, *, then: bytes = b"") -> str:
        """Send a request and return all that is answered."""
        async with asyncio.timeout(TIMEOUT_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.proxy_port)
            writer.write(text.encode("latin-1"))
            if then:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(then)
                writer.write_eof()
            answer = (await reader.read()).decode()
            writer.close()
            return answer


@asynccontextmanager
async def serving(proxy: Proxy) -> AsyncIterator[int]:
    """Let a proxy answer connections as a door does; yield the port."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    listener.setblocking(False)
    accepting = Accepting(proxy.serve, CONNECTIONS + REFUSALS, HEAD_LIMIT)
    running = asyncio.create_task(accepting.run(listener))
    try:
        yield listener.getsockname()[1]
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await accepting.close()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    it = World(names={"good.example": [PUBLIC]})
    server = await asyncio.start_server(it.serve, PUBLIC, 0)
    it.server_port = server.sockets[0].getsockname()[1]
    reach = Reach((PUBLIC,), lookup=it.lookup)
    rules = Rules(
        "j-1", Domains(["good.example", ".rebound.example", "10.255.255.1"]), reach, it.blocked.append
    )
    async with serving(Proxy(rules)) as it.proxy_port:
        yield it
    server.close()


async def test_a_request_comes_through(world: World) -> None:
    answer = await world.ask(GET)
    assert answer == "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"
    assert world.received == (
        b"GET / HTTP/1.1\r\nHost: good.example\r\nX-Bacalhau-Job-ID: j-1\r\nConnection: close\r\n\r\n"
    )
    assert not world.blocked


async def test_a_tunnel_carries_bytes_both_ways(world: World) -> None:
    world.ends_at, world.answer = b"ping", b"pong"
    answer = await world.ask("CONNECT good.example:443 HTTP/1.1\r\n\r\n", then=b"ping")
    assert (answer, bytes(world.received)) == ("pong", b"ping")


@pytest.mark.parametrize(
    "body", ["Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"]
)
async def test_a_body_comes_through_and_what_follows_it_does_not(world: World, body: str) -> None:
    """A second request behind the first would reach the server without having been judged."""
    world.ends_at = b"hello"
    smuggled = "GET /admin HTTP/1.1\r\nHost: internal.example\r\n\r\n"
    answer = await world.ask(f"POST http://good.example/ HTTP/1.1\r\n{body}{smuggled}")
    assert "200 OK" in answer
    assert b"hello" in world.received
    assert b"internal" not in world.received


@pytest.mark.parametrize(
    ("request_line", "why"),
    [
        ("GET http://bad.example/ HTTP/1.1", "its Network.Domains are good.example, .rebound.example"),
        ("CONNECT bad.example:443 HTTP/1.1", "its Network.Domains are"),
        ("CONNECT good.example:22 HTTP/1.1", "tunnels (CONNECT) lead to port 443 only"),
        ("CONNECT good.example:80 HTTP/1.1", "tunnels (CONNECT) lead to port 443 only"),
        ("GET http://good.example:25/ HTTP/1.1", "plain HTTP leads to ports 80, 443 and above 1024 only"),
        ("GET http://127.0.0.1/ HTTP/1.1", "its Network.Domains are"),
        ("GET http://169.254.169.254/latest/meta-data HTTP/1.1", "its Network.Domains are"),
        ("GET http://[::1]/ HTTP/1.1", "its Network.Domains are"),
        ("GET http://0x7f000001/ HTTP/1.1", "its Network.Domains are"),
        ("GET http://good.example.evil.org/ HTTP/1.1", "its Network.Domains are"),
    ],
)
async def test_what_is_not_allowed_is_refused_and_told(world: World, request_line: str, why: str) -> None:
    answer = await world.ask(f"{request_line}\r\n\r\n")
    assert answer.startswith("HTTP/1.1 403 Forbidden\r\n")
    (sentence,) = world.blocked
    assert sentence.startswith("this job may not reach ")
    assert why in sentence
    assert f"bacalhau: {sentence}\n" in answer
    assert not world.received
    assert not world.looked_up, "a name that is not allowed must not reach a name server"


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.0.0.1", "an address of this machine"),
        ("169.254.169.254", "a link-local address"),
        ("fe80::1", "a link-local address"),
        ("100.100.100.200", "cloud metadata"),
        ("0.0.0.0", "an address of this machine"),
        ("::1", "an address of this machine"),
        ("::ffff:127.0.0.1", "an address of this machine"),
        ("192.168.7.7", "an address of a private network"),
        ("10.255.255.2", "an address of a private network"),
        ("fd00::1", "an address of a private network"),
        ("100.64.0.1", "an address of a private network"),
    ],
)
async def test_an_allowed_name_that_leads_inside_is_refused(world: World, address: str, kind: str) -> None:
    world.names["a.rebound.example"] = [address]
    answer = await world.ask("GET http://a.rebound.example/ HTTP/1.1\r\n\r\n")
    assert answer.startswith("HTTP/1.1 403")
    assert kind in world.blocked[0]


async def test_a_name_is_looked_up_once_and_connected_to_there(world: World) -> None:
    """DNS rebinding: the second answer would lead elsewhere."""
    world.names["good.example"] = [PUBLIC, "127.0.0.1"]
    assert "200 OK" in await world.ask(GET)
    assert world.looked_up == ["good.example"]
    answer = await world.ask(GET)
    assert answer.startswith("HTTP/1.1 403")


async def test_a_private_address_that_the_list_names_itself_is_tried(world: World) -> None:
    world.names["10.255.255.1"] = ["10.255.255.1"]
    rules = Reach((), lookup=world.lookup)
    assert rules.public("10.255.255.1", 80, "x", named=Domains(["10.255.255.1"]).addresses)
    with pytest.raises(Exception, match="private network"):
        rules.public("10.255.255.1", 80, "x")


async def test_a_redirect_is_judged_like_any_request(world: World) -> None:
    world.answer = b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"
    assert "302 Found" in await world.ask(GET)
    assert "403" in await world.ask("GET http://169.254.169.254/ HTTP/1.1\r\n\r\n")


async def test_an_answer_that_is_none_is_not_passed_on(world: World) -> None:
    world.answer = b"220 mail.example ESMTP\r\n\r\n"
    assert (await world.ask(GET)).startswith("HTTP/1.1 502")


async def test_a_server_that_is_not_there_is_said_so(world: World) -> None:
    world.server_port = 1
    answer = await world.ask(GET)
    assert answer.startswith("HTTP/1.1 502")
    assert "good.example:80 can't be reached: " in answer


async def test_a_head_without_an_end_is_refused(world: World) -> None:
    answer = await world.ask("GET http://good.example/ HTTP/1.1\r\nA: " + "x" * 200_000)
    assert answer.startswith("HTTP/1.1 400")


async def test_names_that_nobody_answers_for_neither_block_other_jobs_nor_the_end(world: World) -> None:
    answers = threading.Event()

    def never(host: str, port: int, **options: Any) -> list[Any]:
        answers.wait(TIMEOUT_S * 3)
        return []

    stuck = Proxy(Rules("j-2", Domains([".slow.example"]), Reach((), lookup=never), world.blocked.append))
    own = world.proxy_port
    async with serving(stuck) as world.proxy_port:
        asked = [
            asyncio.create_task(world.ask(f"GET http://{n}.slow.example/ HTTP/1.1\r\n\r\n"))
            for n in range(40)
        ]
        await asyncio.sleep(0)
        world.proxy_port = own
        assert "200 OK" in await world.ask(GET)
    assert await asyncio.gather(*asked) == [""] * 40
    answers.set()


async def test_a_refusal_is_short_however_many_domains_a_job_lists(world: World) -> None:
    many = Proxy(
        Rules("j-1", Domains([f"h{n}.example" for n in range(50_000)]), Reach(), world.blocked.append)
    )
    async with serving(many) as world.proxy_port:
        answer = await world.ask(GET)
    assert "h0.example, h1.example" in answer
    assert "and 49980 more" in answer
    assert len(answer) < 2000
    assert len(world.blocked[0]) < 2000
