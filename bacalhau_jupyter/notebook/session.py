"""The notebook's side of the grammar: clients for the kernel, and a cell that follows a job."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, NoReturn

import click

from bacalhau_jupyter.client.client import Client
from bacalhau_jupyter.client.jobs.job import Job, JobFailed, JobResult
from bacalhau_jupyter.client.jobs.watch import Output
from bacalhau_jupyter.client.results.record import named
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.job import JobStateType
from bacalhau_jupyter.models.text import readable
from bacalhau_jupyter.notebook.display import OutputPane, StateLine, Status
from bacalhau_jupyter.notebook.errors import CellInterrupted, cell_failed
from bacalhau_jupyter.notebook.widgets import StopControl

if TYPE_CHECKING:
    from concurrent.futures import Future

    from IPython.core.interactiveshell import InteractiveShell

    from bacalhau_jupyter.models.api import PutJobResponse
    from bacalhau_jupyter.models.job import Job as JobModel

_LATE_ANSWER_S = 5.0
"""Seconds an interrupted submission may take to say which job it made."""

STOP_REASON = "stopped in the notebook"


class NotebookSession:
    """One per shell: its clients, and how it shows jobs."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._clients: dict[str | None, Client] = {}
        self.last_job: Job | None = None

    def client(self, context: str | None = None) -> Client:
        """Return the connected client, found (and its node started) on first use."""
        key = context or self._environment()
        if key not in self._clients:
            self._clients[key] = Client(context=context)
        return self._clients[key]

    @staticmethod
    def _environment() -> str:
        """Name the cluster the environment points at, so that a changed variable takes effect."""
        names = ("BACALHAU_API_HOST", "BACALHAU_API_PORT", "BACALHAU_DIR")
        return "\0".join(os.environ.get(name, "") for name in names)

    @property
    def is_kernel(self) -> bool:
        """Whether outputs can be updated in place (a kernel's front end, not a terminal)."""
        return hasattr(self._shell, "kernel")

    def peek(self, context: str | None = None) -> Client | None:
        """Return a client only where that takes no time: connected already, or to a cluster that is there."""
        key = context or self._environment()
        client = self._clients.get(key) or Client(context=context, start=False)
        try:
            client.api()
        except BacalhauError:
            return None
        return self._clients.setdefault(key, client)

    def submit(self, client: Client, model: JobModel, *, force: bool, on_interrupt: str) -> Job:
        """Submit a job; warnings of the cluster go to stderr.

        Raises
        ------
        CellInterrupted
            The person interrupted; a job that the node took all the same was stopped (or left running).
        """
        future = client.begin_submit(model, force=force)
        try:
            answer = client.portal.wait(future)
        except KeyboardInterrupt:
            job = _late_job(client, future)
            if job is None:
                raise CellInterrupted(
                    "the node did not say whether it accepted the job; %bacalhau job list shows it"
                ) from None
            raise CellInterrupted(self._end(job, on_interrupt)) from None
        for warning in answer.warnings or []:
            click.echo(f"Warning: {readable(warning, lines=True)}", err=True)
        return Job(client, answer.job_id)

    def follow(self, job: Job, *, logs: bool, check: bool, on_interrupt: str = "stop") -> JobResult:
        """Show a job until it is over; return its result.

        Raises
        ------
        CellFailed
            It did not end well.
        CellInterrupted
            The person interrupted; the job was stopped (or left running, as ``on_interrupt`` says).
        """
        self.last_job = job
        status = Status(job.id, job.client.endpoint.url)
        control = StopControl(job.id, getattr(self._shell, "kernel", None), self._show)
        line = StateLine(status, control.put, live=self.is_kernel)
        pane = OutputPane()
        stop = _Stop(job, control)
        try:
            try:
                for update in job.updates_or_idle(logs=logs):
                    if isinstance(update, Output):
                        pane.write(update.stream, update.text)
                    elif update is not None:
                        status.saw(update.event)
                        control.saw(update.event)
                    control.tick()
                    stop.tick()
                    line.tick()
            finally:
                control.close()
        except KeyboardInterrupt:
            self._interrupted(job, status, line, on_interrupt)
        except BacalhauError as error:
            status.error = error.message
            line.finish(f"{status.line()} · connection lost: %bacalhau attach {job.short_id}")
            raise
        try:
            pane.finish(job.id)
            return self._finish(job, status, line, check=check)
        except KeyboardInterrupt:
            raise CellInterrupted(
                f"job {job.short_id} is over; %bacalhau attach {job.short_id} shows it"
            ) from None

    def _finish(self, job: Job, status: Status, line: StateLine, *, check: bool) -> JobResult:
        failure: JobFailed | None = None
        try:
            result = job.outcome(check=check)
        except JobFailed as error:
            failure = error
            if error.result is None:
                raise cell_failed(error) from None
            result = error.result
        status.state = result.job.state.state_type.value
        status.phase = status.state.lower()
        status.exit_code, status.node, status.runtime = result.exit_code, result.node, result.runtime
        status.error = failure.message if failure else ""
        status.results = next(
            (item.published_result.type for item in result.executions if item.is_terminal), ""
        )
        line.finish(_summary(status, result))
        if failure is not None:
            raise cell_failed(failure) from None
        return result

    def _interrupted(self, job: Job, status: Status, line: StateLine, on_interrupt: str) -> NoReturn:
        if on_interrupt == "stop":
            line.finish(f"{status.line()} · stopping")
        message = self._end(job, on_interrupt, status)
        line.finish(f"{status.line()} · {message}" if status.phase != "stopped" else status.line())
        raise CellInterrupted(message) from None

    @staticmethod
    def _end(job: Job, on_interrupt: str, status: Status | None = None) -> str:
        """Stop an interrupted job, or leave it; return what became of it, and how to see it again."""
        again = f"%bacalhau attach {job.short_id}"
        if on_interrupt == "detach":
            return f"job {job.short_id} continues; {again} shows it"
        try:
            job.stop("interrupted in the notebook")
            state = job.state
        except KeyboardInterrupt:
            return f"detached while stopping; {again} shows its outcome"
        except BacalhauError as error:
            return f"the job may still run ({error.message}); {again} shows it"
        if status is not None:
            status.state, status.phase = state.value, state.value.lower()
        if state is JobStateType.STOPPED:
            return f"job {job.short_id} is stopped; {again} shows what it did"
        return f"job {job.short_id} was over already ({state.value}); {again} shows it"

    def _show(self, bundle: dict[str, Any], display_id: str, update: bool) -> None:
        from IPython.display import publish_display_data

        publish_display_data(  # type: ignore[no-untyped-call]
            bundle, transient={"display_id": display_id}, update=update
        )

    def close(self) -> None:
        """Close all clients."""
        for client in self._clients.values():
            client.close()
        self._clients.clear()


class _Stop:
    """Stops the job once its button was pressed; the end comes with the job's own events."""

    def __init__(self, job: Job, control: StopControl) -> None:
        self._job = job
        self._control = control
        self._asked: Future[Any] | None = None

    def tick(self) -> None:
        if self._asked is None:
            if self._control.is_pressed:
                client, job_id = self._job.client, self._job.id
                self._asked = client.portal.start(
                    client.acall(lambda api: api.stop(job_id, reason=STOP_REASON))
                )
                self._control.stopping()
        elif self._asked.done() and (error := self._asked.exception()) is not None:
            self._asked = None
            self._control.stopping(f"it could not be stopped: {error}")


def _late_job(client: Client, future: Future[PutJobResponse]) -> Job | None:
    """Return the job of an interrupted submission, if the node answers soon."""
    try:
        return Job(client, future.result(timeout=_LATE_ANSWER_S).job_id)
    except (KeyboardInterrupt, Exception):
        future.cancel()
        return None


def _summary(status: Status, result: JobResult) -> str:
    seconds = time.monotonic() - status.started
    parts = [f"job {result.job.id[:10]}", status.state.lower()]
    if status.exit_code is not None:
        parts.append(f"exit code {status.exit_code}")
    parts.append(f"{seconds:.1f} s")
    if status.runtime:
        parts.append(status.runtime)
    if status.node:
        parts.append(f"on {status.node[:10]}")
    if status.results:
        parts.append(f"results: {status.results}")
    if result.left_out:
        parts.append(f"left out: {named(result.left_out)}")
    return " · ".join(parts)
