"""Results of executions that were given up, because nothing was heard of their node for too long."""

from __future__ import annotations

import pytest

from bacalhau_jupyter.models.jobs.job import JobStateType
from bacalhau_jupyter.models.records.execution import Execution, ExecutionStateType
from bacalhau_jupyter.orchestrator.peers import late
from tests.orchestrator.scheduler.world import World


def started(world: World, **job: object) -> Execution:
    """Submit a job and return its execution, which runs."""
    submitted = world.submit(**job)  # type: ignore[arg-type]
    world.settle(submitted.id)
    start(world, submitted.id)
    return world.live(submitted.id)[0]


def start(world: World, job_id: str) -> None:
    for execution in world.live(job_id):
        world.bid(execution)
    world.settle(job_id)


def lose(world: World, node_id: str) -> None:
    world.node(node_id, ready=False, lost=True)


def states(world: World, job_id: str) -> list[str]:
    return [execution.compute_state.state_type.name for execution in world.executions(job_id)]


def is_awaited(world: World, execution: Execution) -> bool:
    """Whether a result of an execution is taken now."""
    (now,) = [each for each in world.executions(execution.job_id) if each.id == execution.id]
    return late.is_awaited(world.connection, now)


def test_work_that_was_done_while_a_node_was_away_is_not_done_again() -> None:
    world = World(nodes=1)
    execution = started(world, queue_timeout=1000)
    lose(world, "n-1")
    world.settle(execution.job_id)
    assert states(world, execution.job_id) == ["FAILED"]
    # It may also publish first.
    assert is_awaited(world, execution)
    world.complete(execution)
    world.node("n-1", ready=True, lost=False)
    world.settle(execution.job_id)
    assert states(world, execution.job_id) == ["COMPLETED"]
    assert world.job(execution.job_id).state.state_type is JobStateType.COMPLETED
    assert not is_awaited(world, execution)
    words = "The result of n-1 arrived after its execution had been given up; it counts"
    assert world.messages(execution.job_id).count(words) == 1


def test_the_first_result_counts_and_the_replacement_is_stopped() -> None:
    world = World(nodes=2)
    execution = started(world)
    lose(world, execution.node_id)
    world.settle(execution.job_id)
    start(world, execution.job_id)
    replacement = world.live(execution.job_id)[0]
    assert replacement.node_id != execution.node_id
    world.complete(execution)
    world.settle(execution.job_id)
    assert states(world, execution.job_id) == ["COMPLETED", "CANCELLED"]
    assert type(world.sent[-1]).__name__ == "CancelExecution"
    assert f"it counts, and {replacement.id}, which replaced it, is stopped" in "\n".join(
        world.messages(execution.job_id)
    )
    # The replacement had ended before it was told to stop.
    world.complete(replacement)
    world.settle(execution.job_id)
    assert states(world, execution.job_id) == ["COMPLETED", "CANCELLED"]


def test_a_late_result_does_not_count_where_the_work_was_done_elsewhere() -> None:
    world = World(nodes=2)
    execution = started(world, count=2)
    lose(world, execution.node_id)
    world.settle(execution.job_id)
    start(world, execution.job_id)
    twin = next(
        e
        for e in world.live(execution.job_id)
        if e.partition_index == execution.partition_index and e.node_id != execution.node_id
    )
    world.complete(twin)
    for _ in range(3):
        world.complete(execution)
    assert world.executions(execution.job_id)[0].compute_state.state_type is ExecutionStateType.FAILED
    sentences = [words for words in world.messages(execution.job_id) if "does not count" in words]
    assert len(sentences) == 1 and twin.id in sentences[0]


@pytest.mark.parametrize("end", ["stop", "fail"])
def test_a_late_result_does_not_revive_a_job_that_is_over(end: str) -> None:
    world = World(nodes=1)
    execution = started(world, queue_timeout=0 if end == "fail" else 1000)
    lose(world, "n-1")
    world.settle(execution.job_id)
    if end == "stop":
        world.stop(execution.job_id)
    state = world.job(execution.job_id).state.state_type
    assert state.is_terminal
    world.complete(execution)
    world.settle(execution.job_id)
    assert world.job(execution.job_id).state.state_type is state
    assert states(world, execution.job_id) == ["FAILED"]


def test_a_late_failure_and_a_late_bid_change_nothing() -> None:
    world = World(nodes=1)
    execution = started(world, queue_timeout=1000)
    lose(world, "n-1")
    world.settle(execution.job_id)
    before = world.executions(execution.job_id), world.messages(execution.job_id)
    world.fail(execution)
    world.bid(execution)
    world.bid(execution, "changed my mind")
    assert (world.executions(execution.job_id), world.messages(execution.job_id)) == before


def test_the_result_of_a_node_that_a_person_rejected_does_not_count() -> None:
    world = World(nodes=1)
    execution = started(world, queue_timeout=1000)
    world.node("n-1", ready=False, rejected=True)
    world.settle(execution.job_id)
    world.complete(execution)
    assert states(world, execution.job_id) == ["FAILED"]


def test_a_late_result_of_an_ops_job_is_that_of_its_own_node() -> None:
    world = World(nodes=2)
    job = world.submit(kind="ops")
    world.settle(job.id)
    mine, other = world.live(job.id)
    lose(world, mine.node_id)
    world.settle(job.id)
    world.complete(mine)
    world.settle(job.id)
    assert states(world, job.id) == ["COMPLETED", "NEW"]
    world.complete(other)
    world.settle(job.id)
    assert world.job(job.id).state.state_type is JobStateType.COMPLETED


def test_an_execution_is_not_out_of_time_while_its_node_can_not_be_heard() -> None:
    world = World(nodes=1, execution_grace_s=60.0)
    execution = started(world, execution_timeout=10)
    world.node("n-1", ready=False)
    world.clock.advance(3600)
    outcome = world.settle(execution.job_id)
    assert states(world, execution.job_id) == ["BID_ACCEPTED"]
    assert outcome.wakeup_ns is not None and outcome.wakeup_ns > world.clock.now_ns()
    # It is back and tells, by its own clock, that the work ended in time.
    world.node("n-1", ready=True, since_ns=world.clock.now_ns())
    world.settle(execution.job_id)
    world.complete(execution)
    world.settle(execution.job_id)
    assert world.job(execution.job_id).state.state_type is JobStateType.COMPLETED


def test_an_execution_is_ended_some_time_after_its_node_came_back_without_a_word() -> None:
    world = World(nodes=1, execution_grace_s=60.0)
    execution = started(world, execution_timeout=10)
    world.clock.advance(3600)
    world.node("n-1", since_ns=world.clock.now_ns())
    world.settle(execution.job_id)
    assert states(world, execution.job_id) == ["BID_ACCEPTED"]
    world.clock.advance(61)
    world.settle(execution.job_id)
    assert "Execution timed out. Execution took longer than 10s" in world.messages(execution.job_id)
