"""What a job in an image may take of this machine, for a node of root as for one of an ordinary user."""

from __future__ import annotations

from pathlib import Path

import pytest

from bacalhau_jupyter.engines.supervised import launch
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.plugins.contract import InputMount
from bacalhau_jupyter.plugins.engine import EndReason
from tests.engines.daemonless.bench import BOMB, Bench, Ran

MB = 1_000_000
FILE = "head -c 1000000 /dev/zero >"
FOREVER = "while :; do sleep 0.1; done"


def assert_over(ran: Ran) -> None:
    assert ran.outcome.reason is EndReason.ERROR, (ran.outcome, ran.stdout, ran.stderr)
    assert ran.outcome.error is not None
    assert (ran.outcome.error.message, ran.outcome.error.code) == ("disk limit exceeded", "DiskLimit")
    assert "disk limit (it was 3 MB)" in ran.outcome.error.hint


@pytest.mark.parametrize(
    "script",
    [
        f"for i in 1 2 3 4 5 6; do {FILE} /var/$i; done; {FOREVER}",
        f"for i in 1 2 3 4 5 6; do {FILE} /outputs/$i; done; {FOREVER}",
        f"mkdir /var/x; for i in 1 2 3 4 5 6; do {FILE} /var/x/$i; done; chmod 0 /var/x; {FOREVER}",
        f'for i in 3 4 5 6 7; do eval "exec $i> /var/$i"; rm /var/$i; {FILE}&$i; done; {FOREVER}',
        f"for i in 1 2 3 4 5 6; do {FILE} /var/$i; done",
        "head -c 9000000 /dev/zero > /var/one",
    ],
    ids=["image", "results", "closed", "removed", "at its end", "one file"],
)
async def test_a_job_that_takes_more_disk_than_it_was_granted_ends(image_bench: Bench, script: str) -> None:
    assert_over(await image_bench.sh(script, resources=Resources(disk=3 * MB)))


async def test_what_is_not_the_jobs_does_not_count(image_bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/large").write_bytes(b"x" * 8 * MB)
    memory = "".join(f"{FILE} /dev/shm/{name};" for name in "xyz")
    script = f"{memory} {FILE} /var/x; ln /var/x /var/y; cat /inputs/* | wc -c"
    ran = await image_bench.sh(
        script, resources=Resources(disk=3 * MB), inputs=[InputMount(tmp_path / "in", "/inputs")]
    )
    assert (ran.outcome.reason, ran.stdout) == (EndReason.EXITED, f"{8 * MB}\n")


@pytest.mark.slow
async def test_a_hundred_thousand_files(image_bench: Bench) -> None:
    ran = await image_bench.sh(
        "mkdir /var/x; cd /var/x; seq 100000 | xargs touch; ls | wc -l",
        resources=Resources(disk=30 * MB),
        timeout_s=300.0,
    )
    assert (ran.outcome.reason, ran.stdout) == (EndReason.EXITED, "100000\n")


async def test_a_fork_bomb_stays_small(image_bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "PROCESSES", 30)
    ran = await image_bench.sh(BOMB)
    small, said = ran.stdout.split(" ", 1)
    assert int(small) <= 30
    assert "fork" in said


async def test_the_jobs_of_a_user_have_their_processes_each(
    image_bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "PROCESSES", 4)
    assert (await image_bench.sh("sleep 0.1 & sleep 0.1 & wait; echo fits")).stdout == "fits\n"


async def test_no_file_system_is_filled_with_memory_that_was_not_granted(image_bench: Bench) -> None:
    script = (
        "for d in /dev /dev/shm /dev/pts /sys /proc; do head -c 80000000 /dev/zero > $d/x; ls -l $d/x; done;"
        "echo x > /dev/null && echo fits"
    )
    ran = await image_bench.sh(script, resources=Resources(memory=40 << 20))
    sizes = [int(line.split()[4]) for line in ran.stdout.splitlines()[:-1]]
    assert (sizes, ran.stdout.splitlines()[-1]) == ([40 << 20], "fits")


async def test_the_node_says_what_limits_jobs(image_bench: Bench) -> None:
    runtime = (await image_bench.engine.probe()).runtime
    assert "processes limited" in runtime and "memory" in runtime and "CPU" in runtime
