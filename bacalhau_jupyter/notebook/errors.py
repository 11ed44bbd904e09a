"""Exceptions a cell ends with: short, real, and useful to Run All, nbclient and papermill."""

from __future__ import annotations

from bacalhau_jupyter.client.jobs.job import JobFailed
from bacalhau_jupyter.lib.ids import short_id
from bacalhau_jupyter.models.jobs.job import JobStateType
from bacalhau_jupyter.models.text import readable
from bacalhau_jupyter.notebook.ansi import plain_text

_LONGEST = 300
_HINT = "Hint: "
_LAST_LINES = 3
_TRACEBACK = "Traceback (most recent call last):"


class CellInterrupted(KeyboardInterrupt):
    """The person interrupted the cell; the message says what became of the job."""

    def _render_traceback_(self) -> list[str]:
        return [f"\x1b[31mInterrupted\x1b[0m: {self}"]


class CellFailed(JobFailed):
    """A cell's job did not end well: its last word, the job, what to do next.

    What the program printed, its traceback above all, stands in the cell already. So there the exception shows the
    exit code and the job only; its message, which is all that nbclient and papermill report, has the last word, too.

    Attributes
    ----------
    brief
        What a cell shows instead of the message, where it printed the rest already.
    is_hint_printed
        Whether it printed the hint, too.
    """

    brief = ""
    is_hint_printed = False

    def summary_lines(self) -> list[str]:
        """Return what the cell shows."""
        first, *hint = super().summary_lines()
        if self.brief:
            first = f"{type(self).__name__}: {self.brief}"
        return [first] if self.is_hint_printed else [first, *hint]


def cell_failed(error: JobFailed, stderr: str = "", *, is_printed: bool = False) -> CellFailed:
    """Turn a client's error into a cell's.

    Parameters
    ----------
    error
        What the client says.
    stderr
        The end of what the program printed to stderr.
    is_printed
        Whether that stands in the cell.
    """
    result = error.result
    code = result.exit_code if result is not None else None
    if result is None or not code or result.job.state.state_type is not JobStateType.COMPLETED:
        return CellFailed(error.message, hint=error.hint, result=result, details=error.details)
    word, hint = last_word(stderr)
    sentence, job = f"exit code {code}", f"(job {short_id(result.job.id)})"
    failed = CellFailed(
        f"{sentence}: {word} {job}" if word else f"{sentence} {job}",
        hint=hint or error.hint,
        result=result,
        details=error.details,
    )
    if is_printed:
        failed.brief, failed.is_hint_printed = f"{sentence} {job}", bool(hint)
    return failed


def last_word(stderr: str) -> tuple[str, str]:
    """Return the line that a program ended with, and the hint behind it (each may be empty)."""
    lines = [line.rstrip() for line in plain_text(stderr).splitlines() if line.strip()]
    if _TRACEBACK in lines:
        lines = lines[len(lines) - lines[::-1].index(_TRACEBACK) :]
        # The message of an exception may have several lines; the first one says what it is.
        words = [line for line in lines if not line.startswith((" ", _HINT))][:1]
    else:
        words = [line for line in lines[-2:] if not line.startswith(_HINT)][-1:]
    hints = [line.removeprefix(_HINT) for line in lines[-_LAST_LINES:] if line.startswith(_HINT)][-1:]
    return _cut("".join(words).strip()), _cut("".join(hints))


def _cut(line: str) -> str:
    line = readable(line)
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
