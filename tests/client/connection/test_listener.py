"""The key goes to our own node only."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from bacalhau_jupyter.client.connection.listener import check_listener
from bacalhau_jupyter.models.errors import Forbidden

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who listens")

LISTEN = """
import socket
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
input()
"""


@pytest.fixture
def stranger() -> Iterator[int]:
    """A port on which another user listens."""
    if os.geteuid() != 0:
        pytest.skip("only root can start a process of another user")
    child = subprocess.Popen(
        ["/usr/bin/env", "python3", "-c", LISTEN]
        if os.access("/usr/bin/python3", os.X_OK)
        else [sys.executable, "-c", LISTEN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        user=1600,
        env={"PATH": "/usr/bin:/bin"},
    )
    with child:
        assert child.stdout is not None
        yield int(child.stdout.readline())
        child.kill()


def test_our_own_listener_is_taken_on_every_loopback_form() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        check_listener(f"http://127.0.0.1:{listener.getsockname()[1]}")
    with socket.create_server(("0.0.0.0", 0)) as listener:
        check_listener(f"http://127.0.0.1:{listener.getsockname()[1]}")


def test_a_port_where_nobody_listens_is_left_to_the_connection_to_find_out() -> None:
    check_listener("http://127.0.0.1:9")


def test_an_address_elsewhere_is_not_our_business() -> None:
    check_listener("https://bacalhau.example.org")
    check_listener("http://10.1.2.3:1234")


def test_another_users_listener_does_not_get_the_key(stranger: int) -> None:
    with pytest.raises(Forbidden, match="uid 1600"):
        check_listener(f"http://127.0.0.1:{stranger}")
