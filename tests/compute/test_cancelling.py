"""Cancelling an execution in each phase, and messages that come too late."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from bacalhau_jupyter.compute.execution.events import Accepted
from bacalhau_jupyter.models.records.execution import Execution, ExecutionStateType
from bacalhau_jupyter.models.wire.messages import (
    BidResult,
    RunResult,
)
from bacalhau_jupyter.plugins.engine import EndReason, Outcome
from tests.compute.makers import STUB, an_input, make_execution, make_task
from tests.compute.peer import WAIT_S, Bench, bench


async def is_offered(_node: Bench, _execution: Execution) -> None:
    """Leave the execution where its bid left it."""


async def is_fetching(node: Bench, execution: Execution) -> None:
    node.source.hang = asyncio.Event()
    await node.peer.accept(execution)
    await asyncio.wait_for(node.source.fetching.wait(), WAIT_S)


async def is_starting(node: Bench, execution: Execution) -> None:
    node.world.hold_start = asyncio.Event()
    await node.peer.accept(execution)
    await asyncio.wait_for(node.world.starting.wait(), WAIT_S)


async def is_running(node: Bench, execution: Execution) -> None:
    await node.peer.accept(execution)
    await asyncio.wait_for(node.world.running.wait(), WAIT_S)


async def is_publishing(node: Bench, execution: Execution) -> None:
    node.publisher.hang = asyncio.Event()
    await is_running(node, execution)
    node.world.end(execution, Outcome(EndReason.EXITED))
    await asyncio.wait_for(node.publisher.publishing.wait(), WAIT_S)


@pytest.mark.parametrize("bring", [is_offered, is_fetching, is_starting, is_running, is_publishing])
async def test_cancelling_in_each_phase_ends_it_and_frees_everything(
    node: Bench, bring: Callable[[Bench, Execution], Awaitable[None]]
) -> None:
    execution = make_execution(make_task("world", input_sources=[an_input()], publisher=STUB))
    await node.peer.bid(execution)
    await bring(node, execution)
    await node.peer.cancel(execution)
    await node.idle()
    record = await node.node.lookup(execution.id)
    assert record is not None
    assert record.phase.wire is ExecutionStateType.CANCELLED
    assert node.free() == node.node.capacity.limit
    assert node.peer.inbox.empty()
    assert not list((node.settings.data_dir / "executions").iterdir())
    if bring in (is_starting, is_running):
        assert execution.id in node.world.cancelled
    assert node.world.outcomes == {}


async def test_a_task_that_will_not_stop_is_given_up_after_a_while(tmp_path: Path) -> None:
    async with bench(tmp_path, cancel_timeout_s=0.05) as node:
        node.world.deaf = True
        execution = make_execution(make_task("world"))
        await node.peer.bid(execution)
        await node.peer.accept(execution)
        await asyncio.wait_for(node.world.running.wait(), WAIT_S)
        await node.peer.cancel(execution)
        await node.idle()
        assert node.free() == node.node.capacity.limit


async def test_what_was_stored_is_acted_upon_even_if_the_carrier_broke_meanwhile(node: Bench) -> None:
    parts = node.node._parts
    assert parts is not None
    execution = make_execution()
    for work in (
        lambda: parts.executions.admit(execution, False),
        lambda: parts.executions.feed(execution.id, Accepted()),
    ):
        handler = asyncio.ensure_future(work())
        await asyncio.sleep(0)
        handler.cancel()
        assert isinstance(await node.peer.next(), (BidResult, RunResult))
    await node.idle()


async def test_late_and_unknown_messages_are_harmless(node: Bench) -> None:
    execution = make_execution()
    await node.peer.run(execution)
    for _ in range(2):
        await node.peer.ask(execution)
        await node.peer.accept(execution)
        await node.peer.cancel(execution)
    await node.peer.cancel(make_execution())
    await node.peer.accept(make_execution())
    assert isinstance(await node.peer.run(make_execution()), RunResult)
    assert node.peer.inbox.empty()
