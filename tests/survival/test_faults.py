"""Faults around a node: the execution fails with the reason, the node survives, nothing is left behind."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import pytest

from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.spec import Timeouts, replace
from bacalhau_jupyter.models.records.execution import ExecutionStateType
from tests.services.common import is_root, wait_until
from tests.survival.world import ENGINES, World, pause, soon

COMPLETED, FAILED = ExecutionStateType.COMPLETED.value, ExecutionStateType.FAILED.value
FOREVER = "sleep 600"
DISK = 48
"""MB of the small disk."""


# ---- somebody else ends what we run


@pytest.mark.parametrize("order", ["kill", "remove"])
def test_a_container_ended_by_another_program_ends_its_execution_with_the_reason(
    world: World, order: str
) -> None:
    world.start()
    job_id = world.submit(world.job("docker", FOREVER))
    world.wait_for_marks("START", job_id)
    name = world.container(world.execution(job_id))
    with world.docker_api() as api:
        if order == "kill":
            api.kill(name)
        else:
            api.remove_container(name, force=True)
    first = world.wait_for_end_of_first_execution(job_id)
    # A program that was killed has an exit code like any other; a container may be gone before it can be asked.
    if first["ComputeState"]["StateType"] == FAILED and order == "remove":
        assert "the container was removed while it ran, by another program" in world.history(job_id)
    else:
        assert first["ComputeState"]["StateType"] == COMPLETED, world.history(job_id)
        assert first["RunOutput"]["ExitCode"] == 137
    world.stop_job_unless_over(job_id)
    _still_works(world)


def test_a_supervisor_killed_from_outside_fails_its_execution_and_ends_its_program(world: World) -> None:
    world.start()
    job_id = world.submit(world.job("process", FOREVER))
    world.wait_for_marks("START", job_id)
    execution = world.execution(job_id)
    os.kill(world.supervisor(execution), signal.SIGKILL)
    first = world.wait_for_end_of_first_execution(job_id)
    assert first["ComputeState"]["StateType"] == FAILED
    assert first["ComputeState"]["Message"] == "the execution's supervisor was killed"
    # It counts as a failed attempt, so the job is tried once more; nothing of the first attempt runs beside it.
    soon(lambda: world.count("START")[job_id] == 2, "the job was not tried again")
    assert not [line for line in world.processes() if execution in line]
    soon(lambda: not [line for line in world.leftovers() if execution in line], "something is kept of it")
    world.stop_job_unless_over(job_id)
    _still_works(world)


# ---- time limits


@pytest.mark.timeout(300)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("limit", ["execution_timeout", "total_timeout"])
def test_a_job_that_takes_too_long_is_ended_and_leaves_no_process(
    world: World, engine: str, limit: str
) -> None:
    world.start()
    # A child in a session of its own, and a program that ignores a polite request, must go, too.
    script = f"trap '' TERM; setsid {FOREVER} & {FOREVER}"
    # Two seconds are over on a busy machine before the job is up, and then nothing of it was to be ended.
    for limit_s in (2, 10, 60):
        job_id = world.submit(_with_timeouts(world.job(engine, script), Timeouts(**{limit: limit_s})))
        assert world.wait_for([job_id], timeout_s=limit_s + 60) == {job_id: "Failed"}
        assert "timed out" in world.history(job_id)
        world.assert_nothing_left()
        assert world.count("END")[job_id] == 0
        if world.count("START")[job_id]:
            break
    assert world.count("START")[job_id] > 0
    _still_works(world)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_a_job_that_is_stopped_at_any_instant_leaves_nothing(world: World, engine: str) -> None:
    world.options.append("Compute.AllocatedCapacity.CPU=16")
    world.start()
    instants = random.Random(3)
    jobs = []
    for _ in range(24):
        jobs.append(world.submit(world.job(engine, FOREVER)))
        pause(instants.uniform(0, 0.8 if engine == "docker" else 0.1))
        world.stop_job(jobs[-1])
    assert set(world.wait_for(jobs).values()) == {"Stopped"}
    world.assert_nothing_left()
    _still_works(world)


# ---- the node goes and comes back


def test_jobs_outlive_a_node_that_is_stopped_and_are_collected_by_the_next(world: World) -> None:
    first = world.start()
    script = 'while [ ! -e "$in/counter/go" ]; do sleep 0.05; done; echo done'
    running = [world.submit(world.job(engine, script)) for engine in ENGINES]
    ending = [world.submit(world.job(engine, "sleep 1; echo done")) for engine in ENGINES]
    for job_id in running + ending:
        world.wait_for_marks("START", job_id)
    assert first.stop() == 0
    # Some end while there is no node, the others only after the next has started.
    assert wait_until(lambda: all(world.count("END")[job_id] for job_id in ending), timeout_s=60)
    world.start()
    (world.counter / "go").touch()
    states = world.wait_for(running + ending)
    assert world.failures(states) == {}
    for job_id in running + ending:
        assert (world.count("START")[job_id], world.count("END")[job_id]) == (1, 1)
        [execution] = world.executions(job_id)
        assert execution["RunOutput"]["Stdout"] == "done\n"
    world.assert_nothing_left()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_job_stopped_while_its_node_was_killed_stays_stopped(world: World, engine: str) -> None:
    first = world.start()
    job_id = world.submit(world.job(engine, FOREVER))
    world.wait_for_marks("START", job_id)
    world.stop_job(job_id)
    first.kill()
    world.start()
    assert world.wait_for([job_id]) == {job_id: "Stopped"}
    world.assert_nothing_left()


def test_a_second_node_on_the_same_repo_refuses_in_one_sentence(world: World) -> None:
    first = world.start()
    with pytest.raises(AssertionError) as refusal:
        world.start()
    world.node = first
    said = world.running.output.read_text().strip().splitlines()
    assert len(said) <= 2, said
    assert "already" in said[0]
    assert str(first.process.pid) in said[0], refusal.value
    assert "Traceback" not in str(refusal.value)
    _still_works(world)


# ---- no space left


@pytest.fixture
def small_disk(world: World) -> Iterator[World]:
    """A world whose repo lies on a disk of a few megabytes."""
    if not is_root():
        pytest.skip("only root can mount a small disk")
    world.data_dir.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}m,mode=0700", "tmpfs", str(world.data_dir)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        pytest.skip(f"a small disk can't be mounted here: {done.stderr.strip()}")
    yield world
    world.close()
    subprocess.run(["umount", "-l", str(world.data_dir)], timeout=60, check=False)


@pytest.mark.root
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("room", [1, DISK])
def test_a_job_that_fills_the_disk_fails_with_that_reason_and_the_next_one_completes(
    small_disk: World, engine: str, room: int
) -> None:
    world = small_disk
    world.start()
    filler = world.data_dir / "filler"
    # With little room left the disk is full before the node could store that the job has started.
    filler.write_bytes(bytes(max(0, shutil.disk_usage(world.data_dir).free - (room << 20))))
    job_id = world.submit(world.job(engine, 'cat /dev/zero > "$out/much" 2>/dev/null; true'))
    assert world.wait_for([job_id], timeout_s=60) == {job_id: "Failed"}
    assert re.search("disk|No space left", world.history(job_id))
    assert world.running.process.poll() is None
    filler.unlink()
    _still_works(world)


@pytest.mark.root
def test_a_full_disk_refuses_jobs_in_one_sentence_and_is_over_when_space_is_freed(small_disk: World) -> None:
    world = small_disk
    world.start()
    running = [world.submit(world.job(engine, "sleep 12; echo done")) for engine in ENGINES]
    for job_id in running:
        world.wait_for_marks("START", job_id)
    # A whole job of each engine later their start is stored: one that can't be noted any more is ended, and that is
    # another test.
    world.wait_for([world.submit(world.job(engine, "true")) for engine in ENGINES])
    filler = world.data_dir / "filler"
    _fill(filler)
    # The node keeps room for what it has to note, so it may take a job, and end it with the reason.
    answers = [_refusal(world, world.job("process", "true")) for _ in range(40)]
    assert all(text == "accepted" or re.search("full|space", text) for text in answers), answers
    assert world.running.process.poll() is None
    assert wait_until(lambda: all(world.count("END")[job_id] for job_id in running), timeout_s=60)
    filler.unlink()
    states = world.wait_for(set(running) | set(world.jobs()), timeout_s=60)
    assert set(states.values()) <= {"Completed", "Failed"}
    for job_id, story in world.failures(states).items():
        assert re.search("disk|No space left", story), (job_id, story)
    for job_id in running:
        # What could not be stored counts as a failed attempt, and says why.
        for execution in world.executions(job_id):
            state = execution["ComputeState"]
            assert state["StateType"] == COMPLETED or re.search("disk|No space left", state["Message"]), state
    _still_works(world)


@pytest.mark.root
def test_a_node_that_was_killed_on_a_full_disk_starts_when_space_is_freed_and_collects_its_jobs(
    small_disk: World,
) -> None:
    world = small_disk
    first = world.start()
    running = [world.submit(world.job(engine, "sleep 3; echo done")) for engine in ENGINES]
    for job_id in running:
        world.wait_for_marks("START", job_id)
    filler = world.data_dir / "filler"
    _fill(filler)
    first.kill()
    # Whether it starts or refuses, it says why and breaks nothing.
    try:
        world.start().kill()
    except AssertionError as refusal:
        assert re.search("disk|No space left", str(refusal)), refusal
        assert "Traceback" not in str(refusal)
    filler.unlink()
    world.start()
    states = world.wait_for(running)
    assert world.failures(states) == {}
    for job_id in running:
        assert [item["ComputeState"]["StateType"] for item in world.executions(job_id)].count(COMPLETED) == 1
    _still_works(world)


def _fill(filler: Path) -> None:
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 16))
        except OSError:
            return


def _refusal(world: World, job: Job) -> str:
    try:
        world.submit(job)
    except urllib.error.HTTPError as error:
        with error:
            return error.read().decode()
    return "accepted"


# ---- helpers


def _still_works(world: World) -> None:
    """The node runs a job of each engine to its end, and nothing of any execution is left."""
    after = [world.submit(world.job(engine, 'echo ok > "$out/ok"')) for engine in ENGINES]
    states = world.wait_for(after)
    assert world.failures(states) == {}
    for job_id in after:
        [execution] = world.executions(job_id)
        assert world.published(execution["ID"])["outputs/ok"] == b"ok\n"
    world.assert_nothing_left()


def _with_timeouts(job: Job, timeouts: Timeouts) -> Job:
    task = replace(job.task, timeouts=timeouts)
    return replace(job, tasks=[task])
