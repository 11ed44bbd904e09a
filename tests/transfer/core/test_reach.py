"""What a job's URL may lead to: each address that is connected to, after each look-up and each redirect."""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.models.errors import BacalhauError, ConfigurationError, Forbidden, NetworkFailure
from bacalhau_jupyter.transfer.core.ip import is_own_address
from bacalhau_jupyter.transfer.core.reach import KEY, Reach
from bacalhau_jupyter.transfer.http.download import download
from bacalhau_jupyter.transfer.http.requests import content_length
from tests.services.http_server import BadHttpServer

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

INWARD = [
    "127.0.0.1",
    "127.9.9.9",
    "0.0.0.0",
    "0.1.2.3",
    "169.254.169.254",
    "224.0.0.1",
    "255.255.255.255",
    "100.100.100.200",
    "[::1]",
    "[::]",
    "[fe80::1]",
    "[ff02::1]",
    "[fd00:ec2::254]",
    "[::ffff:127.0.0.1]",
    "[::ffff:169.254.169.254]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::a9fe:a9fe]",
    "[::ffff:0:127.0.0.1]",
    "[2002:7f00:1::]",
    "[2002:a9fe:a9fe::1]",
    "[2001:0:7f00:1::]",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "127.1",
    "017700000001",
    "127.0.0.1.",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "a.localhost",
]


@pytest.mark.parametrize("host", INWARD)
def test_an_address_of_this_machine_is_refused_without_a_look_up(host: str) -> None:
    def never(*_: Any, **__: Any) -> list[Any]:
        raise AssertionError("nothing is looked up")

    with pytest.raises(Forbidden, match="which jobs may not name") as caught:
        Reach(lookup=never).check_url(f"http://{host}:8080/x", "Test")
    assert KEY in caught.value.hint


EMBEDDED = [
    lambda low: (0xFFFF << 32) + low,  # mapped
    lambda low: (0xFFFF << 48) + low,  # translated
    lambda low: (0x0064FF9B << 96) + low,  # NAT64
    lambda low: (0x0064FF9B0001 << 80) + low,  # NAT64 of one's own network
    lambda low: (0x2002 << 112) + (low << 80),  # 6to4
    lambda low: (0x20010000 << 96) + (0xC0000201 << 64) + (low ^ 0xFFFFFFFF),  # Teredo's client
]


@given(
    st.sampled_from(["127.0.0.0/8", "169.254.0.0/16", "0.0.0.0/8", "224.0.0.0/3"]),
    st.integers(0, 2**32 - 1),
    st.sampled_from(EMBEDDED),
)
def test_no_form_of_ipv6_carries_an_inward_address(
    network: str, number: int, embed: Callable[[int], int]
) -> None:
    inward = ipaddress.ip_network(network)
    low = int(inward.network_address) | (number & int(inward.hostmask))
    with pytest.raises(Forbidden):
        stranger().check_host(f"[{ipaddress.IPv6Address(embed(low))}]", 80, "Test")


@pytest.mark.parametrize("host", [*INWARD, "ip6-localhost"])
async def test_it_is_not_connected_to_either(http_server: BadHttpServer, tmp_path: Path, host: str) -> None:
    port = http_server.url.rpartition(":")[2]
    with pytest.raises(BacalhauError):
        await download(f"http://{host}:{port}/file", tmp_path / "x", max_retries=0, reach=Reach())
    assert await content_length(f"http://{host}:{port}/file", reach=Reach()) is None
    assert http_server.requests == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "LOCALHOST"])
async def test_without_the_rule_it_is(http_server: BadHttpServer, tmp_path: Path, host: str) -> None:
    # The same requests reach the server, so the test above sees what it means to see.
    port = http_server.url.rpartition(":")[2]
    result = await download(f"http://{host}:{port}/file", tmp_path / "x", max_retries=0)
    assert result.bytes == len(http_server.content)


@pytest.mark.parametrize(
    "host", ["192.0.2.1", "10.0.0.7", "192.168.1.5", "172.17.3.4", "[2001:db8::1]", "example.org"]
)
def test_other_machines_may_be_named_private_networks_too(host: str) -> None:
    Reach().check_url(f"https://{host}/x", "Test")


def answers(*rounds: list[str]) -> Callable[..., list[Any]]:
    """A name server that answers each question with the next list, and the last one from then on."""
    left = list(rounds)

    def lookup(host: str, port: int, **_: Any) -> list[Any]:
        addresses = left.pop(0) if len(left) > 1 else left[0]
        families = {4: socket.AF_INET, 6: socket.AF_INET6}
        return [
            (families[ipaddress.ip_address(text).version], socket.SOCK_STREAM, 6, "", (text, port))
            for text in addresses
        ]

    return lookup


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["192.0.2.1", "127.0.0.1"], ["::ffff:127.0.0.1"], ["fe80::1"]]
)
async def test_a_name_that_leads_to_this_machine_is_refused(
    http_server: BadHttpServer, tmp_path: Path, addresses: list[str]
) -> None:
    port = http_server.url.rpartition(":")[2]
    reach = Reach(lookup=answers(addresses))
    with pytest.raises(Forbidden, match=r"files\.example leads to"):
        await download(f"http://files.example:{port}/file", tmp_path / "x", reach=reach)
    with pytest.raises(Forbidden):
        reach.connect("files.example", int(port), 5, "Test")
    assert http_server.requests == []


def own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no network but loopback")
        return str(probe.getsockname()[0])


def test_addresses_of_this_machines_interfaces_are_its_own() -> None:
    own = own_address()
    assert is_own_address(ipaddress.ip_address(own))
    assert not is_own_address(ipaddress.ip_address("192.0.2.1"))
    with pytest.raises(Forbidden, match="an address of this machine"):
        Reach().check_host(own, 80, "Test")


RESULT = "/api/v1/compute/results/e-1.tar.gz"
CONTENT = f"/api/v1/orchestrator/uploads/content/{'0' * 64}/x.csv"
SIGNATURE = "?expires=1&signature=abc"


@pytest.mark.parametrize("path", [RESULT, CONTENT])
def test_a_signed_link_of_a_node_may_lead_to_this_machine(path: str) -> None:
    for host in ("127.0.0.1:1234", "[::1]:1234", f"{own_address()}:80"):
        Reach().check_link(f"http://{host}{path}{SIGNATURE}", "Test")
        with pytest.raises(Forbidden):
            Reach().check_url(f"http://{host}{path}{SIGNATURE}", "Test")


@pytest.mark.parametrize(
    "url",
    [
        f"http://127.0.0.1{RESULT}",
        f"http://127.0.0.1{RESULT}?expires=1",
        f"http://127.0.0.1/x{RESULT}{SIGNATURE}",
        f"http://127.0.0.1{RESULT}/x{SIGNATURE}",
        f"http://127.0.0.1/x{SIGNATURE}#{RESULT}",
        f"http://127.0.0.1/{SIGNATURE}&x={RESULT}",
        f"http://127.0.0.1{CONTENT}/../../x{SIGNATURE}",
        f"http://127.0.0.1{CONTENT.removesuffix('x.csv')}..{SIGNATURE}",
        f"http://127.0.0.1{CONTENT.removesuffix('x.csv')}%2E%2e{SIGNATURE}",
        f"http://localhost{RESULT}{SIGNATURE}",
        f"http://[::ffff:127.0.0.1]{RESULT}{SIGNATURE}",
        f"http://0x7f.1{RESULT}{SIGNATURE}",
        f"http://169.254.169.254{RESULT}{SIGNATURE}",
        f"http://100.100.100.200{CONTENT}{SIGNATURE}",
        f"http://127.0.0.1/latest/meta-data{SIGNATURE}",
    ],
)
def test_nothing_else_on_this_machine_is_taken_for_a_link_of_a_node(url: str) -> None:
    with pytest.raises(Forbidden):
        Reach().check_link(url, "Test")


async def test_a_link_of_a_node_that_redirects_leads_to_nothing_else_here(tmp_path: Path) -> None:
    asked: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        if request.path == RESULT:
            raise web.HTTPFound("/secret")
        return web.Response(text="secret")

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)
    async with TestServer(app, host="127.0.0.1") as server:
        with pytest.raises(Forbidden):
            await download(str(server.make_url(f"{RESULT}{SIGNATURE}")), tmp_path / "x", reach=Reach())
    assert asked == [RESULT]


@asynccontextmanager
async def elsewhere(handler: Handler) -> AsyncIterator[str]:
    """A server on an address that is not loopback; with `STRANGER` it counts as another machine's."""
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)
    async with TestServer(app, host=own_address()) as server:
        yield f"{server.host}:{server.port}"


def stranger(**options: Any) -> Reach:
    return Reach(is_own=lambda address: False, **options)


async def test_a_redirect_is_judged_like_the_url(http_server: BadHttpServer, tmp_path: Path) -> None:
    async def away(request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound(f"{http_server.url}/file")

    async with elsewhere(away) as place:
        with pytest.raises(NetworkFailure, match="redirects to an address of this machine"):
            await download(f"http://{place}/x", tmp_path / "x", reach=stranger())
    assert http_server.requests == []


async def test_a_redirect_to_a_name_that_leads_inward_is_refused(
    http_server: BadHttpServer, tmp_path: Path
) -> None:
    port = http_server.url.rpartition(":")[2]

    async def away(request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound(f"http://inward.example:{port}/file")

    async with elsewhere(away) as place:
        with pytest.raises(Forbidden, match=r"inward\.example leads to 127\.0\.0\.1"):
            await download(f"http://{place}/x", tmp_path / "x", reach=stranger(lookup=answers(["127.0.0.1"])))
    assert http_server.requests == []


async def test_a_name_server_that_changes_its_mind_gets_nowhere(tmp_path: Path) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"elsewhere")

    async with elsewhere(handler) as place:
        address, _, port = place.partition(":")
        # Another machine when its size is asked for, this one when it is fetched.
        reach = stranger(lookup=answers([address], ["127.0.0.1"]))
        assert await content_length(f"http://rebound.example:{port}/x", reach=reach) == 9
        with pytest.raises(Forbidden, match=r"leads to 127\.0\.0\.1"):
            await download(f"http://rebound.example:{port}/x", tmp_path / "x", reach=reach)


async def test_what_was_judged_is_what_is_connected_to(tmp_path: Path) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"elsewhere")

    async with elsewhere(handler) as place:
        address, _, port = place.partition(":")
        asked: list[str] = []
        inner = answers([address], ["127.0.0.1"])

        def lookup(host: str, port: int, **options: Any) -> list[Any]:
            asked.append(host)
            return inner(host, port, **options)

        await download(f"http://once.example:{port}/x", tmp_path / "x", reach=stranger(lookup=lookup))
    assert asked == ["once.example"]
    assert (tmp_path / "x").read_bytes() == b"elsewhere"


@pytest.mark.parametrize(
    ("exception", "host", "allowed"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("127.0.0.1", "[::ffff:127.0.0.1]", True),
        ("127.0.0.1", "0x7f.1", True),
        ("127.0.0.0/8", "127.5.5.5", True),
        ("127.0.0.1:8080", "127.0.0.1", True),
        ("127.0.0.1:8081", "127.0.0.1", False),
        ("localhost", "localhost", True),
        ("localhost", "LOCALHOST.", True),
        ("localhost", "127.0.0.1", False),
        ("localhost:8080", "localhost", True),
        ("localhost:80", "localhost", False),
        ("[::1]:8080", "[::1]", True),
        ("::1", "[::1]", True),
        ("0.0.0.0/0", "169.254.169.254", True),
        ("mirror.example", "localhost", False),
    ],
)
def test_the_nodes_owner_lists_exceptions(exception: str, host: str, allowed: bool) -> None:
    reach = Reach([exception])
    if allowed:
        reach.check_url(f"http://{host}:8080/x", "Test")
    else:
        with pytest.raises(Forbidden):
            reach.check_url(f"http://{host}:8080/x", "Test")


async def test_a_listed_name_may_lead_to_this_machine(http_server: BadHttpServer, tmp_path: Path) -> None:
    port = http_server.url.rpartition(":")[2]
    reach = Reach([f"mirror.example:{port}"], lookup=answers(["127.0.0.1"]))
    result = await download(f"http://mirror.example:{port}/file", tmp_path / "x", reach=reach)
    assert result.bytes == len(http_server.content)


@pytest.mark.parametrize("text", ["http://x/", "a b", "x:y", ":80", "10.0.0.0/33", "user@host", "*.example"])
def test_an_invalid_exception_is_named(text: str) -> None:
    with pytest.raises(ConfigurationError, match="which is not a host, host:port or network"):
        Reach([text])


# ---- through a proxy of the environment


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What a proxy on this machine was asked for; it answers everything itself."""
    asked: list[str] = []

    def serve(connection: socket.socket) -> None:
        with connection:
            asked.append(connection.recv(65536).split(b" ")[1].decode())
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nproxy")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        over = threading.Event()

        def accept() -> None:
            while not over.is_set():
                try:
                    serve(listener.accept()[0])
                except TimeoutError:
                    continue

        thread = threading.Thread(target=accept)
        thread.start()
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{listener.getsockname()[1]}")
        yield asked
        over.set()
        thread.join(30)


def unknown(host: str, port: int, **_: Any) -> list[Any]:
    raise socket.gaierror(socket.EAI_NONAME, "unknown here")


@pytest.mark.parametrize("lookup", [unknown, answers(["192.0.2.1"])])
async def test_other_machines_are_asked_through_the_proxy(
    proxied: list[str], tmp_path: Path, lookup: Callable[..., list[Any]]
) -> None:
    await download("http://files.example/x", tmp_path / "x", reach=Reach(lookup=lookup))
    assert proxied == ["http://files.example/x"]


@pytest.mark.parametrize(
    "url", ["http://inward.example/x", "http://169.254.169.254/x", "http://127.0.0.1:9/x"]
)
async def test_a_proxy_is_not_asked_for_this_machine(proxied: list[str], tmp_path: Path, url: str) -> None:
    with pytest.raises(Forbidden):
        await download(url, tmp_path / "x", reach=Reach(lookup=answers(["127.0.0.1"])))
    assert proxied == []
