"""The timers of executions, on a machine that sleeps: timers stand still then, and the wall clock does not."""

from __future__ import annotations

import asyncio
from typing import cast

from bacalhau_jupyter.compute.execution.engine_calls import EngineCalls
from bacalhau_jupyter.compute.execution.events import Lost, Overdue, Returned
from bacalhau_jupyter.compute.execution.live.actor import Actor
from bacalhau_jupyter.compute.execution.live.alarms import Alarms
from bacalhau_jupyter.compute.execution.machine import step
from tests.clock import ManualClock
from tests.compute.test_machine_away import AWAY, running


async def test_a_limit_that_passed_while_this_machine_slept_is_noticed_when_the_host_is_back() -> None:
    clock = ManualClock(1_000_000_000)
    rung = asyncio.Event()
    alarms = Alarms(cast("EngineCalls", None), clock, 60.0, lambda execution_id, event: rung.set())
    actor = Actor(running(3600))
    alarms.set(actor)
    clock.jump(7200)
    for event in (Lost(AWAY), Returned()):
        actor.record = step(actor.record, event, clock.now_ns()).record
        alarms.set(actor)
    assert actor.alarm_for is not None and isinstance(actor.alarm_for[0], Overdue)
    async with asyncio.timeout(60):
        await rung.wait()
