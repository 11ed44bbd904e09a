from __future__ import annotations

import time
from typing import Any

import pytest

from bacalhau_jupyter.models.jobs.job import JobStateType
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import Constraint
from bacalhau_jupyter.models.records.execution import DesiredStateType, ExecutionStateType
from bacalhau_jupyter.models.records.history import STARTED
from bacalhau_jupyter.models.wire.messages import AskForBid, BidAccepted, BidRejected, CancelExecution
from bacalhau_jupyter.orchestrator.scheduler.batch import schedule_batch
from bacalhau_jupyter.orchestrator.scheduler.placement import Obstacle, Refusal
from bacalhau_jupyter.orchestrator.scheduler.plan import JobChange, NodeView, PlaceExecution, Situation
from bacalhau_jupyter.orchestrator.scheduler.shortage import shortage_text
from tests.orchestrator.scheduler.world import World
from tests.orchestrator.support import CORES, node_info, noop_job


def kinds(world: World) -> list[type]:
    return [type(message) for message in world.sent]


def test_several_partitions_run_on_one_node() -> None:
    world = World(nodes=1)
    job = world.submit(count=3)
    world.settle(job.id)
    assert [e.partition_index for e in world.live()] == [0, 1, 2]
    assert kinds(world) == [AskForBid] * 3


def test_an_offer_holds_the_job_as_submitted_and_nothing_null() -> None:
    world = World(nodes=1)
    job = world.submit(count=1)
    world.settle(job.id)
    offer = world.sent[0]
    assert isinstance(offer, AskForBid)
    assert offer.execution.revision == 1
    assert offer.execution.desired_state.state_type is DesiredStateType.PENDING
    assert offer.execution.job is not None
    assert offer.execution.job.meta["bacalhau.org/orchestrator.id"] == "orchestrator"


def test_more_partitions_than_fit_run_one_after_another_even_without_a_queue_time_out() -> None:
    world = World(nodes=1)
    job = world.submit(count=6, cpu="1")
    for _ in range(12):
        world.settle(job.id)
        for execution in world.live():
            is_bid_accepted = execution.desired_state.state_type is DesiredStateType.RUNNING
            (world.complete if is_bid_accepted else world.bid)(execution)
    assert world.job(job.id).state.state_type is JobStateType.COMPLETED
    assert sorted(e.partition_index for e in world.executions(job.id)) == [0, 1, 2, 3, 4, 5]


def test_twenty_new_executions_per_evaluation_then_it_continues() -> None:
    world = World(nodes=1, capacity=Resources(cpu=100, memory=10**12, disk=10**12))
    job = world.submit(count=50)
    assert world.evaluate(job.id).again
    assert len(world.live()) == 20
    world.settle(job.id)
    assert len(world.live()) == 50


@pytest.mark.parametrize(("zone", "placed"), [("", 4), ("nowhere", 0)])
def test_a_vast_count_is_walked_not_listed(zone: str, placed: int) -> None:
    constraints = [Constraint(key="zone", operator="=", values=[zone])] if zone else []
    situation = Situation(
        job=noop_job("vast", count=2**31 - 1, constraints=constraints),
        executions=[],
        nodes=[NodeView(node_info("n-1", CORES))],
        used={},
        request=Resources(cpu=0.5),
        submitted_ns=0,
        now_ns=1,
    )
    start = time.process_time()
    plan = schedule_batch(situation)
    assert time.process_time() - start < 1
    assert sum(isinstance(step, PlaceExecution) for step in plan.steps) == placed
    if not placed:
        (failure,) = plan.steps
        assert isinstance(failure, JobChange)
        assert "requested: 2147483647, available: 1, suitable: 0" in failure.message


def test_count_zero_completes_at_once() -> None:
    world = World(nodes=0)
    job = world.submit(count=0)
    world.settle(job.id)
    assert world.job(job.id).state.state_type is JobStateType.COMPLETED


def test_a_failing_job_is_tried_twice_per_node_then_fails_with_the_official_words() -> None:
    world = World(nodes=1)
    job = world.submit(queue_timeout=1000)
    for _ in range(2):
        world.settle(job.id)
        world.bid(world.live()[0])
        world.settle(job.id)
        world.fail(world.live()[0])
    world.settle(job.id)
    state = world.job(job.id).state
    assert state.state_type is JobStateType.FAILED
    assert state.message == (
        "not enough nodes to run job. requested: 1, available: 1, suitable: 0.\n"
        "• Node n-1: job already executed on this node more than once: boom"
    )
    assert len(world.executions(job.id)) == 2


def test_a_bid_rejected_for_a_reason_bars_the_node() -> None:
    world = World(nodes=2)
    job = world.submit()
    for _ in range(2):
        world.settle(job.id)
        world.bid(world.live()[0], "this node does not run jobs that require network access")
    world.settle(job.id)
    assert {e.node_id for e in world.executions(job.id)} == {"n-1", "n-2"}
    assert world.job(job.id).state.message.endswith(
        "• 2 of 2 nodes: job rejected: this node does not run jobs that require network access"
    )


def test_a_bid_rejected_for_capacity_does_not_bar_the_node() -> None:
    world = World(nodes=1)
    job = world.submit()
    world.settle(job.id)
    world.bid(world.live()[0], "not enough capacity to run job")
    outcome = world.settle(job.id)
    assert not world.live() and not world.job(job.id).is_terminal
    assert outcome.wakeup_ns is not None
    world.clock.advance(0.3)
    world.settle(job.id)
    assert len(world.live()) == 1


def test_a_full_node_queues_the_job_and_says_why_once() -> None:
    world = World(nodes=1)
    first = world.submit(cpu="2")
    world.settle(first.id)
    second = world.submit(cpu="2", queue_timeout=60)
    outcome = world.settle(second.id)
    world.settle(second.id)
    job = world.job(second.id)
    assert job.state.state_type is JobStateType.QUEUED
    assert "• Node n-1: node busy with available capacity {CPU: 0.00, Memory: 3.9 GB" in job.state.message
    assert [m for m in world.messages(second.id) if m.startswith("Job queued. ")] == [
        "Job queued. " + job.state.message
    ]
    assert outcome.wakeup_ns == job.create_time + 60 * 10**9
    world.clock.advance(60)
    world.settle(second.id)
    assert world.job(second.id).state.state_type is JobStateType.FAILED


def test_a_full_node_fails_a_job_without_queue_time_out_as_upstream_does() -> None:
    world = World(nodes=1)
    world.settle(world.submit(cpu="2").id)
    second = world.submit(cpu="2")
    world.settle(second.id)
    assert "node busy with available capacity" in world.job(second.id).state.message


@pytest.mark.parametrize("limits", [{}, {"queue_timeout": 1000}])
def test_a_job_that_no_node_fits_names_the_reason_per_node(limits: dict[str, Any]) -> None:
    world = World(nodes=2)
    job = world.submit(cpu="8", **limits)
    world.settle(job.id)
    assert world.job(job.id).state.message == (
        "not enough nodes to run job. requested: 1, available: 2, suitable: 0.\n"
        "• 2 of 2 nodes: job requires more CPU (8) than the maximum available (2)"
    )


@pytest.mark.parametrize("kind", ["batch", "service", "ops", "daemon"])
@pytest.mark.parametrize(
    ("state", "words"), [({"lost": True}, "node is gone"), ({"rejected": True}, "node was rejected")]
)
def test_where_no_node_may_be_asked_the_text_says_why(kind: str, state: dict[str, bool], words: str) -> None:
    world = World(nodes=2)
    for node_id in ("n-1", "n-2"):
        world.node(node_id, ready=False, **state)
    job = world.submit(kind=kind, queue_timeout=1000)
    world.settle(job.id)
    first, reason = world.job(job.id).state.message.splitlines()
    assert "available: 0" in first or "out of 0 available nodes" in first
    assert reason == f"• 2 of 2 nodes: {words}"


@pytest.mark.parametrize(
    ("state", "words"), [({"rejected": True}, "node was rejected"), ({"lost": True}, "node is gone")]
)
def test_the_node_that_was_meant_is_told_before_those_that_do_not_suit(
    state: dict[str, bool], words: str
) -> None:
    world = World(nodes=1)
    world.join("n-2", zone="eu")
    world.node("n-2", ready=False, **state)
    job = world.submit(zone="eu")
    world.settle(job.id)
    reasons = world.job(job.id).state.message.splitlines()[1:]
    assert reasons == [
        f"• Node n-2: {words}",
        "• Node n-1: labels map[name:n-1] don't match required selectors [zone = eu]",
    ]


def test_a_node_that_refused_is_told_before_those_that_could_never_run_it() -> None:
    never = Refusal(Obstacle.LABELS, "labels"), Refusal(Obstacle.LACKS_PLUGIN, "no docker")
    refusals = {"n-1": never[0], "n-2": never[1], "n-3": Refusal(Obstacle.REJECTED, "job rejected: no")}
    reasons = shortage_text(1, 3, 0, refusals).splitlines()[1:]
    assert reasons == ["• Node n-3: job rejected: no", "• Node n-2: no docker", "• Node n-1: labels"]


def test_the_label_of_a_node_can_not_write_the_reason_of_another_one() -> None:
    world = World(nodes=0)
    world.join("n-1", note="x\n• Node n-2: all is well")
    job = world.submit(zone="eu")
    world.settle(job.id)
    assert len(world.job(job.id).state.message.splitlines()) == 2


def test_a_cluster_that_others_may_join_queues_what_no_node_fits() -> None:
    world = World(nodes=1, queue_unsuitable=True)
    job = world.submit(zone="eu", queue_timeout=100)
    world.settle(job.id)
    state = world.job(job.id).state
    assert state.state_type is JobStateType.QUEUED
    assert "labels map[name:n-1] don't match required selectors [zone = eu]" in state.message


def test_a_job_waits_for_a_node_that_is_just_away() -> None:
    world = World(nodes=1)
    world.node("n-1", ready=False)
    job = world.submit()
    world.settle(job.id)
    assert world.job(job.id).state.state_type is JobStateType.PENDING
    world.node("n-1", ready=True)
    world.settle(job.id)
    assert len(world.live()) == 1


@pytest.mark.parametrize(
    ("lost", "rejected", "words"), [(True, False, "disappeared"), (False, True, "been rejected")]
)
def test_executions_on_a_lost_node_are_placed_elsewhere(lost: bool, rejected: bool, words: str) -> None:
    world = World(nodes=2)
    job = world.submit()
    world.settle(job.id)
    world.bid(world.live()[0])
    world.settle(job.id)
    before = world.live()[0]
    world.node(before.node_id, ready=False, lost=lost, rejected=rejected)
    world.settle(job.id)
    after = world.live()[0]
    assert after.node_id != before.node_id
    assert f"Execution stop requested because node has {words}" in world.messages(job.id)
    # The node is told to end it if it ever comes back, and what it reports then is ignored.
    assert any(isinstance(m, CancelExecution) and m.execution_id == before.id for m in world.sent)
    world.complete(before)
    assert not world.job(job.id).is_terminal


def test_the_total_time_out_ends_job_and_executions() -> None:
    world = World(nodes=1)
    job = world.submit(total_timeout=5)
    outcome = world.settle(job.id)
    assert outcome.wakeup_ns == job.create_time + 5 * 10**9
    world.bid(world.live()[0])
    world.settle(job.id)
    world.clock.advance(5)
    world.settle(job.id)
    assert world.job(job.id).state.message == "Job timed out. Job took longer than 5s"
    assert not world.live()
    assert kinds(world)[-1] is CancelExecution


def test_the_execution_time_out_has_a_grace_for_the_node_to_report_first() -> None:
    world = World(nodes=1, execution_grace_s=120.0)
    job = world.submit(execution_timeout=5)
    world.settle(job.id)
    world.bid(world.live()[0])
    outcome = world.settle(job.id)
    assert outcome.wakeup_ns == world.clock.now_ns() + 125 * 10**9
    world.clock.advance(124)
    world.settle(job.id)
    first = world.live()[0]
    world.clock.advance(1)
    world.settle(job.id)
    assert world.live()[0].id != first.id
    assert "Execution timed out. Execution took longer than 5s" in world.messages(job.id)


def test_stopping_rejects_open_bids_and_cancels_what_runs() -> None:
    world = World(nodes=1)
    job = world.submit(count=3)
    world.settle(job.id)
    first, second, third = world.live()
    world.bid(first)
    world.settle(job.id)
    world.bid(second)
    world.sent.clear()
    world.stop(job.id)
    world.settle(job.id)
    assert [(type(m), m.execution_id) for m in world.sent] == [  # type: ignore[union-attr]
        (CancelExecution, first.id),
        (BidRejected, second.id),
        (BidRejected, third.id),
    ]
    assert world.messages(job.id)[-1] == "Execution stop requested because job has been stopped"
    assert {e.compute_state.state_type for e in world.executions(job.id)} == {ExecutionStateType.CANCELLED}


def test_no_cancel_follows_a_result_that_the_node_reported() -> None:
    world = World(nodes=1)
    job = world.submit()
    world.settle(job.id)
    world.bid(world.live()[0])
    world.settle(job.id)
    world.complete(world.live()[0])
    world.settle(job.id)
    assert kinds(world) == [AskForBid, BidAccepted]


def test_an_update_stops_old_executions_and_starts_new_ones_in_the_same_evaluation() -> None:
    world = World(nodes=1)
    job = world.submit("named", count=1)
    world.settle(job.id)
    world.bid(world.live()[0])
    world.settle(job.id)
    world.submit("named", count=2)
    world.settle(job.id)
    assert {e.job_version for e in world.live()} == {2}
    assert len(world.live()) == 2
    assert "Execution stopped for job update" in world.messages(job.id)


def test_time_outs_of_a_rerun_count_from_the_rerun() -> None:
    from bacalhau_jupyter.orchestrator.submitting import submission

    world = World(nodes=1)
    job = world.submit(total_timeout=5)
    world.settle(job.id)
    world.clock.advance(6)
    world.settle(job.id)
    submission.rerun(world.transaction(), job.id, "", 0)
    world.settle(job.id)
    assert not world.job(job.id).is_terminal


def test_an_execution_whose_work_is_done_is_not_run_again() -> None:
    world = World(nodes=2)
    job = world.submit(count=1)
    world.settle(job.id)
    (execution,) = world.live()
    world.bid(execution)
    world.settle(job.id)
    (execution,) = world.live()
    world.fail(execution, "the results could not be published: no such bucket", {"FailsJob": "true"})
    world.settle(job.id)
    assert len(world.executions(job.id)) == 1
    state = world.job(job.id).state
    assert state.state_type is JobStateType.FAILED
    assert state.message == "the results could not be published: no such bucket"


@pytest.mark.parametrize(
    ("details", "words"),
    [({}, ""), ({STARTED: "2026-11-30T12:00:00Z"}, ", where the task begins again: boom")],
)
def test_a_task_that_had_begun_and_begins_again_says_why(details: dict[str, str], words: str) -> None:
    world = World(nodes=1)
    job = world.submit()
    world.settle(job.id)
    world.fail(world.live()[0], "boom", details)
    world.settle(job.id)
    requested = [text for text in world.messages(job.id) if text.startswith("Requested")]
    assert requested == ["Requested execution on n-1", f"Requested execution on n-1{words}"]
