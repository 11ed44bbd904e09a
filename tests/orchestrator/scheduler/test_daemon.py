from __future__ import annotations

from bacalhau_jupyter.models.jobs.job import JobStateType
from bacalhau_jupyter.models.records.execution import ExecutionStateType
from bacalhau_jupyter.models.wire.messages import CancelExecution
from bacalhau_jupyter.orchestrator.scheduler.attempts import RESTART_PAUSE_S, STEADY_S
from tests.orchestrator.scheduler.world import World


def places(world: World, job_id: str) -> list[str]:
    return sorted(execution.node_id for execution in world.live(job_id))


def test_a_daemon_runs_on_each_node_and_on_one_that_joins_later() -> None:
    world = World(nodes=2)
    job = world.submit(kind="daemon")
    outcome = world.settle(job.id)
    assert places(world, job.id) == ["n-1", "n-2"]
    assert outcome.wish is not None, "what waits is evaluated when a node joins"
    world.join("n-3")
    world.settle(job.id)
    assert places(world, job.id) == ["n-1", "n-2", "n-3"]
    assert world.job(job.id).state.state_type is JobStateType.RUNNING


def test_a_daemon_stays_pending_without_nodes_and_says_why() -> None:
    world = World(nodes=1)
    job = world.submit(kind="daemon", zone="a")
    outcome = world.settle(job.id)
    assert outcome.wish is not None
    state = world.job(job.id).state
    assert state.state_type is JobStateType.PENDING
    assert state.message.startswith("not matching nodes to run job out of 1 available nodes.")
    revision = world.job(job.id).revision
    world.settle(job.id)
    assert world.job(job.id).revision == revision
    world.join("n-zone", zone="a")
    world.settle(job.id)
    assert places(world, job.id) == ["n-zone"]
    assert world.messages(job.id) == ["Job submitted", "Running", "Requested execution on n-zone"]


def test_an_execution_that_ends_by_itself_is_a_failure_and_starts_again_after_a_pause() -> None:
    world = World(nodes=1)
    job = world.submit(kind="daemon")
    world.settle(job.id)
    (first,) = world.live(job.id)
    world.complete(first)
    outcome = world.settle(job.id)
    (ended,) = world.executions(job.id)
    assert ended.compute_state.state_type is ExecutionStateType.FAILED
    assert ended.compute_state.message == "execution completed unexpectedly"
    assert ended.desired_state.message == "execution completed unexpectedly"
    assert outcome.wakeup_ns == world.clock.now_ns() + int(RESTART_PAUSE_S * 1e9)
    world.clock.advance(RESTART_PAUSE_S)
    world.settle(job.id)
    assert places(world, job.id) == ["n-1"]
    assert world.messages(job.id)[-2:] == ["Completed successfully", "Requested execution on n-1"]


def test_two_attempts_in_a_row_are_all_that_a_node_gets_and_the_job_runs_on() -> None:
    world = World(nodes=1)
    job = world.submit(kind="daemon")
    for _ in range(5):
        world.settle(job.id)
        for execution in world.live(job.id):
            world.fail(execution)
        world.clock.advance(10)
    assert len(world.executions(job.id)) == 2
    state = world.job(job.id).state
    assert state.state_type is JobStateType.RUNNING
    assert "n-1: job already executed on this node more than once" in state.message
    begun = state.details["StartTime"]
    idle_messages = [words for words in world.messages(job.id) if words.startswith("Job runs on no node.")]
    assert idle_messages == [f"Job runs on no node.\n{state.message}"]
    world.join("n-2")
    world.settle(job.id)
    state = world.job(job.id).state
    assert (state.message, state.details["StartTime"]) == ("", begun)


def test_an_execution_that_ran_for_long_clears_what_failed_before() -> None:
    world = World(nodes=1)
    job = world.submit(kind="daemon")
    for _ in range(5):
        world.settle(job.id)
        (execution,) = world.live(job.id)
        world.clock.advance(STEADY_S)
        world.fail(execution)
        world.settle(job.id)
        world.clock.advance(RESTART_PAUSE_S)
    world.settle(job.id)
    assert places(world, job.id) == ["n-1"]


def test_a_lost_node_gets_its_daemon_back_however_often_it_is_lost() -> None:
    world = World(nodes=1)
    job = world.submit(kind="daemon")
    for _ in range(5):
        world.settle(job.id)
        assert places(world, job.id) == ["n-1"]
        world.node("n-1", ready=False, lost=True)
        world.settle(job.id)
        assert not world.live(job.id)
        world.node("n-1", ready=True, lost=False)
    world.settle(job.id)
    assert places(world, job.id) == ["n-1"]


def test_a_rejected_node_loses_its_daemon_and_an_approved_one_gets_it() -> None:
    world = World(nodes=2)
    world.node("n-2", ready=False)
    job = world.submit(kind="daemon")
    world.settle(job.id)
    assert places(world, job.id) == ["n-1"]
    world.node("n-1", ready=False, rejected=True)
    world.node("n-2", ready=True)
    world.settle(job.id)
    assert places(world, job.id) == ["n-2"]


def test_a_full_node_gets_its_daemon_when_it_has_room() -> None:
    world = World(nodes=1)
    blocker = world.submit(cpu="2")
    world.settle(blocker.id)
    job = world.submit(kind="daemon")
    outcome = world.settle(job.id)
    assert outcome.wish is not None
    assert outcome.wish.nodes == {"n-1"}
    world.stop(blocker.id)
    world.settle(blocker.id)
    world.settle(job.id)
    assert places(world, job.id) == ["n-1"]


def test_neither_total_nor_execution_time_out_ends_a_daemon() -> None:
    world = World(nodes=1)
    job = world.submit(kind="daemon", execution_timeout=10, total_timeout=20)
    assert world.settle(job.id).wakeup_ns is None
    world.clock.advance(100_000)
    world.settle(job.id)
    assert places(world, job.id) == ["n-1"]


def test_an_update_replaces_the_daemon_on_each_node() -> None:
    world = World(nodes=30)
    job = world.submit("d", kind="daemon")
    world.settle(job.id)
    assert len(world.live(job.id)) == 30
    world.submit("d", kind="daemon", cpu="600m")
    world.settle(job.id)
    live = world.live(job.id)
    assert {execution.job_version for execution in live} == {2}
    assert len({execution.node_id for execution in live}) == 30
    world.stop(job.id)
    world.settle(job.id)
    assert not world.live(job.id)
    assert isinstance(world.sent[-1], CancelExecution)
