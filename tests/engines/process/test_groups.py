"""Jobs in control groups of their own: the whole tree is limited. For a node that was given a part of the cgroup tree.

`tests/engines/supervised/test_guest.py` runs this in a guest whose kernel has it; elsewhere it is skipped with the
engine's own sentence.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
from pathlib import Path

import pytest

from bacalhau_jupyter.engines.supervised.cgroups import limits
from bacalhau_jupyter.engines.supervised.cgroups.delegated import Delegated, of_this_node
from bacalhau_jupyter.engines.supervised.cgroups.place import CONTROLLERS, JOB
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.plugins.engine import EndReason, RunRequest
from tests.engines.process.bench import SYSTEM_PYTHON, Bench
from tests.services.waiting import until

MB = 1 << 20
FAMILY = """
import os, sys
for _ in range(4):
    if os.fork() == 0:
        data = b"x" * int(sys.argv[1])
        os._exit(not data)
print([os.wait()[1] for _ in range(4)])
"""
HOARD = """
import os, sys, time
for _ in range(4):
    if os.fork() == 0:
        data = b"x" * int(sys.argv[1])
        time.sleep(100)
time.sleep(100)
"""


@pytest.fixture(autouse=True)
def groups() -> Delegated:
    """The node's part of the tree."""
    groups = of_this_node()
    if groups.directory is None:
        pytest.skip(groups.problem)
    return groups


def group_of(bench: Bench, groups: Delegated, request: RunRequest) -> Path:
    group = groups.group_of(bench.data / "process" / request.execution.id)
    assert group is not None
    return group


def members(group: Path) -> list[str]:
    """Return the processes in a group; none while it does not exist."""
    try:
        return (group / "cgroup.procs").read_text().split()
    except FileNotFoundError:
        return []


async def started(bench: Bench, code: str, *arguments: str, resources: Resources) -> RunRequest:
    request = bench.request(
        [SYSTEM_PYTHON or "", "-c", code, *arguments], resources=resources, timeout_s=100.0
    )
    await bench.engine.start(request)
    return request


async def test_the_node_says_what_is_limited(bench: Bench, groups: Delegated) -> None:
    assert groups.controllers == set(CONTROLLERS)
    availability = await bench.engine.probe()
    assert availability.runtime.endswith(", CPU, memory and processes limited by cgroup")


async def test_groups_can_be_switched_off(bench: Bench) -> None:
    settings = {"Engines.Cgroups": False}
    bench.use(dataclasses.replace(bench.options, settings=settings.get))
    availability = await bench.engine.probe()
    assert availability.runtime.endswith(", memory limited per process, CPU not limited")


async def test_memory_is_limited_for_the_whole_tree(bench: Bench, groups: Delegated) -> None:
    fits = await bench.python(FAMILY, str(10 * MB), resources=Resources(memory=160 * MB))
    assert (fits.outcome.reason, fits.stdout) == (EndReason.EXITED, "[0, 0, 0, 0]\n")
    # Each of the four would fit by itself.
    request = await started(bench, HOARD, str(60 * MB), resources=Resources(memory=160 * MB))
    outcome = (await bench.finish(request)).outcome
    assert outcome.reason is EndReason.OOM
    assert outcome.error is not None
    assert "memory" in outcome.error.message


async def test_memory_that_is_only_reserved_does_not_count(bench: Bench) -> None:
    code = "import mmap; block = mmap.mmap(-1, 300 << 20, mmap.MAP_PRIVATE); print(len(block) >> 20)"
    result = await bench.python(code, resources=Resources(memory=100 * MB))
    assert result.stdout == "300\n"


async def test_two_busy_processes_share_the_granted_share(bench: Bench, groups: Delegated) -> None:
    code = "import os\nos.fork()\nwhile True: pass"
    request = await started(bench, code, resources=Resources(cpu=0.25))
    group = group_of(bench, groups, request)
    await until(lambda: members(group))
    assert (group / "cpu.max").read_text() == "25000 100000\n"
    await until(lambda: "nr_throttled 0\n" not in (group / "cpu.stat").read_text())
    await bench.engine.cancel(request.execution.id)
    assert (await bench.finish(request)).outcome.reason is EndReason.CANCELLED


async def test_processes_are_counted(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROCESSES", 20)
    code = """
import os, signal
made = []
try:
    for _ in range(30):
        pid = os.fork()
        if pid == 0:
            signal.pause()
        made.append(pid)
except BlockingIOError:
    print(10 < len(made) < 20)
for pid in made:
    os.kill(pid, signal.SIGKILL)
"""
    result = await bench.python(code, resources=Resources())
    assert result.stdout == "True\n", result.stderr


async def test_a_group_goes_with_its_job(bench: Bench, groups: Delegated) -> None:
    request = await started(bench, "import time; time.sleep(100)", resources=Resources(memory=100 * MB))
    group = group_of(bench, groups, request)
    await until(lambda: members(group))
    await bench.engine.cancel(request.execution.id)
    await bench.finish(request)
    assert not group.exists()


async def test_what_a_killed_supervisor_leaves_ends_with_its_group(bench: Bench, groups: Delegated) -> None:
    # Without the execution's ID in its environment, nothing but the group tells whose process it is.
    code = (
        "import os, time\nif os.fork() == 0: os.execve('/bin/sleep', ['sleep', '100'], {})\ntime.sleep(100)"
    )
    request = await started(bench, code, resources=Resources())
    group = group_of(bench, groups, request)
    pid_file = bench.data / "process" / request.execution.id / "pid"
    await until(lambda: pid_file.exists() and len(members(group)) > 1)
    os.kill(int(pid_file.read_text().split()[0]), signal.SIGKILL)
    assert (await bench.finish(request)).outcome.reason is EndReason.ERROR
    await until(lambda: not members(group))
    await bench.engine.clean(request.execution.id)
    assert not group.exists()


async def test_a_job_can_t_leave_or_change_its_group(bench: Bench, groups: Delegated) -> None:
    code = """
import os, sys
def attempt(what, *arguments):
    try:
        what(*arguments)
        print("could", arguments)
    except OSError:
        pass
for directory in sys.argv[1:]:
    for name in ("cgroup.procs", "memory.max", "pids.max", "cgroup.subtree_control"):
        attempt(lambda path: os.open(path, os.O_WRONLY), f"{directory}/{name}")
    attempt(os.mkdir, f"{directory}/mine")
attempt(os.mkdir, "/sys/fs/cgroup/mine")
print("tried")
"""
    assert groups.directory is not None
    request = bench.request([SYSTEM_PYTHON or "", "-c", code, str(groups.directory)])
    own = group_of(bench, groups, request)
    request.execution.job.task.engine.params["Command"].append(str(own))  # type: ignore[union-attr]
    await bench.engine.start(request)
    assert (await bench.finish(request)).stdout == "tried\n"


async def test_many_jobs_start_side_by_side(bench: Bench, groups: Delegated) -> None:
    results = await asyncio.gather(*(bench.run(["true"], resources=Resources(cpu=1)) for _ in range(8)))
    assert [each.outcome.exit_code for each in results] == [0] * 8
    assert groups.directory is not None
    assert not list(groups.directory.glob(f"{JOB}*"))
