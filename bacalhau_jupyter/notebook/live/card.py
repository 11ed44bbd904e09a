"""The card of a job: the first output of its cell, from the first moment, updated in place until the job is over."""

from __future__ import annotations

import html
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bacalhau_jupyter.lib.ids import short_id
from bacalhau_jupyter.models.jobs.job import JobStateType
from bacalhau_jupyter.models.records.execution import RUNTIME
from bacalhau_jupyter.models.records.history import StreamEvent
from bacalhau_jupyter.models.records.outcome import Outcome, outcome_of
from bacalhau_jupyter.models.text import readable
from bacalhau_jupyter.notebook.live.parts import Part
from bacalhau_jupyter.notebook.live.phases import RUNNING, at_work, is_queued, phase_of
from bacalhau_jupyter.notebook.live.rows import SHOWN, SIGNS, Row, html_rows, text_rows

MIME = "application/vnd.bacalhau.job+json"

_UPDATE_S = 0.25


@dataclass
class Status:
    """What is known about a job while it is shown.

    Attributes
    ----------
    job_id
        Empty before the cluster has taken the job.
    title
        What a person calls the job; empty before that is known.
    cached
        Which finished job answers instead of a new one, in words; empty for a job that ran for this cell.
    took_s
        Seconds that the job took, once it is over.
    is_followed
        Whether the cell prints what the job prints: a card that is found again after a restart shows it instead.
    is_detached
        Whether the cell has stopped printing although the job goes on.
    error
        Why there is no job or no result, unless an exception of the cell says so.
    reason
        Why it is queued, in one sentence; it takes the place of the phase.
    lines
        Lines printed so far, once not all of them are in the cell; 0 otherwise.
    parts
        How the parts of a job ended that runs several times, once it is over.
    """

    job_id: str = ""
    endpoint: str = ""
    phase: str = "submitting"
    reason: str = ""
    state: str = ""
    node: str = ""
    runtime: str = ""
    started: float = field(default_factory=time.monotonic)
    exit_code: int | None = None
    results: str = ""
    error: str = ""
    is_followed: bool = False
    is_detached: bool = False
    lines: int = 0
    running_since: float | None = None
    title: str = ""
    cached: str = ""
    took_s: float | None = None
    parts: Sequence[Part] = ()

    @property
    def outcome(self) -> Outcome:
        """How the job stands, in the words of people: an exit code other than 0 is a failure."""
        return outcome_of(JobStateType(self.state), self.exit_code) if self.state else Outcome.WAITING

    @property
    def shown_phase(self) -> str:
        """What goes on, in the words of people."""
        return (self.is_queued and self.reason) or self.phase

    @property
    def is_queued(self) -> bool:
        """Whether the job waits for room."""
        return is_queued(self.state, self.phase)

    def saw(self, event: StreamEvent) -> None:
        """Take an event into account."""
        if event.state:
            self.state = event.state
        if event.node:
            self.node = event.node
        self.runtime = event.details.get(RUNTIME, self.runtime)
        self.phase = phase_of(event) or self.phase
        if self.phase == RUNNING and self.running_since is None:
            self.running_since = time.monotonic()

    def names(self) -> list[str]:
        """Return what identifies the job for people: its title, then its ID."""
        title = [self.title] if self.title else []
        return [*title, self.cached or f"job {short_id(self.job_id)}"] if self.job_id else []

    def line(self) -> str:
        """Return the one line for people."""
        parts, phase = self.names(), self.shown_phase
        if phase.startswith(RUNNING):
            seconds = int(time.monotonic() - (self.running_since or self.started))
            phase = f"{phase} {seconds // 60:02d}:{seconds % 60:02d}"
        parts += self._doing(phase)
        if self.runtime:
            parts.append(self.runtime)
        if self.lines:
            parts.append(f"{self.lines:,} lines")
        return readable(" · ".join(parts))

    def _doing(self, phase: str) -> list[str]:
        if not self.node:
            return [phase]
        is_over = bool(self.state) and JobStateType(self.state).is_terminal
        if is_over or self.is_queued or phase.startswith(RUNNING):
            return [phase, f"on {short_id(self.node)}"]
        return at_work(self.node, phase)

    def bundle(self, line: str) -> dict[str, Any]:
        """Return the MIME bundle: the record our renderer shows, and static forms for everything else."""
        took_s = time.monotonic() - self.started if self.took_s is None else self.took_s
        record = {
            "version": 1,
            "job_id": self.job_id,
            "title": self.title,
            "cached": self.cached,
            "endpoint": self.endpoint,
            "state": self.state,
            "phase": self.shown_phase,
            "node": self.node,
            "runtime": self.runtime,
            "outcome": self.outcome.value,
            "exit_code": self.exit_code,
            "duration_s": round(took_s, 3),
            "results": self.results,
            "error": self.error,
            "followed": self.is_followed,
            "detached": self.is_detached,
            "lines": self.lines,
            "parts": [part.record() for part in self.parts],
        }
        line, title = readable(line, lines=True), html.escape(readable(self.job_id))
        colour, sign = SIGNS[self.outcome]
        badge = f'<span style="color:{colour}">{sign}</span>'
        rows: list[Row] = [
            (part.outcome, [readable(text) for text in part.cells()]) for part in self.parts[:SHOWN]
        ]
        more, marked = len(self.parts) - len(rows), self._marked(line)
        return {
            MIME: record,
            "text/html": f'<div class="bacalhau-job" title="{title}">{badge} {marked}{html_rows(rows, more)}</div>',
            "text/plain": "\n".join([line, *text_rows(rows, more)]),
        }

    def _marked(self, line: str) -> str:
        """Colour the exit code of a failure: it is what one looks for."""
        escaped = html.escape(line)
        if not self.exit_code:
            return escaped
        words = f"exit {self.exit_code}"
        return escaped.replace(f"✕ {words}", f'<b style="color:red">{words}</b>', 1)


Show = Callable[[dict[str, Any], str, bool], None]
"""``show(bundle, display_id, update)``: publish an output, or update it in place."""


class Card:
    """The card of one job.

    Parameters
    ----------
    status
        What to show.
    show
        Publishes it.
    is_live
        Whether the surroundings can update an output in place; elsewhere (a plain terminal) only the end is shown.
    """

    def __init__(self, status: Status, show: Show, *, is_live: bool) -> None:
        self.status = status
        self._show = show
        self._is_live = is_live
        self._display_id = f"bacalhau-{uuid.uuid4().hex}"
        self._shown: tuple[str, str, bool] | None = None
        self._last = float("-inf")
        self.is_finished = False
        """Whether the last line was shown."""

    def open(self) -> None:
        """Show the card at once: everything else in the cell comes after it."""
        self.say(self.status.phase)

    def say(self, phase: str) -> None:
        """Show what goes on now, at once."""
        self.status.phase = phase
        if self._is_live:
            self._put(self.status.line())

    def tick(self) -> None:
        """Show what changed, if it is time to."""
        now = time.monotonic()
        if self._is_live and now - self._last >= _UPDATE_S:
            self._put(self.status.line())

    def finish(self, line: str) -> None:
        """Show the last line: the record that stays in the notebook."""
        self.is_finished = True
        self._put(line)

    def _put(self, line: str) -> None:
        content = (line, self.status.state, self.status.is_detached)
        if content != self._shown:
            self._show(self.status.bundle(line), self._display_id, self._shown is not None)
            self._shown = content
            self._last = time.monotonic()
