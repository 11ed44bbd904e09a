"""Progress of executions: in memory only, sent to listeners, never more often than eyes can follow."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from bacalhau_jupyter.lib.clock import SECOND, Clock
from bacalhau_jupyter.models.records.progress import Reading
from bacalhau_jupyter.plugins.contract import Progress

INTERVAL_NS = SECOND // 10

_log = logging.getLogger(__name__)


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
        self._reported_at_ns: dict[str, int] = {}
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

        def report(reading: Reading) -> None:
            try:
                running = asyncio.get_running_loop()
            except RuntimeError:
                running = None
            reading = replace(reading, phase=phase or reading.phase)
            if running is loop:
                self._note(execution_id, reading, late=True)
            elif not loop.is_closed():
                loop.call_soon_threadsafe(self._note, execution_id, reading, True)

        return report

    @contextlib.contextmanager
    def preliminary(self, execution_id: str) -> Iterator[Progress]:
        """Yield a function for what is done before the first phase: nothing shows before it reports, or after it."""
        is_over = False

        def note(reading: Reading) -> None:
            if not is_over:
                self._note(execution_id, reading)

        def report(reading: Reading) -> None:
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(note, reading)

        try:
            yield report
        finally:
            is_over = True
            self.forget(execution_id)

    def phase(self, execution_id: str, phase: str) -> None:
        """Say that a phase begins."""
        self._notes.pop(execution_id, None)
        self._note(execution_id, Reading(phase))

    def show(self, execution_id: str) -> None:
        """Tell again what is known: before it was stored, nobody knew the execution."""
        reading = self._readings.get(execution_id)
        if reading is not None:
            self._reported_at_ns.pop(execution_id, None)
            self._note(execution_id, reading)

    def remark(self, execution_id: str, note: str) -> None:
        """Say something about the present phase; it stays with the readings of that phase. Empty: nothing any more."""
        before = self._readings.get(execution_id)
        if before is not None:
            self._notes[execution_id] = note
            self._reported_at_ns.pop(execution_id, None)
            self._note(execution_id, replace(before, note=note))

    def forget(self, execution_id: str) -> None:
        """Drop an execution that ended."""
        for kept in (self._readings, self._reported_at_ns, self._notes):
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
        if same and not whole and now - self._reported_at_ns.get(execution_id, 0) < INTERVAL_NS:
            return
        self._reported_at_ns[execution_id] = now
        if self.listener is not None:
            try:
                self.listener(execution_id, reading)
            except Exception:
                _log.exception("a progress listener failed")


@dataclass
class _Part:
    """What is known of one of several things done at the same time."""

    reading: Reading = field(default_factory=lambda: Reading(""))
    finished: bool = False


class SharedProgress:
    """Adds up concurrent work: listeners get the sum, not the last report.

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
        # Parts report from their own threads; the lock keeps an older sum from overtaking a newer one.
        self._lock = threading.Lock()
        self.cached = 0

    def part(self, index: int) -> Progress:
        """Return the function to which one part reports."""
        part = self._parts[index]

        def report(reading: Reading) -> None:
            with self._lock:
                part.reading = reading
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
            last = part.reading
            part.reading = replace(
                last,
                done=last.done if size is None else size,
                files=last.files if files is None else files,
            )
            self._tell()

    @property
    def done(self) -> tuple[int, int]:
        """Bytes and files so far."""
        with self._lock:
            readings = [part.reading for part in self._parts]
            return sum(each.done for each in readings), sum(each.files or 0 for each in readings)

    def _tell(self) -> None:
        readings = [_with_totals(part) for part in self._parts]
        totals = [each.total for each in readings if each.total is not None]
        files = [each.files for each in readings if each.files is not None]
        file_totals = [each.files_total for each in readings if each.files_total is not None]
        self._report(
            Reading(
                self._phase,
                sum(each.done for each in readings),
                sum(totals) if len(totals) == len(readings) else None,
                sum(files) if files else None,
                sum(file_totals) if files and len(file_totals) == len(readings) else None,
            )
        )


def _with_totals(part: _Part) -> Reading:
    """Return the reading of a part; what is finished is its own total."""
    last = part.reading
    return replace(last, total=last.done, files_total=last.files or 0) if part.finished else last
