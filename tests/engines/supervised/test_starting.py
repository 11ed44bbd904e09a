"""What starts supervisors: one process forks them; it may be killed at any time, and ends with its node."""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
from collections.abc import AsyncIterator
from functools import partial
from itertools import count, islice
from pathlib import Path

import psutil
import pytest

from bacalhau_jupyter.engines.supervised import bare, spawn, starting, watch
from bacalhau_jupyter.engines.supervised.state import State
from bacalhau_jupyter.engines.supervised.supervisor import forkserver
from bacalhau_jupyter.plugins.engine import EndReason
from tests.engines.process.bench import TIERS, Bench
from tests.engines.running import all_frames
from tests.services.waiting import until

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="supervisors need Linux"),
]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A probed engine whose starter is its own."""
    bench = Bench(tmp_path, TIERS["restricted"]())
    bench.engine._executions._starter = starting.Starter()
    if problem := await bench.open():
        pytest.skip(problem)
    yield bench
    await bench.close()


def server_of(bench: Bench) -> psutil.Process:
    server = bench.engine._executions._starter.server
    assert server is not None
    return psutil.Process(server.pid)


def be_impatient(bench: Bench) -> None:
    server = bench.engine._executions._starter.server
    assert server is not None
    server._socket.settimeout(0.2)


def supervisor(bench: Bench, execution_id: str) -> psutil.Process:
    pid, _ = (bench.data / "process" / execution_id / "pid").read_text().split()
    return psutil.Process(int(pid))


async def test_one_process_forks_all_supervisors_and_ends_with_the_engine(bench: Bench) -> None:
    requests = [bench.request(["sh", "-c", "echo up; sleep 600"]) for _ in range(2)]
    for request in requests:
        await bench.engine.start(request)
        await until(partial(all_frames, request.log_path))
    parents = {supervisor(bench, each.execution.id).ppid() for each in requests}
    server = psutil.Process(parents.pop())
    assert not parents and server.ppid() == os.getpid()
    assert "bacalhau_jupyter.engines" in " ".join(
        server.cmdline()
    )  # by which a node knows what is not its user
    await bench.engine.close()
    await until(lambda: not server.is_running())
    assert await bench.engine.attach(requests[0])  # what it has started goes on
    for request in requests:
        await bench.engine.cancel(request.execution.id)
        assert (await bench.finish(request)).outcome.reason is EndReason.CANCELLED


async def test_a_job_ignores_no_signal_that_its_node_ignores(bench: Bench) -> None:
    before = signal.signal(signal.SIGQUIT, signal.SIG_IGN)
    try:
        ran = await bench.run(["sed", "-n", "s/^SigIgn:[^0-9a-f]*//p", "/proc/self/status"])
    finally:
        signal.signal(signal.SIGQUIT, before)
    # All but the two that the C library keeps for itself.
    assert int(ran.stdout, 16) & ~(0b11 << 31) == 0


async def test_a_supervisor_is_no_zombie_when_it_has_ended(bench: Bench) -> None:
    await bench.run(["true"])
    await until(lambda: not server_of(bench).children())


async def test_a_killed_server_fails_no_job_and_ends_none(bench: Bench) -> None:
    running = bench.request(["sh", "-c", "echo up; sleep 0.5; echo end"])
    await bench.engine.start(running)
    for _ in range(2):
        killed = server_of(bench)
        killed.kill()
        assert (await bench.run(["echo", "again"])).stdout == "again\n"
        assert (await bench.run(["echo", "forked"])).stdout == "forked\n"
        assert server_of(bench) != killed
    assert (await bench.finish(running)).stdout == "up\nend\n"


async def test_a_job_ends_also_where_the_server_is_stuck(bench: Bench) -> None:
    await bench.run(["true"])
    stuck = server_of(bench)
    be_impatient(bench)
    stuck.suspend()
    # What was sent to it and not taken would keep the execution's lock.
    assert (await bench.run(["echo", "all the same"])).stdout == "all the same\n"
    await until(lambda: not stuck.is_running())


async def test_a_server_whose_answer_is_lost_starts_nothing_twice(bench: Bench) -> None:
    class Unheard(starting.Server):
        def _answer(self) -> int:
            super()._answer()
            raise TimeoutError

    starter = bench.engine._executions._starter
    starter.leave(bench.engine._executions)
    starter.join(bench.engine._executions)
    starter.server = Unheard()
    ran = await bench.run(["sh", "-c", "echo ran; sleep 0.2"])
    # The one that was forked has written nothing, and the log has one end.
    assert (ran.outcome.reason, ran.stdout) == (EndReason.EXITED, "ran\n")
    assert starter.server is None


def test_the_server_ends_when_its_node_does() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        pid = spawn.start_python([starting._CODE, bare.PACKAGE], {forkserver.SOCKET_FD: theirs.fileno()})
    ours.close()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_supervisor_begins_only_when_the_node_has_heard_of_it(tmp_path: Path) -> None:
    state = State(tmp_path, "e-1")
    lock = state.create()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        server = spawn.start_python([starting._CODE, bare.PACKAGE], {forkserver.SOCKET_FD: theirs.fileno()})
    errors, (gate_read, gate) = spawn.open_errors(state), os.pipe()
    socket.send_fds(ours, [b"\0" + os.fsencode(state.plan)], [lock, errors, gate_read])
    pid = int(ours.recv(64))
    for each in (lock, errors, gate_read):
        os.close(each)
    assert state.is_alive()
    os.close(gate)
    state.wait_until_dead()
    # There is no plan: one that had begun would have said so.
    assert (state.errors_file.read_bytes(), state.was_started()) == (b"", False)
    ours.close()
    os.waitpid(server, 0)
    assert pid != server


def test_a_node_without_free_descriptors_loses_none_by_starting(tmp_path: Path) -> None:
    """Each start that failed would leave it fewer."""
    state = State(tmp_path, "e-1")
    lock = state.create()
    refused = 0
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for free in range(6):
        before = _descriptors()
        try:
            # Numbers below those that are in use are given first.
            resource.setrlimit(resource.RLIMIT_NOFILE, (_limit_with(free), hard))
            refused += _is_refused(starting.Starter(), state, lock)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert _descriptors() == before, free
    assert refused >= 3
    os.close(lock)


def _descriptors() -> set[int]:
    numbers = [int(each.name) for each in Path("/proc/self/fd").iterdir()]
    # The one that was open to list them is closed by now.
    return {number for number in numbers if Path(f"/proc/self/fd/{number}").exists()}


def _limit_with(free: int) -> int:
    """The limit at which this process can open so many more files."""
    used = _descriptors()
    unused = (number for number in count() if number not in used)
    return next(islice(unused, free, None))


def _is_refused(starter: starting.Starter, state: State, lock: int) -> bool:
    try:
        starter.start(state, lock, "")
    except OSError:
        return True
    finally:
        starter.leave(None)
    return False


async def test_a_supervisor_that_had_ended_at_once_is_not_waited_for_by_its_number(tmp_path: Path) -> None:
    # Nobody here keeps the number of what another process has forked: it may be anybody's by then.
    await watch.until_ended(State(tmp_path, "e-1"), os.getpid(), "")
