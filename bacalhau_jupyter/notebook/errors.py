"""Exceptions a cell ends with: short, real, and useful to Run All, nbclient and papermill."""

from __future__ import annotations

from bacalhau_jupyter.client.jobs.job import JobFailed
from bacalhau_jupyter.models.text import readable
from bacalhau_jupyter.notebook.display import plain_text

STDERR_LINES = 5


class CellInterrupted(KeyboardInterrupt):
    """The person interrupted the cell; the message says what became of the job."""

    def _render_traceback_(self) -> list[str]:
        return [f"\x1b[31mInterrupted\x1b[0m: {self}"]


class CellFailed(JobFailed):
    """A cell's job did not end well: what failed, the last stderr lines, what to do next."""

    def summary_lines(self) -> list[str]:
        """Return the sentence, the last lines of stderr, the hint."""
        first, *rest = super().summary_lines()
        stderr = self.result.stderr if self.result is not None else ""
        tail = [line for line in plain_text(stderr).splitlines() if line.strip()][-STDERR_LINES:]
        return [first, *(f"  {readable(line, lines=True)}" for line in tail), *rest]


def cell_failed(error: JobFailed) -> CellFailed:
    """Turn a client's error into a cell's."""
    return CellFailed(error.message, hint=error.hint, result=error.result, details=error.details)
