"""What a compute node does after a crash with what it had begun."""

from __future__ import annotations

import asyncio

from bacalhau_jupyter.models.records.execution import ExecutionStateType
from bacalhau_jupyter.models.wire.messages import (
    ComputeError,
    RunResult,
)
from bacalhau_jupyter.plugins.engine import EndReason, Outcome
from tests.compute.makers import STUB, an_input, make_execution, make_task
from tests.compute.peer import WAIT_S, Bench


async def test_a_running_task_is_attached_again_and_runs_only_once(node: Bench) -> None:
    execution = make_execution(make_task("world", publisher=STUB))
    await node.peer.bid(execution)
    await node.peer.accept(execution)
    await asyncio.wait_for(node.world.running.wait(), WAIT_S)
    await node.crash()
    await node.restart()
    assert node.free().cpu < node.node.capacity.limit.cpu
    node.world.end(execution, Outcome(EndReason.EXITED, 4), b"one line\n")
    result = await node.peer.next()
    assert isinstance(result, RunResult)
    assert result.run_command_result is not None
    assert (result.run_command_result.exit_code, result.run_command_result.stdout) == (4, "one line\n")
    assert node.world.started == [execution.id]
    await node.idle()
    assert node.free() == node.node.capacity.limit


async def test_what_finished_while_the_node_was_away_is_collected(node: Bench) -> None:
    execution = make_execution(make_task("world", publisher=STUB))
    await node.peer.bid(execution)
    await node.peer.accept(execution)
    await asyncio.wait_for(node.world.running.wait(), WAIT_S)
    await node.crash()
    node.world.end(execution, Outcome(EndReason.EXITED))
    await node.restart()
    assert isinstance(await node.peer.next(), RunResult)
    assert node.world.started == [execution.id]


async def test_a_crash_while_publishing_publishes_again_but_runs_once(node: Bench) -> None:
    node.publisher.hang = asyncio.Event()
    execution = make_execution(make_task("world", publisher=STUB))
    await node.peer.bid(execution)
    await node.peer.accept(execution)
    await asyncio.wait_for(node.world.running.wait(), WAIT_S)
    node.world.end(execution, Outcome(EndReason.EXITED), b"out\n")
    await asyncio.wait_for(node.publisher.publishing.wait(), WAIT_S)
    await node.crash()
    node.publisher.hang = None
    await node.restart()
    assert isinstance(await node.peer.next(), RunResult)
    assert node.publisher.tries == 2
    assert node.publisher.published[execution.id]["stdout"] == "out\n"
    assert node.world.started == [execution.id]


async def test_a_crash_while_fetching_fetches_afresh(node: Bench) -> None:
    node.source.hang = asyncio.Event()
    execution = make_execution(make_task("noop", input_sources=[an_input()]))
    await node.peer.bid(execution)
    await node.peer.accept(execution)
    await asyncio.wait_for(node.source.fetching.wait(), WAIT_S)
    await node.crash()
    node.source.hang = None
    await node.restart()
    assert isinstance(await node.peer.next(), RunResult)


async def test_an_open_bid_survives_a_restart(node: Bench) -> None:
    execution = make_execution()
    assert (await node.peer.bid(execution)).accepted
    await node.crash()
    await node.restart()
    await node.peer.accept(execution)
    assert isinstance(await node.peer.next(), RunResult)


async def test_a_lost_task_fails_so_that_the_orchestrator_tries_again(node: Bench) -> None:
    execution = make_execution(make_task("world"))
    await node.peer.bid(execution)
    await node.peer.accept(execution)
    await asyncio.wait_for(node.world.running.wait(), WAIT_S)
    await node.reaches(execution, "running")
    await node.crash()
    node.world.outcomes.clear()
    await node.restart()
    answer = await node.peer.next()
    assert isinstance(answer, ComputeError)
    assert answer.events is not None
    assert answer.events[0].message == "Failing due to node restart"


async def test_a_cancelled_task_that_survived_the_crash_is_stopped_after_it(node: Bench) -> None:
    node.world.deaf = True
    execution = make_execution(make_task("world"))
    await node.peer.bid(execution)
    await node.peer.accept(execution)
    await asyncio.wait_for(node.world.running.wait(), WAIT_S)
    await node.peer.cancel(execution)
    await node.crash()
    node.world.deaf = False
    await node.restart()
    await node.idle()
    record = await node.node.lookup(execution.id)
    assert record is not None
    assert record.phase.wire is ExecutionStateType.CANCELLED
    assert node.world.outcomes == {}


async def test_what_belongs_to_no_execution_is_swept(node: Bench) -> None:
    await node.crash()
    node.world.outcomes["e-orphan"] = asyncio.get_running_loop().create_future()
    await node.restart()
    await asyncio.wait_for(node.world.swept.wait(), WAIT_S)
    assert node.world.outcomes == {}
    assert node.world.cancelled == ["e-orphan"]


async def test_results_that_could_not_be_delivered_before_a_crash_are_delivered_after_it(node: Bench) -> None:
    execution = make_execution()
    await node.peer.bid(execution)
    node.peer.refuse_messages = 1_000_000
    await node.peer.accept(execution)
    await node.idle()
    await node.crash()
    node.peer.refuse_messages = 0
    await node.restart()
    assert isinstance(await node.peer.next(), RunResult)
