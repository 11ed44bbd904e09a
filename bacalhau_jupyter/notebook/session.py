"""The notebook's side of the grammar: clients for the kernel, and a cell that follows a job."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from bacalhau_jupyter.client.client import Client
from bacalhau_jupyter.client.job import Job, JobFailed, JobResult
from bacalhau_jupyter.client.watch import Output
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.notebook.display import OutputPane, StateLine, Status
from bacalhau_jupyter.notebook.errors import CellInterrupted, cell_failed

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


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
        line = StateLine(status, self._show, live=self.is_kernel)
        pane = OutputPane()
        try:
            for update in job.updates_or_idle(logs=logs):
                if isinstance(update, Output):
                    pane.write(update.stream, update.text)
                elif update is not None:
                    status.saw(update.event)
                line.tick()
        except KeyboardInterrupt:
            self._interrupted(job, status, line, on_interrupt)
        except BacalhauError as error:
            status.error = error.message
            line.finish(f"{status.line()} · connection lost: %bacalhau attach {job.short_id}")
            raise
        pane.finish(job.id)
        return self._finish(job, status, line, check=check)

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

    def _interrupted(self, job: Job, status: Status, line: StateLine, on_interrupt: str) -> None:
        again = f"%bacalhau attach {job.short_id}"
        if on_interrupt == "detach":
            line.finish(f"{status.line()} · goes on: {again}")
            raise CellInterrupted(f"the job goes on; {again} shows it") from None
        line.finish(f"{status.line()} · stopping")
        try:
            job.stop("interrupted in the notebook")
        except KeyboardInterrupt:
            line.finish(f"{status.line()} · goes on: {again}")
            raise CellInterrupted(f"detached while stopping; {again} shows what became of the job") from None
        except BacalhauError as error:
            raise CellInterrupted(f"the job may still run ({error.message}); {again} shows it") from None
        status.state, status.phase = "Stopped", "stopped"
        line.finish(status.line())
        raise CellInterrupted(f"job {job.short_id} is stopped; {again} shows what it did") from None

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
    return " · ".join(parts)
