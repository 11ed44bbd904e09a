"""Progress of executions: in memory only, told to whoever listens, never more often than eyes can follow."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from bacalhau_jupyter.lib.clock import SECOND, Clock
from bacalhau_jupyter.plugins.contract import Progress

INTERVAL_NS = SECOND // 10

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reading:
    """The latest word on an execution.

    Attributes
    ----------
    done, total
        Bytes, or 0/None where nothing can be counted.
    files, files_total
        Files finished and in all; None where they can't be counted.
    note
        A remark in words, such as how much came from the cache.
    """

    phase: str
    done: int = 0
    total: int | None = None
    files: int | None = None
    files_total: int | None = None
    note: str = ""


ProgressListener = Callable[[str, Reading], None]
"""Called on the event loop with an execution ID and what is known of it; must not block."""


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
        self._notes: dict[str, str] = {}
        self.listener: ProgressListener | None = None

    def reading(self, execution_id: str) -> Reading | None:
        """Return the latest reading of a live execution."""
        return self._readings.get(execution_id)

    def reporter(self, execution_id: str, phase: str = "") -> Progress:
        """Return a function for an engine, source or publisher: callable from any thread, never blocks.

        Parameters
        ----------
        phase
            What to call the phase, whatever the plug-in's steps in it are called; its own words when empty.
        """
        loop = self._loop

        def report(
            step: str,
            done: int,
            total: int | None,
            files: int | None = None,
            files_total: int | None = None,
            /,
        ) -> None:
            try:
                running = asyncio.get_running_loop()
            except RuntimeError:
                running = None
            reading = Reading(phase or step, done, total, files, files_total)
            if running is loop:
                self._note(execution_id, reading, late=True)
            elif not loop.is_closed():
                loop.call_soon_threadsafe(self._note, execution_id, reading, True)

        return report

    def phase(self, execution_id: str, phase: str) -> None:
        """Say that a phase begins."""
        self._notes.pop(execution_id, None)
        self._note(execution_id, Reading(phase))

    def remark(self, execution_id: str, note: str) -> None:
        """Say something about the present phase; it stays with the readings of that phase."""
        before = self._readings.get(execution_id)
        if before is not None:
            self._notes[execution_id] = note
            self._told.pop(execution_id, None)
            self._note(execution_id, before)

    def forget(self, execution_id: str) -> None:
        """Drop an execution that ended."""
        for kept in (self._readings, self._told, self._notes):
            kept.pop(execution_id, None)

    def _note(self, execution_id: str, reading: Reading, late: bool = False) -> None:
        before = self._readings.get(execution_id)
        if late and before is None:
            return  # a straggler of an execution that ended
        if note := self._notes.get(execution_id, ""):
            reading = replace(reading, note=note)
        self._readings[execution_id] = reading
        now = self._clock.monotonic_ns()
        same = before is not None and before.phase == reading.phase
        whole = reading.total is not None and reading.done >= reading.total
        if same and not whole and now - self._told.get(execution_id, 0) < INTERVAL_NS:
            return
        self._told[execution_id] = now
        if self.listener is not None:
            try:
                self.listener(execution_id, reading)
            except Exception:
                _log.exception("a progress listener failed")


@dataclass
class _Part:
    """What is known of one of several things done at the same time."""

    done: int = 0
    total: int | None = None
    files: int | None = None
    files_total: int | None = None
    finished: bool = False


class SharedProgress:
    """Adds up things that are done at the same time: what is told is their sum, not whichever reported last.

    Parameters
    ----------
    report
        Gets the sums.
    phase
        What to call it.
    count
        How many parts there are.
    """

    def __init__(self, report: Progress, phase: str, count: int) -> None:
        self._report = report
        self._phase = phase
        self._parts = [_Part() for _ in range(count)]
        # Parts report from threads of their own; under the lock a sum is never overtaken by an older one.
        self._lock = threading.Lock()
        self.cached = 0

    def part(self, index: int) -> Progress:
        """Return the function to which one part reports."""
        part = self._parts[index]

        def report(
            _: str, done: int, total: int | None, files: int | None = None, files_total: int | None = None, /
        ) -> None:
            with self._lock:
                part.done, part.total, part.files, part.files_total = done, total, files, files_total
                self._tell()

        return report

    def note_cached(self, size: int) -> None:
        """Count bytes that did not have to be fetched."""
        with self._lock:
            self.cached += size

    def finish(self, index: int, size: int | None = None, files: int | None = None) -> None:
        """Say that a part is there, and what it came to where that is known."""
        part = self._parts[index]
        with self._lock:
            part.finished = True
            part.done = part.done if size is None else size
            part.files = part.files if files is None else files
            self._tell()

    @property
    def done(self) -> tuple[int, int]:
        """Bytes and files so far."""
        with self._lock:
            return sum(part.done for part in self._parts), sum(part.files or 0 for part in self._parts)

    def _tell(self) -> None:
        parts = self._parts
        totals = [part.done if part.finished else part.total for part in parts]
        known = [total for total in totals if total is not None]
        files = [part.files for part in parts if part.files is not None]
        all_files = [(part.files or 0) if part.finished else part.files_total for part in parts]
        known_files = [total for total in all_files if total is not None]
        self._report(
            self._phase,
            sum(part.done for part in parts),
            sum(known) if len(known) == len(parts) else None,
            sum(files) if files else None,
            sum(known_files) if files and len(known_files) == len(parts) else None,
        )
