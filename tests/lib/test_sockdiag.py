from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from bacalhau_jupyter.lib.sockdiag import (
    ESTABLISHED,
    Endpoint,
    Lookup,
    LookupUnavailable,
    NetlinkLookup,
    PeerSocket,
    ProcLookup,
    endpoint,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks the Linux kernel")

WAYS = [
    pytest.param(socket.AF_INET, "127.0.0.1", "127.0.0.1", id="ipv4"),
    pytest.param(socket.AF_INET6, "::1", "::1", id="ipv6"),
    pytest.param(socket.AF_INET, "127.0.0.1", "::ffff:127.0.0.1", id="ipv6 client of an ipv4 listener"),
    pytest.param(socket.AF_INET6, "::", "127.0.0.1", id="ipv4 client of an ipv6 listener"),
    pytest.param(socket.AF_INET6, "::", "::ffff:127.0.0.1", id="mapped at both ends"),
]


@contextmanager
def connection(family: int, listen: str, target: str) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A client's and a server's end."""
    with closing(socket.socket(family, socket.SOCK_STREAM)) as listener:
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind((listen, 0))
        listener.listen()
        with closing(socket.create_connection((target, listener.getsockname()[1]), 60)) as client:
            server, _ = listener.accept()
            with closing(server):
                yield client, server


def ends(server: socket.socket) -> tuple[Endpoint, Endpoint]:
    """The connection as the client sees it."""
    theirs, ours = endpoint(server.getpeername()), endpoint(server.getsockname())
    assert theirs is not None
    assert ours is not None
    return theirs, ours


@pytest.fixture(params=["netlink", "tables"])
def lookup(request: pytest.FixtureRequest) -> Iterator[Lookup]:
    if request.param == "tables":
        yield ProcLookup()
        return
    try:
        lookup = NetlinkLookup()
    except LookupUnavailable as error:
        pytest.skip(str(error))
    yield lookup
    lookup.close()


@pytest.mark.parametrize(("family", "listen", "target"), WAYS)
def test_an_open_connection_is_found_exactly_once_with_its_owner(
    lookup: Lookup, family: int, listen: str, target: str
) -> None:
    with connection(family, listen, target) as (client, server):
        inode = os.fstat(client.fileno()).st_ino
        assert lookup(*ends(server)) == [PeerSocket(uid=os.getuid(), inode=inode, state=ESTABLISHED)]


@pytest.mark.parametrize(("family", "listen", "target"), WAYS)
def test_a_half_closed_connection_is_not_established(
    lookup: Lookup, family: int, listen: str, target: str
) -> None:
    with connection(family, listen, target) as (client, server):
        client.shutdown(socket.SHUT_WR)
        assert all(peer.state != ESTABLISHED for peer in lookup(*ends(server)))


def test_a_connection_that_was_written_and_closed_has_no_inode_whoever_held_it(lookup: Lookup) -> None:
    with connection(socket.AF_INET, "127.0.0.1", "127.0.0.1") as (client, server):
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        client.close()
        assert all((peer.inode, peer.state != ESTABLISHED) == (0, True) for peer in lookup(*ends(server)))


def test_a_listener_on_the_callers_old_port_is_not_taken_for_the_caller(lookup: Lookup) -> None:
    # The port is free for a moment: on a busy machine somebody else may take it first.
    owners = next(
        (answer for answer in (_ask_behind_an_impostor(lookup) for _ in range(20)) if answer is not None),
        None,
    )
    assert owners == []


def _ask_behind_an_impostor(lookup: Lookup) -> list[PeerSocket] | None:
    """Look up a connection whose caller's port belongs to a listener by now; None when we did not get the port."""
    with connection(socket.AF_INET, "127.0.0.1", "127.0.0.1") as (client, server):
        theirs, ours = ends(server)
        # Closing with a reset frees the port at once, and the kernel falls back to listeners in its look-up.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        with closing(socket.socket()) as impostor:
            impostor.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                impostor.bind(("127.0.0.1", theirs[1]))
            except OSError:
                return None
            impostor.listen()
            return lookup(theirs, ours)


def test_a_tuple_without_a_connection_finds_nothing(lookup: Lookup) -> None:
    with connection(socket.AF_INET, "127.0.0.1", "127.0.0.1") as (_, server):
        theirs, ours = ends(server)
        assert lookup((theirs[0], theirs[1] ^ 1), ours) == []


@pytest.mark.parametrize("address", ["/run/x.sock", None, ("nowhere", 1), ("", 0), ()])
def test_an_address_that_is_not_an_internet_address_has_no_endpoint(address: object) -> None:
    assert endpoint(address) is None


def test_unreadable_tables_are_reported() -> None:
    with pytest.raises(LookupUnavailable, match="can't be read"):
        ProcLookup(root=__import__("pathlib").Path("/nonexistent"))(*([endpoint(("127.0.0.1", 1))] * 2))  # type: ignore[arg-type]
