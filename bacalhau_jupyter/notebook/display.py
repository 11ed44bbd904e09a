"""What a running job looks like in a cell: a state line that updates in place, output below, a record at the end."""

from __future__ import annotations

import html
import re
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TextIO

from bacalhau_jupyter.lib.ids import short_id
from bacalhau_jupyter.models.history import StreamEvent, Topic
from bacalhau_jupyter.models.text import readable
from bacalhau_jupyter.models.units import format_bytes

MIME = "application/vnd.bacalhau.job+json"
QUIET_S = 1.0
"""Seconds before the state line appears: a quick job shows its summary only."""

_UPDATE_S = 0.25
HEAD_BYTES = 400_000
TAIL_BYTES = 200_000
"""How much of a job's output a cell keeps: the head as it comes, the tail at the end."""


@dataclass
class Status:
    """What is known about a job while it is shown."""

    job_id: str
    endpoint: str
    phase: str = "submitted"
    state: str = "Pending"
    node: str = ""
    runtime: str = ""
    started: float = field(default_factory=time.monotonic)
    exit_code: int | None = None
    results: str = ""
    error: str = ""

    def saw(self, event: StreamEvent) -> None:
        """Take an event into account."""
        if event.state:
            self.state = event.state
        if event.node:
            self.node = event.node
        self.runtime = event.details.get("Runtime", self.runtime)
        self.phase = phase_of(event) or self.phase

    def line(self) -> str:
        """Return the one line for people."""
        seconds = int(time.monotonic() - self.started)
        parts = [f"job {short_id(self.job_id)}", self.phase]
        if self.phase.startswith("running"):
            parts[-1] = f"{self.phase} {seconds // 60:02d}:{seconds % 60:02d}"
        if self.node:
            parts.append(f"on {short_id(self.node)}")
        if self.runtime:
            parts.append(self.runtime)
        return readable(" · ".join(parts))

    def bundle(self, line: str) -> dict[str, Any]:
        """Return the MIME bundle: the record our renderer shows, and static forms for everything else."""
        record = {
            "version": 1,
            "job_id": self.job_id,
            "endpoint": self.endpoint,
            "state": self.state,
            "phase": self.phase,
            "node": self.node,
            "runtime": self.runtime,
            "exit_code": self.exit_code,
            "duration_s": round(time.monotonic() - self.started, 3),
            "results": self.results,
            "error": self.error,
        }
        line, title = readable(line, lines=True), html.escape(readable(self.job_id))
        colour = "red" if self.exit_code else _COLOURS.get(self.state, "gray")
        badge = f'<span style="color:{colour}">●</span>'
        return {
            MIME: record,
            "text/html": f'<div class="bacalhau-job" title="{title}">{badge} {html.escape(line)}</div>',
            "text/plain": line,
        }


_COLOURS = {
    "Completed": "green",
    "Failed": "red",
    "Stopped": "orange",
    "Running": "royalblue",
    "Queued": "gray",
}


def phase_of(event: StreamEvent) -> str:
    """Turn an event into the words of the state line; empty when it says nothing new."""
    phase = event.details.get("Phase")
    if phase:
        return _progress(phase, event.details)
    if event.topic == Topic.QUEUEING:
        return "queued: " + event.message.removeprefix("Job queued. ").split("\n")[0]
    if event.topic == Topic.SCHEDULING and event.execution:
        return "asking for bids"
    if event.topic == Topic.EXECUTION and event.message == "Running":
        return "running"
    return ""


def _progress(phase: str, details: dict[str, str]) -> str:
    """Say "fetching inputs 1.2/3.4 GB (35 %), 120/400 files, 1.1 GB from the cache", as far as it is known."""
    done, total = _count(details, "Done"), _count(details, "Total")
    files, total_files = _count(details, "Files"), _count(details, "TotalFiles")
    parts = [phase]
    if total:
        parts[0] += f" {_share_of(done, total)} ({100 * done // total} %)"
    elif done:
        parts[0] += f" {format_bytes(done)}"
    # One file needs no counting: its bytes say it all.
    if total_files > 1:
        parts.append(f"{files}/{total_files} files")
    elif files > 1:
        parts.append(f"{files} files")
    if note := details.get("Note", ""):
        parts.append(note)
    return ", ".join(parts)


def _count(details: dict[str, str], name: str) -> int:
    text = details.get(name, "")
    return int(text) if text.isdecimal() and text.isascii() else 0


def _share_of(done: int, total: int) -> str:
    first, second = format_bytes(done), format_bytes(total)
    amount, _, unit = first.partition(" ")
    return f"{amount}/{second}" if second.endswith(f" {unit}") else f"{first}/{second}"


def _size_of(text: str) -> int:
    """Return the bytes a notebook file needs for a text: it is JSON, where a colour code takes six."""
    return len(text.encode("utf-8", "replace")) + 5 * text.count("\x1b")


def _first_bytes(text: str, limit: int) -> str:
    """Return as much of a text as fits, in whole characters."""
    if _size_of(text) <= limit:
        return text
    low, high = 0, min(len(text), limit)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _size_of(text[:middle]) <= limit else (low, middle - 1)
    return text[:low]


class OutputPane:
    """Writes a job's output into the cell, head and tail, never more than about a megabyte."""

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self._out, self._err = out, err
        self._head = HEAD_BYTES
        self._tail: deque[tuple[int, str]] = deque()
        self._tail_size = 0
        self.dropped = 0

    def write(self, stream: int, text: str) -> None:
        """Show or keep a chunk."""
        if self._head > 0:
            shown = _first_bytes(text, self._head)
            text = text[len(shown) :]
            self._head = 0 if text else self._head - _size_of(shown)
            self._write(stream, shown)
        if text:
            self._tail.append((stream, text))
            self._tail_size += _size_of(text)
            while self._tail_size > TAIL_BYTES and len(self._tail) > 1:
                _, old = self._tail.popleft()
                self._tail_size -= _size_of(old)
                self.dropped += len(old)

    def finish(self, job: str) -> None:
        """Show the tail and say where the rest is."""
        if not self._tail:
            return
        if self.dropped:
            note = (
                f"\n… {self.dropped:,} characters left out; %bacalhau job logs {short_id(job)} shows all …\n"
            )
            self._write(1, note)
        for stream, text in self._tail:
            self._write(stream, text)
        self._tail.clear()

    def _write(self, stream: int, text: str) -> None:
        target = (self._err or sys.stderr) if stream == 2 else (self._out or sys.stdout)
        target.write(text)
        target.flush()


class StateLine:
    """The state line of one job, shown through IPython's display machinery.

    Parameters
    ----------
    status
        What to show.
    show
        ``show(bundle, display_id, update)``; None shows nothing while the job runs (plain terminals).
    live
        Whether the surroundings can update an output in place.
    """

    def __init__(
        self, status: Status, show: Callable[[dict[str, Any], str, bool], None], *, live: bool
    ) -> None:
        self._status = status
        self._show = show
        self._live = live
        self._display_id = f"bacalhau-{status.job_id}-{time.monotonic_ns()}"
        self._shown = ""
        self._last = 0.0

    def tick(self) -> None:
        """Show the line if it is time to and it changed."""
        now = time.monotonic()
        if not self._live or now - self._status.started < QUIET_S or now - self._last < _UPDATE_S:
            return
        self._put(self._status.line())
        self._last = now

    def finish(self, line: str) -> None:
        """Show the final line: the record that stays in the notebook."""
        self._put(line)

    def _put(self, line: str) -> None:
        if line != self._shown:
            self._show(self._status.bundle(line), self._display_id, bool(self._shown))
            self._shown = line


def plain_text(text: str) -> str:
    """Remove terminal colour codes (for places that show none)."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
