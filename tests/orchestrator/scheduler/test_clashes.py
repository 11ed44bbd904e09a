"""Executions whose node was given less than it had promised: others on its machine took that at the same time."""

from __future__ import annotations

import pytest

from bacalhau_jupyter.models.errors import CAPACITY
from bacalhau_jupyter.models.jobs.job import JobStateType
from tests.orchestrator.peers.test_late import start, started
from tests.orchestrator.scheduler.world import World

TAKEN = "this GPU of gpu1 was given to a job of ann@laptop at the same time"
DETAILS = {CAPACITY: "true", "Retryable": "true", "FailsExecution": "true"}


@pytest.mark.parametrize("kind", ["batch", "service", "ops", "daemon"])
def test_a_job_whose_gpu_was_taken_waits_however_often_that_happens(kind: str) -> None:
    world = World(nodes=1)
    job = world.submit(kind=kind, queue_timeout=3600)
    for _ in range(5):
        world.settle(job.id)
        start(world, job.id)
        (execution,) = world.live(job.id)
        world.fail(execution, TAKEN, DETAILS)
        outcome = world.settle(job.id)
        assert not world.live(job.id)
        assert not world.job(job.id).is_terminal
        assert outcome.wakeup_ns is not None
        world.clock.advance(31)
    world.settle(job.id)
    start(world, job.id)
    assert world.live(job.id)
    if kind in ("batch", "ops"):
        world.complete(world.live(job.id)[0])
        world.settle(job.id)
        assert world.job(job.id).state.state_type is JobStateType.COMPLETED


def test_it_says_what_it_waits_for() -> None:
    world = World(nodes=1)
    execution = started(world, queue_timeout=3600)
    world.fail(execution, TAKEN, DETAILS)
    world.settle(execution.job_id)
    assert world.job(execution.job_id).state.state_type is JobStateType.QUEUED
    assert TAKEN in world.job(execution.job_id).state.message


def test_it_goes_to_another_node_at_once() -> None:
    world = World(nodes=2)
    execution = started(world, queue_timeout=3600)
    world.fail(execution, TAKEN, DETAILS)
    world.settle(execution.job_id)
    (replacement,) = world.live(execution.job_id)
    assert replacement.node_id != execution.node_id


def test_a_failure_of_another_kind_still_counts_against_the_node() -> None:
    world = World(nodes=1)
    execution = started(world, queue_timeout=3600)
    for _ in range(2):
        world.fail(world.live(execution.job_id)[0], "boom", {"Retryable": "true"})
        world.settle(execution.job_id)
        start(world, execution.job_id)
    assert world.job(execution.job_id).state.state_type is JobStateType.FAILED
