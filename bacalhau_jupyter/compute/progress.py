"""Progress of executions: in memory only, told to whoever listens, never more often than eyes can follow."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from bacalhau_jupyter.engines.base import Progress
from bacalhau_jupyter.lib.clock import SECOND, Clock

ProgressListener = Callable[[str, str, int, int | None], None]
"""Called on the event loop with (execution ID, phase, done, total); must not block."""

INTERVAL_NS = SECOND // 10

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reading:
    """The latest word on an execution: bytes, or 0/None where nothing can be counted."""

    phase: str
    done: int = 0
    total: int | None = None


class ProgressBoard:
    """Keeps the latest reading per execution and passes changes on.

    Parameters
    ----------
    clock
        For the throttle.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._readings: dict[str, Reading] = {}
        self._told: dict[str, int] = {}
        self.listener: ProgressListener | None = None

    def reading(self, execution_id: str) -> Reading | None:
        """Return the latest reading of a live execution."""
        return self._readings.get(execution_id)

    def reporter(self, execution_id: str) -> Progress:
        """Return a function for an engine, source or publisher: callable from any thread, never blocks."""
        loop = self._loop

        def report(phase: str, done: int, total: int | None) -> None:
            try:
                running = asyncio.get_running_loop()
            except RuntimeError:
                running = None
            reading = Reading(phase, done, total)
            if running is loop:
                self._note(execution_id, reading, late=True)
            elif not loop.is_closed():
                loop.call_soon_threadsafe(self._note, execution_id, reading, True)

        return report

    def phase(self, execution_id: str, phase: str) -> None:
        """Say that a phase begins."""
        self._note(execution_id, Reading(phase))

    def forget(self, execution_id: str) -> None:
        """Drop an execution that ended."""
        self._readings.pop(execution_id, None)
        self._told.pop(execution_id, None)

    def _note(self, execution_id: str, reading: Reading, late: bool = False) -> None:
        before = self._readings.get(execution_id)
        if late and before is None:
            return  # a straggler of an execution that ended
        self._readings[execution_id] = reading
        now = self._clock.monotonic_ns()
        same = before is not None and before.phase == reading.phase
        whole = reading.total is not None and reading.done >= reading.total
        if same and not whole and now - self._told.get(execution_id, 0) < INTERVAL_NS:
            return
        self._told[execution_id] = now
        if self.listener is not None:
            try:
                self.listener(execution_id, reading.phase, reading.done, reading.total)
            except Exception:
                _log.exception("a progress listener failed")
