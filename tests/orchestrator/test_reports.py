from __future__ import annotations

from bacalhau_jupyter.models.execution import DesiredStateType, ExecutionStateType
from bacalhau_jupyter.models.job import JobStateType
from bacalhau_jupyter.models.spec import replace
from tests.orchestrator.scheduler.world import World


def running(world: World) -> str:
    job = world.submit()
    world.settle(job.id)
    world.bid(world.live()[0])
    world.settle(job.id)
    return job.id


def test_a_report_delivered_twice_changes_nothing_the_second_time() -> None:
    world = World(nodes=1)
    job = world.submit()
    world.settle(job.id)
    execution = world.live()[0]
    for answer in (world.bid, world.complete):
        answer(execution)
        before = (world.executions(job.id), world.messages(job.id))
        answer(execution)
        assert (world.executions(job.id), world.messages(job.id)) == before
        world.settle(job.id)
    world.fail(execution)
    assert world.executions(job.id)[0].compute_state.state_type is ExecutionStateType.COMPLETED


def test_a_report_of_another_node_is_not_believed() -> None:
    world = World(nodes=2)
    job_id = running(world)
    world.complete(replace(world.live()[0], node_id="n-imposter"))
    assert len(world.live()) == 1
    assert world.job(job_id).state.state_type is JobStateType.RUNNING


def test_a_result_that_comes_after_the_stop_does_not_revive_the_job() -> None:
    world = World(nodes=1)
    job_id = running(world)
    execution = world.live()[0]
    world.stop(job_id)
    world.settle(job_id)
    world.complete(execution)
    world.settle(job_id)
    assert world.job(job_id).state.state_type is JobStateType.STOPPED
    assert world.executions(job_id)[0].compute_state.state_type is ExecutionStateType.CANCELLED


def test_a_failure_keeps_its_words_and_details_on_the_execution() -> None:
    world = World(nodes=1)
    job_id = running(world)
    world.fail(world.live()[0], "image not available")
    execution = world.executions(job_id)[0]
    assert (execution.compute_state.message, execution.compute_state.details) == (
        "image not available", {"IsError": "true"},
    )  # fmt: skip
    assert execution.desired_state.state_type is DesiredStateType.STOPPED
    assert execution.desired_state.message == "execution failed"


def test_a_completed_execution_keeps_its_message_as_upstream_does() -> None:
    world = World(nodes=1)
    job_id = running(world)
    world.complete(world.live()[0])
    execution = world.executions(job_id)[0]
    assert (execution.compute_state.message, execution.desired_state.message) == (
        "Running",
        "execution completed",
    )
    assert execution.revision == 4
