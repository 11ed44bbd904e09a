from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator

import pytest

from bacalhau_jupyter.auth.access import Access
from bacalhau_jupyter.auth.node_key import NodeKey
from bacalhau_jupyter.auth.peers import ProcessTable
from bacalhau_jupyter.auth.principals import OWNER
from bacalhau_jupyter.auth.sockets import NOBODY_UID, TrustedSockets
from bacalhau_jupyter.lib.sockdiag import ESTABLISHED, Endpoint, LookupUnavailable, PeerSocket
from tests.auth.callers import is_admitted

KEY = "k" * 40
LOCAL = {"Host": "127.0.0.1:1234"}


@pytest.fixture
async def transport() -> AsyncIterator[asyncio.BaseTransport]:
    """The server's end of a connection from this very process."""
    accepted: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()

    async def on_client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await accepted.put(writer)

    server = await asyncio.start_server(on_client, "127.0.0.1", 0)
    async with server:
        _, client = await asyncio.open_connection(*server.sockets[0].getsockname())
        ours = await accepted.get()
        yield ours.transport
        for writer in (client, ours):
            writer.close()
            await writer.wait_closed()


@pytest.fixture
def sockets(request: pytest.FixtureRequest) -> TrustedSockets:
    # The callers are in the test's own process.
    made = TrustedSockets(processes=ProcessTable(os.getuid(), pid=-1))
    request.addfinalizer(made.close)
    return made


@pytest.mark.skipif(sys.platform != "linux", reason="asks the Linux kernel")
async def test_our_own_user_needs_nothing_whatever_bearer_comes_along(
    transport: asyncio.BaseTransport, sockets: TrustedSockets
) -> None:
    access = Access([NodeKey(KEY)], sockets)
    for authorization in ({}, {"Authorization": "Bearer stale"}, {"Authorization": "Basic eDp5"}):
        assert await access.identify(LOCAL | authorization, transport) == OWNER


@pytest.mark.skipif(sys.platform != "linux", reason="asks the Linux kernel")
async def test_the_node_itself_is_nobody_without_the_key(transport: asyncio.BaseTransport) -> None:
    sockets = TrustedSockets()
    assert not await is_admitted(Access([NodeKey(KEY)], sockets), LOCAL, transport)
    assert await is_admitted(
        Access([NodeKey(KEY)], sockets), {**LOCAL, "Authorization": f"Bearer {KEY}"}, transport
    )
    sockets.close()


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "127.0.0.1:1234", "Origin": "http://127.0.0.1:1234"},
        {"Host": "127.0.0.1:1234", "Origin": "null"},
        {"Host": "127.0.0.1:1234", "Sec-Fetch-Site": "same-origin"},
        {"Host": "127.0.0.1:1234", "Sec-Fetch-Site": "cross-site"},
        {"Host": "rebound.example:1234"},
        {"Host": "10.0.0.1:1234"},
        {"Host": "127.0.0.1.example"},
        {"Host": "[::1].example"},
        {"Host": "[::1]example"},
        {"Host": "[::1"},
        {"Host": ""},
        {},
    ],
)
async def test_what_a_browser_may_have_sent_needs_the_key(
    transport: asyncio.BaseTransport, sockets: TrustedSockets, headers: dict[str, str]
) -> None:
    access = Access([NodeKey(KEY)], sockets)
    assert not await is_admitted(access, headers, transport)
    assert await access.identify({**headers, "Authorization": f"Bearer {KEY}"}, transport) == OWNER


@pytest.mark.parametrize(
    "header",
    [
        "Forwarded",
        "Via",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Real-IP",
        "x-real-ip",
        "True-Client-IP",
        "CF-Connecting-IP",
        "X-Client-IP",
        "X-Original-URL",
        "X-ProxyContextPath",
        "X-Envoy-External-Address",
    ],
)
async def test_what_a_proxy_passes_on_needs_the_key(
    transport: asyncio.BaseTransport, sockets: TrustedSockets, header: str
) -> None:
    access = Access([NodeKey(KEY)], sockets)
    assert await access.identify(LOCAL, transport) == OWNER
    assert not await is_admitted(access, LOCAL | {header: "192.0.2.1"}, transport)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.9.9.9:1", "localhost:1234", "LOCALHOST", "[::1]:1234", "node1.lan:1234"]
)
async def test_the_names_of_this_machine_are_fine(sockets: TrustedSockets, host: str) -> None:
    assert not Access([NodeKey(KEY)], sockets, host_names=("node1.lan",)).looks_like_a_browser({"Host": host})


@pytest.mark.parametrize(
    "header", ["", KEY, f"Basic {KEY}", "Bearer", "Bearer ", f"Bearer {KEY}x", "Bearer é\udcff"]
)
async def test_only_the_exact_key_as_a_bearer_counts(header: str) -> None:
    sockets = TrustedSockets(enabled=False)
    access = Access([NodeKey(KEY)], sockets)
    assert not await is_admitted(access, {"Authorization": header}, None)
    assert not await is_admitted(Access([NodeKey("")], sockets), {"Authorization": header}, None)
    assert await is_admitted(access, {"Authorization": f"bearer {KEY}"}, None)
    sockets.close()


async def test_without_local_trust_only_the_key_counts(transport: asyncio.BaseTransport) -> None:
    sockets = TrustedSockets(enabled=False)
    assert not await is_admitted(Access([NodeKey(KEY)], sockets), LOCAL, transport)
    assert await is_admitted(
        Access([NodeKey(KEY)], sockets), {**LOCAL, "Authorization": f"Bearer {KEY}"}, transport
    )
    sockets.close()


def answering(*peers: PeerSocket) -> TrustedSockets:
    """A look at connections whose kernel says this; our uid is 1600."""

    class Everybody:
        def holds_as_equal(self, inode: int, *, quick: bool = False) -> bool:
            return True

    def lookup(local: Endpoint, remote: Endpoint) -> list[PeerSocket]:
        return list(peers)

    return TrustedSockets(lookup=lookup, processes=Everybody(), uid=1600)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("peers", "trusted"),
    [
        ([PeerSocket(1600, 7, ESTABLISHED)], True),
        ([], False),
        ([PeerSocket(1600, 7, ESTABLISHED), PeerSocket(1600, 8, ESTABLISHED)], False),
        ([PeerSocket(1600, 0, ESTABLISHED)], False),
        ([PeerSocket(1600, 7, 4)], False),
        ([PeerSocket(0, 7, ESTABLISHED)], False),
        ([PeerSocket(NOBODY_UID, 7, ESTABLISHED)], False),
    ],
)
async def test_only_one_established_socket_of_our_user_is_trusted(
    transport: asyncio.BaseTransport, peers: list[PeerSocket], trusted: bool
) -> None:
    sockets = answering(*peers)
    assert await sockets.is_ours(transport) is trusted
    sockets.close()


async def test_nobody_trusts_nobody(transport: asyncio.BaseTransport) -> None:
    sockets = TrustedSockets(uid=NOBODY_UID)
    assert not await sockets.is_ours(transport)
    sockets.close()


async def test_a_kernel_that_does_not_answer_means_no_trust(transport: asyncio.BaseTransport) -> None:
    def lookup(local: Endpoint, remote: Endpoint) -> list[PeerSocket]:
        raise LookupUnavailable("not here")

    sockets = TrustedSockets(lookup=lookup)
    assert not await sockets.is_ours(transport)
    sockets.close()


async def test_a_connection_is_judged_once(transport: asyncio.BaseTransport) -> None:
    asked = []

    def lookup(local: Endpoint, remote: Endpoint) -> list[PeerSocket]:
        asked.append((local, remote))
        return []

    sockets = TrustedSockets(lookup=lookup)
    assert [await sockets.is_ours(transport) for _ in range(3)] == [False] * 3
    assert len(asked) == 1
    sockets.close()


async def test_a_unix_socket_is_not_trusted(sockets: TrustedSockets) -> None:
    near, far = socket.socketpair()
    near.setblocking(False)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=near)
    try:
        assert not await sockets.is_ours(transport)
    finally:
        transport.close()
        far.close()
        await asyncio.sleep(0)
