from __future__ import annotations

import os
import shutil
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bacalhau_jupyter.auth.peers import ProcessTable
from bacalhau_jupyter.lib.sockdiag import NetlinkLookup, ProcLookup, endpoint
from tests.auth.callers import FILTERED, HOLD, can_unshare, holding

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        yield server


def beside_us(uid: int | None = None) -> ProcessTable:
    """A table of a node that is not the test's process, so that the test's children are not the node's."""
    return ProcessTable(os.getuid() if uid is None else uid, pid=-1)


def inode_of_next_caller(listener: socket.socket, port: int) -> int:
    ours = endpoint(listener.getsockname())
    theirs = endpoint(("127.0.0.1", port))
    assert ours is not None
    assert theirs is not None
    try:
        lookup: NetlinkLookup | ProcLookup = NetlinkLookup()
    except Exception:
        lookup = ProcLookup()
    (peer,) = lookup(theirs, ours)
    if isinstance(lookup, NetlinkLookup):
        lookup.close()
    return peer.inode


def test_a_process_beside_us_is_our_equal_and_is_found_faster_the_second_time(
    listener: socket.socket,
) -> None:
    table = beside_us()
    with holding(listener.getsockname()[1]) as port:
        inode = inode_of_next_caller(listener, port)
        assert not table.holds_as_equal(inode, quick=True)
        assert table.holds_as_equal(inode)
        assert table.holds_as_equal(inode, quick=True)


def test_a_node_never_trusts_its_own_sockets(listener: socket.socket) -> None:
    with socket.create_connection(listener.getsockname(), 60) as caller:
        inode = os.fstat(caller.fileno()).st_ino
        # What tells the two apart is who the node is: the same socket, held by somebody beside it, is trusted.
        assert beside_us().holds_as_equal(inode)
        table = ProcessTable(os.getuid())
        assert [table.holds_as_equal(inode, quick=quick) for quick in (False, True)] == [False, False]


def test_a_helper_that_the_node_started_is_not_trusted(listener: socket.socket) -> None:
    with holding(listener.getsockname()[1]) as port:
        inode = inode_of_next_caller(listener, port)
        assert beside_us().holds_as_equal(inode)
        assert not ProcessTable(os.getuid()).holds_as_equal(inode)


def test_a_grandchild_of_the_node_is_not_trusted(listener: socket.socket) -> None:
    helper = "import subprocess, sys\n"
    helper += f"subprocess.run([sys.executable, '-c', {HOLD!r}, sys.argv[1]])"
    with holding(listener.getsockname()[1], name=["-c", helper]) as port:
        inode = inode_of_next_caller(listener, port)
        assert beside_us().holds_as_equal(inode)
        assert not ProcessTable(os.getuid()).holds_as_equal(inode)


def test_who_started_the_node_is_trusted(listener: socket.socket) -> None:
    # As when a kernel starts a node: the node's parent calls it.
    with socket.create_connection(listener.getsockname(), 60) as caller, holding(listener.getsockname()[1]):
        children = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
        node = ProcessTable(os.getuid(), pid=int(children[-1]))
        assert node.holds_as_equal(os.fstat(caller.fileno()).st_ino)


def test_a_socket_that_nobody_we_see_holds_is_not_trusted() -> None:
    assert not beside_us().holds_as_equal(1)


def test_a_process_of_another_user_is_not_looked_at(listener: socket.socket) -> None:
    with holding(listener.getsockname()[1]) as port:
        assert not beside_us(os.getuid() + 1).holds_as_equal(inode_of_next_caller(listener, port))


@pytest.mark.parametrize("flag", ["--mount", "--user"])
def test_a_process_in_another_namespace_is_not_our_equal(listener: socket.socket, flag: str) -> None:
    if not can_unshare(flag):
        pytest.skip(f"`unshare {flag}` is not possible here")
    with holding(listener.getsockname()[1], prefix=["unshare", flag]) as port:
        assert not beside_us().holds_as_equal(inode_of_next_caller(listener, port))


def test_a_process_that_gave_up_new_privileges_is_not_our_equal(listener: socket.socket) -> None:
    if shutil.which("setpriv") is None or "NoNewPrivs:\t1" in Path("/proc/self/status").read_text():
        pytest.skip("no setpriv, or we have given them up too")
    with holding(listener.getsockname()[1], prefix=["setpriv", "--no-new-privs"]) as port:
        assert not beside_us().holds_as_equal(inode_of_next_caller(listener, port))


def test_a_process_behind_one_more_seccomp_filter_is_not_our_equal(listener: socket.socket) -> None:
    with holding(listener.getsockname()[1], prelude=FILTERED) as port:
        assert not beside_us().holds_as_equal(inode_of_next_caller(listener, port))


def test_a_process_of_an_execution_is_not_our_equal_even_without_any_confinement(
    listener: socket.socket,
) -> None:
    # Stands for a supervisor, which names our engines in its command line; the task is its child.
    supervisor = "import subprocess, sys  # bacalhau_jupyter.engines.process\n"
    supervisor += f"subprocess.run([sys.executable, '-c', {HOLD!r}, sys.argv[1]])"
    with holding(listener.getsockname()[1], name=["-c", supervisor]) as port:
        assert not beside_us().holds_as_equal(inode_of_next_caller(listener, port))
