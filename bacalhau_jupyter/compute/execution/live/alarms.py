"""The timers of executions: a bid that nobody decides on, a task whose time is over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bacalhau_jupyter.compute.execution.absence import is_in_time
from bacalhau_jupyter.compute.execution.engine_calls import EngineCalls
from bacalhau_jupyter.compute.execution.events import Event, OfferExpired, Overdue
from bacalhau_jupyter.compute.execution.live.actor import Actor
from bacalhau_jupyter.compute.execution.record import MOMENT_S, ExecutionRecord, Phase
from bacalhau_jupyter.lib.clock import SECOND, Clock


class Alarms:
    """Sets the timer that a phase needs.

    Parameters
    ----------
    engines
        Tell when a task has ended.
    offer_timeout_s
        How long a bid stays open.
    ring
        Called with an execution ID when a timer ends, and the event to apply; see `is_due`.
    """

    def __init__(
        self,
        engines: EngineCalls,
        clock: Clock,
        offer_timeout_s: float,
        ring: Callable[[str, Event], None],
    ) -> None:
        self._engines = engines
        self._clock = clock
        self._offer_timeout_s = offer_timeout_s
        self._ring = ring

    def set(self, actor: Actor) -> None:
        """Set, leave or stop the timer of an execution, as its phase wants it."""
        record = actor.record
        event: Event | None = None
        delay_s, now_ns = 0.0, self._clock.now_ns()
        if record.phase is Phase.OFFERED:
            age_s = (now_ns - record.created_ns) / SECOND
            event, delay_s = OfferExpired(), max(0.0, self._offer_timeout_s - age_s)
        elif record.phase.is_busy and (left_s := record.remaining_s(now_ns)) is not None:
            event, delay_s = Overdue(), left_s
        # A timer stands still while this machine sleeps, and links break then: with their return it is set anew.
        purpose = None if event is None else (event, record.late_ns, record.back_ns)
        if actor.alarm_for == purpose:
            return
        if actor.alarm is not None:
            actor.alarm.cancel()
        actor.alarm, actor.alarm_for = None, purpose
        if event is not None:
            actor.alarm = asyncio.get_running_loop().call_later(delay_s, self._ring, record.id, event)

    async def is_due(self, event: Event, current: Callable[[], ExecutionRecord | None]) -> bool:
        """Whether an event of a timer is still to be applied.

        A task that has ended within its limit is not overdue because that is heard of late: its own machine is asked,
        and waited for.
        """
        record = current()
        if record is None or not isinstance(event, Overdue):
            return record is not None
        if record.phase in (Phase.STARTING, Phase.RUNNING):
            ended_ns = await self._engines.ended_ns(record)
            if 0 < ended_ns <= record.limit_ns:
                return False
        now = current()
        if now is None or not now.exited_ns or not is_in_time(now):
            return now is not None
        # What is still to be done with its results has the time that was left when it ended.
        return (now.remaining_s(self._clock.now_ns()) or 0.0) <= MOMENT_S
