"""The NATS servers of tests, and the links to them."""

from __future__ import annotations

import contextlib
import socket

import pytest

from tests.services.cuttable import CuttableLink
from tests.services.nats import PlainNatsServer


def greeting(port: int, timeout_s: float = 60) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
        return connection.recv(5)


def rest_of(connection: socket.socket) -> bytes:
    """Read until the other side ends the connection, one way or the other; leave out the server's greeting."""
    text = b""
    with contextlib.suppress(ConnectionError):
        while piece := connection.recv(4096):
            text += piece
    return text.partition(b"\r\n")[2]


def test_a_killed_server_starts_again_at_its_port(own_nats_server: PlainNatsServer) -> None:
    assert greeting(own_nats_server.port) == b"INFO "
    own_nats_server.kill()
    with pytest.raises(ConnectionRefusedError):
        greeting(own_nats_server.port)
    own_nats_server.start()
    assert greeting(own_nats_server.port) == b"INFO "


def test_a_cut_link_ends_connections_until_it_is_restored(
    no_leaks: None, nats_server: PlainNatsServer, cuttable_link: CuttableLink
) -> None:
    with socket.create_connection(("127.0.0.1", cuttable_link.port), timeout=60) as connection:
        assert connection.recv(5) == b"INFO "
        cuttable_link.cut()
        assert not rest_of(connection)
    with socket.create_connection(("127.0.0.1", cuttable_link.port), timeout=60) as connection:
        assert not rest_of(connection)
    cuttable_link.restore()
    assert greeting(cuttable_link.port) == b"INFO "


def test_a_held_link_passes_on_what_it_held(cuttable_link: CuttableLink) -> None:
    with socket.create_connection(("127.0.0.1", cuttable_link.port), timeout=60) as connection:
        assert connection.recv(4096).startswith(b"INFO ")
        cuttable_link.pause()
        connection.sendall(b"PING\r\n")
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(4096)
        cuttable_link.resume()
        connection.settimeout(60)
        assert connection.recv(4096)
