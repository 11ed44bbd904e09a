"""What it costs to find out who calls, once per connection."""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from bacalhau_jupyter.auth.peers import ProcessTable
from bacalhau_jupyter.lib.sockdiag import LookupUnavailable, NetlinkLookup, ProcLookup, endpoint
from benchmarks.harness import Row, Unavailable

PROCESSES = 100


def measure(quick: bool) -> list[Row]:
    """With a hundred more processes of ours, each with some open files."""
    sleeper = "import os, time\nfor _ in range(20): os.open('/dev/null', 0)\ntime.sleep(120)"
    others = [subprocess.Popen([sys.executable, "-S", "-c", sleeper]) for _ in range(PROCESSES)]
    try:
        time.sleep(1)
        # A node does not call itself, so that one of the others stands for it: we are the caller.
        return _measure(20 if quick else 100, node=others[0].pid)
    finally:
        for process in others:
            process.kill()
            process.wait()


def _measure(rounds: int, node: int) -> list[Row]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        caller = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
        theirs, ours = endpoint(accepted.getpeername()), endpoint(accepted.getsockname())
        assert theirs is not None
        assert ours is not None
        try:
            netlink, tables = NetlinkLookup(), ProcLookup()
        except LookupUnavailable as error:
            raise Unavailable(str(error)) from error
        table, inode = ProcessTable(os.getuid(), pid=node), os.fstat(caller.fileno()).st_ino
        assert table.holds_as_equal(inode)
        rows = [
            Row(
                "who holds a socket: netlink",
                median_us(lambda: netlink(theirs, ours), rounds * 10),
                "µs",
                median_us(lambda: tables(theirs, ours), rounds),
                "/proc/net/tcp",
            ),
            Row(
                "its process, seen lately",
                median_us(lambda: table.holds_as_equal(inode, quick=True), rounds),
                "µs",
            ),
            Row(
                "its process, a stranger (in a thread)",
                median_us(lambda: table.holds_as_equal(1), rounds),
                "µs",
            ),
        ]
        netlink.close()
        caller.close()
        accepted.close()
        return rows


def median_us(call: Callable[[], object], rounds: int) -> float:
    """Median duration of a call in microseconds."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e6
