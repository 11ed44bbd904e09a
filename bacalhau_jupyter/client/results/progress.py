"""How far a download is, on a terminal or under a cell, once it takes longer than a moment."""

from __future__ import annotations

import concurrent.futures
import contextlib
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from bacalhau_jupyter.models.jobs.units import format_bytes
from bacalhau_jupyter.models.records.progress import Progress, Reading

if TYPE_CHECKING:
    from bacalhau_jupyter.client.connection.portal import Portal

T = TypeVar("T")

_QUIET_S = 1.0
_SLICE_S = 0.2


class Line(Protocol):
    """A line of text that is written anew again and again."""

    def show(self, text: str) -> None:
        """Replace the text; an empty one removes it."""
        ...


class TerminalLine:
    """The last line of a terminal (standard error)."""

    def show(self, text: str) -> None:
        """Replace the text."""
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


class CellLine:
    """A line below a cell."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, text: str) -> None:
        """Replace the text."""
        from IPython.display import display

        bundle = {"text/plain": text}
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(bundle, raw=True)


def find_line() -> Line | None:
    """Return where progress is shown here; None if it would not be visible."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is not None and getattr(shell, "kernel", None) is not None:
        return CellLine()
    return TerminalLine() if sys.stderr is not None and sys.stderr.isatty() else None


def progress_text(reading: Reading) -> str:
    """Write a state for people: ``downloading results 1.2 GB of 3.4 GB (35 %), 12 of 40 files``."""
    text = f"{reading.phase} {format_bytes(reading.done)}"
    if reading.total:
        text += f" of {format_bytes(reading.total)} ({100 * reading.done // reading.total} %)"
    if reading.files is not None and (reading.files_total or 0) > 1:
        text += f", {reading.files} of {reading.files_total} files"
    return f"{text}, {reading.note}" if reading.note else text


@contextlib.contextmanager
def shown_line() -> Iterator[Callable[[str], None]]:
    """Give a function that shows, from this thread, how far something is; what it showed goes in the end."""
    lines: list[Line | None] = []

    def say(text: str) -> None:
        if not lines:
            lines.append(find_line())
        if lines[0] is not None:
            lines[0].show(text)

    try:
        yield say
    finally:
        if lines and lines[0] is not None:
            lines[0].show("")


def run_shown(
    portal: Portal,
    work: Callable[[Progress], Coroutine[Any, Any, T]],
    *,
    line: Line | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> T:
    """Run a coroutine on the portal's loop and wait; what takes more than a second shows how far it is.

    Only the waiting thread writes: what a kernel's other threads print goes below some other cell.

    Parameters
    ----------
    work
        Makes the coroutine from the progress to report to.
    line
        Where to show it; without one it is found out.
    """
    latest: list[str] = []

    def progress(reading: Reading) -> None:
        latest[:] = [progress_text(reading)]

    started, shown = clock(), ""
    future = portal.start(work(progress))
    try:
        while not concurrent.futures.wait([future], timeout=_SLICE_S).done:
            if clock() - started < _QUIET_S or not latest or latest[0] == shown:
                continue
            line = line or find_line()
            shown = latest[0]
            if line is not None:
                line.show(shown)
        return future.result()
    except BaseException:
        future.cancel()
        raise
    finally:
        if shown and line is not None:
            line.show("")
