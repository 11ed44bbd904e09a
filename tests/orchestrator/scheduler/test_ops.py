from __future__ import annotations

from bacalhau_jupyter.models.jobs.job import JobStateType
from bacalhau_jupyter.models.records.execution import DesiredStateType, ExecutionStateType
from bacalhau_jupyter.models.wire.messages import AskForBid, CancelExecution
from tests.orchestrator.scheduler.world import World


def places(world: World, job_id: str) -> list[str]:
    return [execution.node_id for execution in world.executions(job_id)]


def test_an_ops_job_runs_once_on_each_node_and_completes_when_all_have() -> None:
    world = World(nodes=3)
    job = world.submit(kind="ops")
    world.settle(job.id)
    assert sorted(places(world, job.id)) == ["n-1", "n-2", "n-3"]
    first, *others = world.live(job.id)
    world.complete(first)
    world.settle(job.id)
    assert world.job(job.id).state.state_type is JobStateType.RUNNING
    for execution in others:
        world.complete(execution)
    world.settle(job.id)
    assert world.job(job.id).state.state_type is JobStateType.COMPLETED
    assert world.messages(job.id) == [
        "Job submitted",
        "Running",
        "Requested execution on n-1",
        "Requested execution on n-2",
        "Requested execution on n-3",
        *["Completed successfully"] * 3,
        "Completed",
    ]


def test_an_ops_job_runs_without_a_round_of_bidding() -> None:
    world = World(nodes=1)
    job = world.submit(kind="ops")
    world.settle(job.id)
    (offer,) = world.sent
    assert isinstance(offer, AskForBid)
    assert offer.execution.desired_state.state_type is DesiredStateType.RUNNING
    (stored,) = world.live(job.id)
    assert stored.desired_state.state_type is DesiredStateType.RUNNING
    assert stored.compute_state.state_type is ExecutionStateType.NEW


def test_the_nodes_of_an_ops_job_are_those_of_its_start() -> None:
    world = World(nodes=1)
    world.join("n-zone", zone="a")
    job = world.submit(kind="ops", zone="a")
    world.settle(job.id)
    world.join("n-late", zone="a")
    world.settle(job.id)
    assert places(world, job.id) == ["n-zone"]


def test_an_execution_that_failed_is_not_repeated_and_fails_the_ops_job_at_the_end() -> None:
    world = World(nodes=2)
    job = world.submit(kind="ops")
    world.settle(job.id)
    first, second = world.live(job.id)
    world.fail(first)
    world.settle(job.id)
    assert world.job(job.id).state.state_type is JobStateType.RUNNING
    world.complete(second)
    world.settle(job.id)
    state = world.job(job.id).state
    assert state.state_type is JobStateType.FAILED
    assert state.message == "Job failed because one or more executions failed"
    assert len(world.executions(job.id)) == 2


def test_a_rerun_is_judged_by_its_own_executions() -> None:
    world = World(nodes=1)
    job = world.submit("again", kind="ops")
    world.settle(job.id)
    world.fail(world.live(job.id)[0])
    world.settle(job.id)
    world.submit("again", kind="ops")
    world.settle(job.id)
    world.complete(world.live(job.id)[0])
    world.settle(job.id)
    assert world.job(job.id).state.state_type is JobStateType.COMPLETED


def test_an_ops_job_that_no_node_suits_fails_at_once_with_the_official_words() -> None:
    world = World(nodes=2)
    job = world.submit(kind="ops", zone="nowhere", queue_timeout=600)
    world.settle(job.id)
    state = world.job(job.id).state
    assert state.state_type is JobStateType.FAILED
    assert state.message.startswith(
        "not matching nodes to run job out of 2 available nodes.\n• Node n-1: labels"
    )
    assert not world.executions(job.id)


def test_an_ops_job_waits_while_all_nodes_are_full_and_starts_when_one_has_room() -> None:
    world = World(nodes=1)
    blocker = world.submit(cpu="2")
    world.settle(blocker.id)
    job = world.submit(kind="ops", queue_timeout=600)
    outcome = world.settle(job.id)
    assert world.job(job.id).state.state_type is JobStateType.QUEUED
    assert outcome.wish is not None
    assert outcome.wish.nodes == {"n-1"}
    world.stop(blocker.id)
    world.settle(blocker.id)
    world.settle(job.id)
    assert world.job(job.id).state.state_type is JobStateType.RUNNING
    assert places(world, job.id) == ["n-1"]


def test_a_full_node_is_one_of_the_nodes_and_gets_its_turn_when_it_has_room() -> None:
    world = World(nodes=2)
    blocker = world.submit(cpu="2")
    world.settle(blocker.id)
    (held,) = world.live(blocker.id)
    job = world.submit(kind="ops", queue_timeout=600)
    world.settle(job.id)
    executions = {execution.node_id: execution for execution in world.live(job.id)}
    assert set(executions) == {"n-1", "n-2"}
    world.bid(executions.pop(held.node_id), "this node is busy: not enough capacity to run job")
    for execution in executions.values():
        world.complete(execution)
    outcome = world.settle(job.id)
    assert world.job(job.id).state.state_type is JobStateType.RUNNING
    assert outcome.wish is not None
    world.stop(blocker.id)
    world.settle(blocker.id)
    world.clock.advance(1)
    world.settle(job.id)
    (late,) = world.live(job.id)
    assert late.node_id == held.node_id
    world.complete(late)
    world.settle(job.id)
    assert world.job(job.id).state.state_type is JobStateType.COMPLETED


def test_a_node_that_never_has_room_fails_the_ops_job_after_its_queue_time_out() -> None:
    world = World(nodes=2)
    blocker = world.submit(cpu="2")
    world.settle(blocker.id)
    (held,) = world.live(blocker.id)
    job = world.submit(kind="ops", queue_timeout=600)
    world.settle(job.id)
    for execution in world.live(job.id):
        if execution.node_id == held.node_id:
            world.bid(execution, "not enough capacity to run job")
        else:
            world.complete(execution)
    world.settle(job.id)
    world.clock.advance(601)
    world.settle(job.id)
    assert world.job(job.id).state.state_type is JobStateType.FAILED


def test_nodes_that_all_refuse_fail_the_ops_job_with_their_reasons() -> None:
    world = World(nodes=1)
    job = world.submit(kind="ops", queue_timeout=600)
    world.settle(job.id)
    world.bid(world.live(job.id)[0], "this node does not run jobs that require network access")
    world.settle(job.id)
    state = world.job(job.id).state
    assert state.state_type is JobStateType.FAILED
    assert "job rejected: this node does not run jobs that require network access" in state.message


def test_an_ops_job_keeps_its_time_limits() -> None:
    world = World(nodes=1)
    job = world.submit(kind="ops", execution_timeout=10)
    outcome = world.settle(job.id)
    assert outcome.wakeup_ns is not None
    world.clock.advance(131)
    world.settle(job.id)
    assert world.job(job.id).state.state_type is JobStateType.FAILED
    total = world.submit(kind="ops", total_timeout=10)
    world.settle(total.id)
    world.clock.advance(11)
    world.settle(total.id)
    assert world.job(total.id).state.message == "Job timed out. Job took longer than 10s"
    assert isinstance(world.sent[-1], CancelExecution)


def test_a_lost_node_fails_an_ops_job() -> None:
    world = World(nodes=1)
    job = world.submit(kind="ops")
    world.settle(job.id)
    world.node("n-1", ready=False, lost=True)
    world.settle(job.id)
    assert world.job(job.id).state.state_type is JobStateType.FAILED
