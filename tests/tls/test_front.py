"""The front with real clients, strangers who say nothing or nonsense, and an authority that checks a name."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest
import trustme
from aiohttp import web

from bacalhau_jupyter.api.app import runner_of
from bacalhau_jupyter.api.http.connections import ConnectionLimits
from bacalhau_jupyter.api.http.serving import Gatekeeper
from bacalhau_jupyter.auth.access import Access
from bacalhau_jupyter.auth.sockets import TrustedSockets
from bacalhau_jupyter.tls.front import Front
from tests.tls.test_hello import hello_of

AUTHORITY = trustme.CA()
AMPLE = ConnectionLimits(proven=500, own=500, strangers=500, stranger=500, sockets=10)
NARROW = ConnectionLimits(proven=8, own=8, strangers=8, stranger=8, sockets=10)
LIMIT_S = 60
USUAL_S = 20.0


def server_context(*names: str, protocols: tuple[str, ...] = ("http/1.1",)) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert(*names).configure_cert(context)
    context.set_alpn_protocols(protocols)
    return context


def client_context(*protocols: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    if protocols:
        context.set_alpn_protocols(protocols)
    return context


@dataclass
class Shown:
    """What the front shows."""

    ordinary: ssl.SSLContext | None = field(
        default_factory=lambda: server_context("localhost", "127.0.0.1", "::1")
    )
    checked: dict[str, ssl.SSLContext] = field(default_factory=dict)

    def context(self, server_name: str, peer: str) -> ssl.SSLContext | None:
        assert peer in ("127.0.0.1", "::1")
        return self.ordinary

    def challenge(self, server_name: str) -> ssl.SSLContext | None:
        return self.checked.get(server_name)


@dataclass
class Served:
    """A front that serves."""

    port: int
    gatekeeper: Gatekeeper
    shown: Shown
    front: Front

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"


async def echo(request: web.Request) -> web.StreamResponse:
    if "Upgrade" not in request.headers:
        return web.json_response({"secure": request.secure, "length": len(await request.read())})
    socket_ = web.WebSocketResponse()
    await socket_.prepare(request)
    async for message in socket_:
        await socket_.send_str(message.data)
    return socket_


@asynccontextmanager
async def serving(
    *, host: str = "127.0.0.1", timeout_s: float = USUAL_S, limits: ConnectionLimits = AMPLE
) -> AsyncIterator[Served]:
    problems: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
    sockets = TrustedSockets(enabled=False)
    gatekeeper = Gatekeeper(Access([], sockets), limits)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", echo)
    runner = runner_of(app, gatekeeper)
    await runner.setup()
    assert runner.server is not None
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family, backlog=1024) as listener:
        shown = Shown()
        front = Front(listener, runner.server, shown, gatekeeper, timeout_s=timeout_s)
        front.start()
        try:
            yield Served(listener.getsockname()[1], gatekeeper, shown, front)
        finally:
            async with asyncio.timeout(LIMIT_S):
                await front.close()
                await runner.cleanup()
            sockets.close()
    assert problems == []
    assert len(gatekeeper.book) == 0, "a connection was not crossed out"


async def fetched(served: Served, host: str = "localhost") -> dict[str, object]:
    connector = aiohttp.TCPConnector(ssl=client_context())
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.post(f"https://{host}:{served.port}/", data=b"x" * 100_000) as answer,
    ):
        assert answer.status == 200
        return dict(await answer.json())


async def opened(served: Served) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", served.port)


async def _give_time(served: Served) -> None:
    """Let all that are accepted from now on have the usual time: a handshake may take its own on a busy machine."""
    # It is accepted after all that came before, and closed once their time runs.
    reader, writer = await opened(served)
    writer.write(b"\0")
    assert await rest_of(reader) == b""
    writer.close()
    served.front._timeout_s = USUAL_S


async def rest_of(reader: asyncio.StreamReader) -> bytes:
    """Return all that comes until the connection ends; being reset is an end, too."""
    async with asyncio.timeout(LIMIT_S):
        with contextlib.suppress(ConnectionError):
            return await reader.read()
        return b""


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_requests_and_websockets_are_served_encrypted(host: str) -> None:
    async with serving(host=host) as served:
        shown = f"[{host}]" if ":" in host else host
        assert await fetched(served, shown) == {"secure": True, "length": 100_000}
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=client_context())) as session,
            session.ws_connect(f"wss://{shown}:{served.port}/") as websocket,
        ):
            await websocket.send_str("hello")
            assert await websocket.receive_str(timeout=LIMIT_S) == "hello"


async def test_only_http_1_1_is_spoken() -> None:
    async with serving() as served:
        _, writer = await asyncio.open_connection(
            "localhost", served.port, ssl=client_context("h2", "http/1.1"), family=socket.AF_INET
        )
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
        writer.close()


@pytest.mark.parametrize("size", [0, 5_000_000])
async def test_a_plain_request_gets_a_sentence_even_with_a_long_body(size: int) -> None:
    async with (
        serving() as served,
        aiohttp.ClientSession() as session,
        session.post(
            f"http://127.0.0.1:{served.port}/api/v1/orchestrator/jobs", data=io.BytesIO(b"x" * size)
        ) as answer,
    ):
        assert answer.status == 400
        assert json.loads(await answer.read())["Message"] == "this address speaks HTTPS, not HTTP"


async def test_silent_connections_end_at_the_time_limit_and_others_are_served_meanwhile() -> None:
    async with serving(timeout_s=1.0) as served:
        silent = [await opened(served) for _ in range(300)]
        await _give_time(served)
        assert (await fetched(served))["secure"] is True
        assert await asyncio.gather(*(rest_of(reader) for reader, _ in silent)) == [b""] * 300
        for _, writer in silent:
            writer.close()


async def test_whoever_is_silent_gives_way_to_newcomers_once_there_are_too_many() -> None:
    async with serving(limits=NARROW) as served:
        silent = [await opened(served) for _ in range(9)]
        # The oldest one, long before the time limit.
        assert await rest_of(silent[0][0]) == b""
        assert (await fetched(served))["secure"] is True
        for _, writer in silent:
            writer.close()


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\0\1\2\3",
        b"\x80\x2e\x01\x00\x02",
        b"\x16\x03\x01\x00\x04junk",
        b"\x16\x03\x01\xff\xff" + b"x" * 20_000,
        hello_of("localhost", ())[:50],
        b"GET / HTTP/1.1\r\nHost: half",
        b"\r\n",
    ],
)
async def test_nonsense_ends_the_connection_without_an_answer_in_clear(nonsense: bytes) -> None:
    async with serving(timeout_s=1.0) as served:
        reader, writer = await opened(served)
        writer.write(nonsense)
        answer = await rest_of(reader)
        # OpenSSL says why in an alert (21); nothing else may be said.
        assert answer == b"" or answer[0] == 21
        writer.close()
        await _give_time(served)
        assert (await fetched(served))["secure"] is True


async def test_a_hello_that_comes_in_pieces_is_understood() -> None:
    async with serving() as served:
        served.shown.checked["name.example"] = server_context("name.example", protocols=("acme-tls/1",))
        hello = hello_of("name.example", ("acme-tls/1",))
        reader, writer = await opened(served)
        for start in range(0, len(hello), 100):
            writer.write(hello[start : start + 100])
            await writer.drain()
            await asyncio.sleep(0)
        async with asyncio.timeout(LIMIT_S):
            assert (await reader.readexactly(1))[0] == 22, "the other side goes on with the handshake"
        writer.close()


async def test_an_authority_gets_its_proof_and_everybody_else_the_ordinary_certificate() -> None:
    async with serving() as served:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection(
                "127.0.0.1", served.port, ssl=client_context("acme-tls/1"), server_hostname="localhost"
            )
        served.shown.checked["localhost"] = server_context(
            "localhost", "proof.example", protocols=("acme-tls/1",)
        )
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", served.port, ssl=client_context("acme-tls/1"), server_hostname="localhost"
        )
        certificate = writer.get_extra_info("ssl_object").getpeercert()
        assert ("DNS", "proof.example") in certificate["subjectAltName"]
        assert await rest_of(reader) == b""
        writer.close()
        assert (await fetched(served))["secure"] is True


async def test_without_a_certificate_connections_are_closed() -> None:
    async with serving() as served:
        served.shown.ordinary = None
        with pytest.raises(aiohttp.ClientConnectionError):
            await fetched(served)


async def test_closing_ends_what_has_not_shown_yet_what_it_is() -> None:
    async with serving() as served:
        half, silent = await opened(served), await opened(served)
        half[1].write(hello_of("localhost", ())[:20])
        assert (await fetched(served))["secure"] is True
        await served.front.close()
        assert [await rest_of(reader) for reader, _ in (half, silent)] == [b"", b""]
        for _, writer in (half, silent):
            writer.close()
