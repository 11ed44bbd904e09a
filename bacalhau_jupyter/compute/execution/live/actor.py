"""One execution at work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from bacalhau_jupyter.compute.execution.events import Event
from bacalhau_jupyter.compute.execution.record import ExecutionRecord


@dataclass(eq=False)
class Actor:
    """One execution at work.

    Attributes
    ----------
    record
        As it is now.
    lock
        Events are applied one at a time.
    activity, halting
        What its phase does, and what stops it.
    alarm, alarm_for
        Rings when the phase takes too long, with this event, for this delay of its end, and for this return of its
        machine (`Alarms`).
    note
        Set while the record is not stored yet.
    """

    record: ExecutionRecord
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    activity: asyncio.Task[Event] | None = None
    halting: asyncio.Task[None] | None = None
    alarm: asyncio.TimerHandle | None = None
    alarm_for: tuple[Event, int, int] | None = None
    note: asyncio.TimerHandle | None = None

    def note_later(self, delay_s: float, note: Callable[[], object]) -> None:
        """Have the record stored in a moment, unless something else stores it first."""
        self.noted()
        self.note = asyncio.get_running_loop().call_later(delay_s, note)

    def noted(self) -> None:
        """Hear that the record is stored."""
        if self.note is not None:
            self.note.cancel()
            self.note = None
