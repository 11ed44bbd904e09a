from __future__ import annotations

import pytest

from bacalhau_jupyter.models.jobs.job import JobStateType
from bacalhau_jupyter.models.records.execution import Execution, ExecutionStateType
from bacalhau_jupyter.orchestrator.scheduler.attempts import RESTART_PAUSE_S, STEADY_S
from tests.orchestrator.scheduler.world import World


def running(world: World, job_id: str) -> list[Execution]:
    """Let every open bid be accepted; return what then runs."""
    world.settle(job_id)
    for execution in world.live(job_id):
        if execution.compute_state.state_type is ExecutionStateType.NEW:
            world.bid(execution)
    world.settle(job_id)
    return [
        execution
        for execution in world.live(job_id)
        if execution.compute_state.state_type is ExecutionStateType.BID_ACCEPTED
    ]


@pytest.mark.parametrize("failure", [False, True])
def test_an_instance_that_ends_is_started_again_after_a_pause(failure: bool) -> None:
    world = World(nodes=1)
    job = world.submit(kind="service", count=2)
    first, second = running(world, job.id)
    if failure:
        world.fail(first)
    else:
        world.complete(first)
    outcome = world.settle(job.id)
    assert world.live(job.id) == [second]
    assert outcome.wakeup_ns is not None
    world.clock.advance(RESTART_PAUSE_S)
    assert {execution.partition_index for execution in running(world, job.id)} == {0, 1}
    assert world.job(job.id).state.state_type is JobStateType.RUNNING


def test_a_service_fails_when_an_instance_ends_too_often_in_a_row() -> None:
    world = World(nodes=1)
    job = world.submit(kind="service", count=2, queue_timeout=600)
    for _ in range(2):
        instances = running(world, job.id)
        assert len(instances) == 2
        world.complete(instances[-1])
        world.settle(job.id)
        world.clock.advance(RESTART_PAUSE_S)
    world.settle(job.id)
    state = world.job(job.id).state
    assert state.state_type is JobStateType.FAILED
    assert (
        "job already executed on this node more than once: execution completed unexpectedly" in state.message
    )
    assert not world.live(job.id)


def test_a_service_that_ran_for_long_may_end_again() -> None:
    world = World(nodes=1)
    job = world.submit(kind="service")
    for _ in range(5):
        (instance,) = running(world, job.id)
        world.clock.advance(STEADY_S)
        world.fail(instance)
        world.settle(job.id)
        world.clock.advance(RESTART_PAUSE_S)
    assert len(running(world, job.id)) == 1


def test_a_lost_instance_moves_to_another_node() -> None:
    world = World(nodes=2)
    job = world.submit(kind="service")
    (instance,) = running(world, job.id)
    world.node(instance.node_id, ready=False, lost=True)
    (moved,) = running(world, job.id)
    assert moved.node_id != instance.node_id


def test_a_service_waits_for_its_only_node_from_when_it_was_lost() -> None:
    world = World(nodes=1)
    job = world.submit(kind="service", queue_timeout=600)
    running(world, job.id)
    world.clock.advance(86_400)
    world.node("n-1", ready=False, lost=True)
    outcome = world.settle(job.id)
    assert world.job(job.id).state.state_type is JobStateType.QUEUED
    assert outcome.wish is not None, "a node that joins wakes it"
    world.clock.advance(599)
    world.node("n-1", ready=True, lost=False)
    assert len(running(world, job.id)) == 1
    assert world.job(job.id).state.state_type is JobStateType.RUNNING
    world.node("n-1", ready=False, lost=True)
    world.settle(job.id)
    world.clock.advance(601)
    world.settle(job.id)
    assert world.job(job.id).state.state_type is JobStateType.FAILED


def test_an_update_replaces_all_instances_even_where_both_versions_do_not_fit() -> None:
    world = World(nodes=1)
    job = world.submit("web", kind="service", cpu="2", queue_timeout=600)
    running(world, job.id)
    world.submit("web", kind="service", cpu="1500m", queue_timeout=600)
    (instance,) = running(world, job.id)
    assert instance.job_version == 2


def test_no_time_out_ends_a_service() -> None:
    world = World(nodes=1)
    job = world.submit(kind="service", execution_timeout=5, total_timeout=10)
    running(world, job.id)
    assert world.settle(job.id).wakeup_ns is None
    world.clock.advance(100_000)
    world.settle(job.id)
    assert len(world.live(job.id)) == 1


def test_a_stopped_service_ends_all_instances_and_its_outcome_is_stopped() -> None:
    world = World(nodes=2)
    job = world.submit(kind="service", count=3)
    running(world, job.id)
    world.stop(job.id)
    world.settle(job.id)
    assert not world.live(job.id)
    state = world.job(job.id).state
    assert (state.state_type, state.details["Outcome"]) == (JobStateType.STOPPED, "stopped")


def test_more_instances_than_fit_wait_for_room() -> None:
    world = World(nodes=1)
    job = world.submit(kind="service", count=5, cpu="1")
    assert len(running(world, job.id)) == 2
    outcome = world.settle(job.id)
    assert outcome.wish is not None
    world.join("n-2")
    assert len(running(world, job.id)) == 4
