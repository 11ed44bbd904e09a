"""Time limits of executions on machines that can't be reached for a while, though their node is heard."""

from __future__ import annotations

from dataclasses import replace as with_changes
from typing import Any

import pytest

from bacalhau_jupyter.lib.clock import SECOND
from bacalhau_jupyter.models.jobs.job import JobStateType
from bacalhau_jupyter.models.jobs.spec import replace
from bacalhau_jupyter.models.records.node import NodeState
from bacalhau_jupyter.orchestrator.membership.members import Member
from bacalhau_jupyter.orchestrator.peers.register import Register
from bacalhau_jupyter.orchestrator.scheduler.plan import NodeView
from tests.clock import ManualClock
from tests.orchestrator.peers.test_late import started, states
from tests.orchestrator.scheduler.world import World
from tests.orchestrator.support import CORES, node_info

LIMITS = ({"execution_timeout": 10}, {"total_timeout": 10}, {"execution_timeout": 10, "total_timeout": 20})
GRACE_S = 60.0


def hosted(**settings: Any) -> World:
    """One node, which works on a host."""
    world = World(nodes=0, execution_grace_s=GRACE_S, **settings)
    world.join("n-1", host="gpu1")
    return world


def away(world: World, reason: str = "host gpu1 does not answer", *, is_away: bool = True) -> None:
    info = world.nodes["n-1"].info
    compute = replace(info.compute_node_info, unavailable=reason, away=is_away)
    world.nodes["n-1"] = with_changes(world.nodes["n-1"], info=replace(info, compute_node_info=compute))


def back(world: World) -> None:
    away(world, "", is_away=False)
    world.node("n-1", back_ns=world.clock.now_ns())


@pytest.mark.parametrize("limits", LIMITS)
def test_nothing_is_out_of_time_while_its_machine_is_away(limits: dict[str, int]) -> None:
    world = hosted()
    execution = started(world, **limits)
    away(world)
    world.clock.advance(3600)
    outcome = world.settle(execution.job_id)
    assert states(world, execution.job_id) == ["BID_ACCEPTED"]
    assert world.job(execution.job_id).state.state_type is JobStateType.RUNNING
    assert outcome.wakeup_ns is not None and outcome.wakeup_ns > world.clock.now_ns()
    back(world)
    world.settle(execution.job_id)
    world.complete(execution)
    world.settle(execution.job_id)
    assert world.job(execution.job_id).state.state_type is JobStateType.COMPLETED
    assert states(world, execution.job_id) == ["COMPLETED"]


@pytest.mark.parametrize("limits", LIMITS)
def test_a_machine_that_is_back_and_says_nothing_has_a_limit_and_the_grace(limits: dict[str, int]) -> None:
    world = hosted()
    execution = started(world, **limits)
    away(world)
    world.clock.advance(3600)
    back(world)
    world.clock.advance(GRACE_S + 9)
    world.settle(execution.job_id)
    assert states(world, execution.job_id) == ["BID_ACCEPTED"]
    # The longest of the limits, after which the node itself would have ended it.
    world.clock.advance(12)
    world.settle(execution.job_id)
    assert states(world, execution.job_id)[0] in ("FAILED", "CANCELLED")


@pytest.mark.parametrize("limits", LIMITS)
def test_a_paused_host_is_no_reason_to_wait(limits: dict[str, int]) -> None:
    world = hosted()
    execution = started(world, **limits)
    away(world, "host gpu1 is paused", is_away=False)
    world.clock.advance(10 + GRACE_S + 1)
    world.settle(execution.job_id)
    assert states(world, execution.job_id)[0] in ("FAILED", "CANCELLED")


def test_the_total_limit_of_a_job_elsewhere_is_not_moved() -> None:
    world = World(nodes=1, execution_grace_s=GRACE_S)
    execution = started(world, total_timeout=10)
    world.clock.advance(11)
    world.settle(execution.job_id)
    assert world.job(execution.job_id).state.state_type is JobStateType.FAILED


def test_a_job_fails_by_its_total_limit_where_a_part_of_it_is_certainly_late() -> None:
    world = hosted()
    world.join("n-2")
    world.node("n-2", ready=False)
    job = world.submit(count=2, total_timeout=10, queue_timeout=10, cpu="1500m")
    world.settle(job.id)
    for execution in world.live(job.id):
        world.bid(execution)
    world.settle(job.id)
    placed = world.live(job.id)
    assert {each.node_id for each in placed} == {"n-1"} and len(placed) == 1
    away(world)
    world.clock.advance(11)
    world.settle(job.id)
    assert world.job(job.id).state.state_type is JobStateType.FAILED


def test_the_total_limit_does_not_wait_for_a_node_that_is_given_up() -> None:
    world = hosted()
    execution = started(world, total_timeout=10)
    away(world)
    world.node("n-1", ready=False, lost=True)
    world.clock.advance(11)
    world.settle(execution.job_id)
    assert world.job(execution.job_id).state.state_type is JobStateType.FAILED


def test_after_a_sleep_of_this_machine_nodes_get_time_to_tell_what_happened() -> None:
    clock = ManualClock()
    register = Register(clock)
    register.members["n-1"] = Member(NodeState(info=node_info("n-1", CORES)), clock.monotonic_ns())

    def view() -> NodeView:
        (it,) = register.views()
        return it

    clock.advance(3600)
    assert view().back_ns == 0
    clock.jump(-3600)
    assert view().back_ns == 0
    clock.jump(3600)
    assert view().back_ns == clock.now_ns()
    at_ns = clock.now_ns()
    clock.advance(3600)
    assert view().back_ns == at_ns
    assert clock.now_ns() - at_ns == 3600 * SECOND
