"""Jobs of images in control groups of their own: limited as Docker limits them.

`tests/engines/supervised/test_guest.py` runs this in a guest whose kernel has it; elsewhere it is skipped with the
engine's own sentence.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from bacalhau_jupyter.engines.supervised.cgroups import limits
from bacalhau_jupyter.engines.supervised.cgroups.delegated import Delegated, of_this_node
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.plugins.engine import EndReason
from tests.engines.daemonless.bench import BOMB, Bench
from tests.services.images import BUSYBOX
from tests.services.waiting import until

MB = 1 << 20
FOREVER = "while :; do :; done"


@pytest.fixture(autouse=True)
def groups() -> Delegated:
    """The node's part of the tree."""
    groups = of_this_node()
    if groups.directory is None:
        pytest.skip(groups.problem)
    return groups


async def test_the_node_says_what_is_limited(image_bench: Bench) -> None:
    runtime = (await image_bench.engine.probe()).runtime
    assert runtime.endswith("without Docker Engine, CPU, memory and processes limited by cgroup")


@pytest.mark.parametrize(
    "script", ["x=$(head -c {0} /dev/zero | tr '\\0' x)", "head -c {0} /dev/zero > /dev/shm/x"]
)
async def test_a_job_over_its_memory_ends_as_with_docker(image_bench: Bench, script: str) -> None:
    # /dev/shm is no larger than the memory, and what runs the job takes some of it.
    ran = await image_bench.sh(
        script.format(16 * MB) + "; echo still here", resources=Resources(memory=16 * MB), timeout_s=100.0
    )
    assert (ran.outcome.reason, ran.outcome.exit_code, ran.stdout) == (EndReason.OOM, 137, ""), ran.stderr
    assert ran.outcome.error is not None
    assert (ran.outcome.error.message, ran.outcome.error.code) == ("memory limit exceeded", "OOM")
    assert "memory limit (it was 17 MB)" in ran.outcome.error.hint


async def test_a_job_has_its_share_of_the_processor(image_bench: Bench, groups: Delegated) -> None:
    request = image_bench.request(
        {"Image": BUSYBOX, "Entrypoint": ["/bin/sh", "-c", f"{FOREVER} & {FOREVER}"]},
        resources=Resources(cpu=0.25),
        timeout_s=100.0,
    )
    await image_bench.engine.start(request)
    group = groups.group_of(image_bench.options.data_dir / "daemonless" / request.execution.id)
    assert group is not None
    await until(lambda: "nr_throttled 0\n" not in _read(group / "cpu.stat"))
    assert _read(group / "cpu.max") == "25000 100000\n"
    await image_bench.engine.cancel(request.execution.id)
    assert (await image_bench.finish(request)).outcome.reason is EndReason.CANCELLED
    assert not group.exists()


async def test_a_fork_bomb_stays_small(image_bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROCESSES", 30)
    ran = await image_bench.sh(BOMB, timeout_s=100.0)
    small, said = ran.stdout.split(" ", 1)
    assert int(small) <= 30
    assert "fork" in said


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return "nr_throttled 0\n"
