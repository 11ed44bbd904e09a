"""Follows one job in a cell: its card changes in place, what it prints comes below."""

from __future__ import annotations

from typing import NoReturn

from bacalhau_jupyter.client.jobs.job import Job, JobFailed, JobResult
from bacalhau_jupyter.client.jobs.titles import shown_title
from bacalhau_jupyter.client.jobs.watch import Output
from bacalhau_jupyter.client.results.record import named, took_s
from bacalhau_jupyter.lib.ids import short_id
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.records.outcome import Outcome
from bacalhau_jupyter.notebook.displays.pane import DisplayPane
from bacalhau_jupyter.notebook.errors import CellInterrupted, cell_failed
from bacalhau_jupyter.notebook.kit import has_runner
from bacalhau_jupyter.notebook.live.card import Card, Status
from bacalhau_jupyter.notebook.live.endings import Ending
from bacalhau_jupyter.notebook.live.pane import OutputPane
from bacalhau_jupyter.notebook.live.parts import done_text, parts_of
from bacalhau_jupyter.notebook.live.reason import WaitingReason
from bacalhau_jupyter.notebook.live.shown import note_displays


class Follower:
    """Shows one job until it is over.

    Parameters
    ----------
    job
        The job.
    card
        Its card, which is on screen.
    pane
        Where its output goes.
    ending
        Decides what an interrupt means.
    """

    def __init__(self, job: Job, card: Card, pane: OutputPane, ending: Ending) -> None:
        self._job = job
        self._card = card
        self._status = card.status
        self._pane = pane
        self._displays = DisplayPane(pane, pane.display, lambda: has_runner(job.describe()))
        self._ending = ending
        self._reason = WaitingReason(job)

    def follow(self, *, logs: bool, check: bool, on_interrupt: str | None) -> JobResult:
        """Show the job; return its result. See `NotebookSession.follow`."""
        job = self._job
        try:
            for update in job.updates_or_idle(logs=logs):
                if isinstance(update, Output):
                    self._displays.write(update)
                elif update is not None:
                    self._status.saw(update.event)
                self._reason.tick(is_queued=self._status.is_queued)
                self._status.reason = self._reason.text
                self._pane.tick()
                self._displays.tick()
                self._status.lines = self._pane.lines if self._pane.is_folded else 0
                self._card.tick()
        except KeyboardInterrupt:
            self._interrupted(on_interrupt)
        except BacalhauError:
            self._status.is_detached = True
            self._card.finish(f"{self._status.line()} · connection lost: %bacalhau attach {job.short_id}")
            raise
        finally:
            self._reason.close()
        try:
            self._finish_output()
            return self._finish(check=check, logs=logs)
        except KeyboardInterrupt:
            raise CellInterrupted(
                f"job {job.short_id} is over; %bacalhau attach {job.short_id} shows it"
            ) from None

    def _finish(self, *, check: bool, logs: bool) -> JobResult:
        status = self._status
        failure: JobFailed | None = None
        try:
            result = self._job.outcome(check=check)
        except JobFailed as error:
            failure = error
            if error.result is None:
                raise cell_failed(error) from None
            result = error.result
        status.state = result.job.state.state_type.value
        status.phase = status.state.lower()
        # A job of the cache keeps the title of its own cell, which is not this one.
        status.title = status.title if status.cached else shown_title(result.job)
        status.took_s = took_s(result.job)
        status.exit_code, status.node, status.runtime = result.exit_code, result.node, result.runtime
        status.parts = parts_of(result.job, result.executions)
        status.results = next(
            (item.published_result.type for item in result.executions if item.is_terminal), ""
        )
        self._card.finish(_summary(status, result))
        if failure is not None:
            stderr = self._pane.stderr if logs else _recorded(result)
            raise cell_failed(failure, stderr, is_printed=logs) from None
        if self._displays.has_displays:
            note_displays(result)
        return result

    def _finish_output(self) -> None:
        self._displays.finish()
        self._pane.finish(self._job.id)

    def _interrupted(self, on_interrupt: str | None) -> NoReturn:
        status, card = self._status, self._card
        if on_interrupt != "detach":
            card.finish(f"{status.line()} · interrupted")
        self._finish_output()
        message = self._ending.of(self._job, on_interrupt, status)
        status.is_detached = status.outcome in (Outcome.WAITING, Outcome.RUNNING)
        card.finish(f"{status.line()} · {message}" if status.phase != "stopped" else status.line())
        raise CellInterrupted(message) from None


def _recorded(result: JobResult) -> str:
    """Return what the executions' records hold of stderr; nothing is fetched."""
    return "".join(item.run_output.stderr for item in result.executions if item.run_output is not None)


def _summary(status: Status, result: JobResult) -> str:
    parts = status.names()
    # The official state of a program that failed is "Completed": one story only.
    parts.append(f"✕ exit {status.exit_code}" if status.exit_code else status.state.lower())
    if status.exit_code == 0:
        parts.append("exit code 0")
    if parts_done := done_text(result.job, result.executions, status.parts):
        parts.append(parts_done)
    if not status.cached:
        parts.append(f"{took_s(result.job):.1f} s")
    if status.runtime:
        parts.append(status.runtime)
    if status.node:
        parts.append(f"on {short_id(status.node)}")
    if status.lines:
        parts.append(f"{status.lines:,} lines")
    if status.results:
        parts.append(f"results: {status.results}")
    if result.left_out:
        parts.append(f"left out: {named(result.left_out)}")
    return " · ".join(parts)
