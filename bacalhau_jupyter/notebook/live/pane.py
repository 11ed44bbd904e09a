r"""A job's output in a cell: one stream in the order it came, folded when it is long.

A notebook keeps what a cell printed. So a cell shows the head as it comes and the tail at the end, and says how many
lines lie between. Lines that redraw themselves with ``\r`` are shown at most a few times a second, and only as they
are then: a progress bar that runs for a day costs no more than a page of text.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, TextIO

from bacalhau_jupyter.lib.ids import short_id

HEAD_BYTES = 400_000
TAIL_BYTES = 200_000
"""How many bytes of a job's output a cell keeps: the head as it comes, the tail at the end."""
HEAD_LINES = 120
TAIL_LINES = 80
"""The same in lines: a few screens, so that what stands below a long output is found without scrolling for ever."""
STDERR_KEPT = 8_000
"""Characters of stderr that are remembered for the message of a failure."""

STDOUT, STDERR = 1, 2

_REDRAW_S = 0.1
"""Shortest time between two pictures of a line that redraws itself."""
_SLOWDOWN = 200
"""The pictures of a line come as often as this share of its age: 1/200."""


class CellOutput(Protocol):
    """Where a pane writes: the output of a cell, or a terminal."""

    def write(self, stream: int, text: str) -> None:
        """Append text to stdout (1) or stderr (2)."""
        ...

    def display(self, data: dict[str, Any], metadata: dict[str, Any], display_id: str, update: bool) -> None:
        """Append an output of other types, or update one in place."""
        ...


class Streams:
    """Writes to Python's own streams, which belong to the running cell; displays go through IPython."""

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self._out, self._err = out, err

    def write(self, stream: int, text: str) -> None:
        """Append text."""
        target = (self._err or sys.stderr) if stream == STDERR else (self._out or sys.stdout)
        target.write(text)
        target.flush()

    def display(self, data: dict[str, Any], metadata: dict[str, Any], display_id: str, update: bool) -> None:
        """Append an output, or update one."""
        from IPython.display import publish_display_data

        publish_display_data(  # type: ignore[no-untyped-call]
            data, metadata, transient={"display_id": display_id}, update=update
        )


def show_card(bundle: dict[str, Any], display_id: str, update: bool) -> None:
    """Publish a card, or update it in place."""
    Streams().display(bundle, {}, display_id, update)


class OutputPane:
    """Writes a job's output into the cell, head and tail, never more than about a megabyte.

    Parameters
    ----------
    cell
        Where it is written.
    clock
        Returns seconds; paces lines that redraw themselves.
    has_card
        Whether a card stands above, which can open the log.
    """

    def __init__(
        self,
        cell: CellOutput | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        has_card: bool = True,
    ) -> None:
        self._has_card = has_card
        self._cell = cell or Streams()
        self._redraws = _Redraws(clock)
        self._head_bytes, self._head_lines = HEAD_BYTES, HEAD_LINES
        self._tail: deque[tuple[int, str]] = deque()
        self._tail_bytes = self._tail_lines = 0
        self._line_feeds = 0
        self._in_line = False
        self.dropped = 0
        """Characters that are not shown."""
        self.dropped_lines = 0
        self.stderr = ""
        """The end of what came on stderr: what a program complained about last."""

    @property
    def lines(self) -> int:
        """Lines that the job has printed so far."""
        return self._line_feeds + self._in_line

    @property
    def is_folded(self) -> bool:
        """Whether some of the output is not shown as it comes."""
        return bool(self._tail) or self.dropped > 0

    def write(self, stream: int, text: str) -> None:
        """Show or keep a chunk."""
        if stream == STDERR:
            self.stderr = (self.stderr + text[-STDERR_KEPT:])[-STDERR_KEPT:]
        for one, shown in self._redraws.feed(stream, text):
            self._add(one, shown)

    def display(self, data: dict[str, Any], metadata: dict[str, Any], display_id: str, update: bool) -> None:
        """Show something that is not text, behind what was printed before it."""
        for stream, shown in self._redraws.flush():
            self._add(stream, shown)
        self._cell.display(data, metadata, display_id, update)

    def tick(self) -> None:
        """Show what was held back, if it is time to; call this several times a second."""
        for stream, shown in self._redraws.due():
            self._add(stream, shown)

    def finish(self, job: str) -> None:
        """Show the tail and say where the rest is."""
        for stream, shown in self._redraws.flush():
            self._add(stream, shown)
        if self.dropped:
            self._cell.write(STDOUT, f"\n… {self._left_out()}; {self._whole_log(job)} …\n")
        # One write for each run of a stream: a message per line would flood the front end.
        for stream, text in _runs(self._tail):
            self._cell.write(stream, text)
        self._tail.clear()

    def _left_out(self) -> str:
        if self.dropped_lines:
            return f"{self.dropped_lines:,} of {self.lines:,} lines left out"
        return f"{self.dropped:,} characters left out"

    def _whole_log(self, job: str) -> str:
        command = f"bacalhau-jupyter job logs {short_id(job)} > log.txt"
        return f"open the log in the card, or: {command}" if self._has_card else f"all of it: {command}"

    def _add(self, stream: int, text: str) -> None:
        self._line_feeds += text.count("\n")
        self._in_line = not text.endswith("\n") if text else self._in_line
        if self._head_bytes > 0 and self._head_lines > 0 and not self._tail:
            shown = _first_lines(_first_bytes(text, self._head_bytes), self._head_lines)
            text = text[len(shown) :]
            self._head_bytes = 0 if text else self._head_bytes - _size_of(shown)
            self._head_lines -= shown.count("\n")
            if shown:
                self._cell.write(stream, shown)
        if text:
            self._keep(stream, text)

    def _keep(self, stream: int, text: str) -> None:
        for line in _lines(text):
            self._tail.append((stream, line))
            self._tail_bytes += _size_of(line)
            self._tail_lines += line.count("\n")
        while len(self._tail) > 1 and (self._tail_bytes > TAIL_BYTES or self._tail_lines > TAIL_LINES):
            _, old = self._tail.popleft()
            self._tail_bytes -= _size_of(old)
            self._tail_lines -= old.count("\n")
            self.dropped += len(old)
            self.dropped_lines += old.count("\n")


class _Redraws:
    r"""Holds back pictures of a line that a later ``\r`` would overwrite anyway."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._stream = STDOUT
        self._held = ""
        self._since = self._shown = float("-inf")

    def feed(self, stream: int, text: str) -> list[tuple[int, str]]:
        """Take a chunk; return what is to be shown now."""
        shown = self.flush() if self._held and stream != self._stream else []
        self._stream = stream
        if "\r" not in text and not self._held:
            return [*shown, (stream, text)]
        done, newline, line = (self._held + text).rpartition("\n")
        self._held = ""
        lines = [_as_seen(one) for one in done.split("\n")] if newline else []
        if lines:
            shown.append((stream, "\n".join(lines) + "\n"))
            self._since = float("-inf")
        if "\r" not in line:
            return [*shown, (stream, line)] if line else shown
        self._held = _as_seen(line)
        if self._since == float("-inf"):
            self._since = self._clock()
        return [*shown, *self.due()]

    def due(self) -> list[tuple[int, str]]:
        """Return the newest picture if enough time went by since the last one."""
        if not self._held:
            return []
        now = self._clock()
        if now - self._shown < max(_REDRAW_S, (now - self._since) / _SLOWDOWN):
            return []
        self._shown = now
        return self.flush()

    def flush(self) -> list[tuple[int, str]]:
        """Return the newest picture."""
        held, self._held = self._held, ""
        return [(self._stream, held)] if held else []


def _as_seen(line: str) -> str:
    r"""Return what a line that redraws itself looks like in the end, in few redraws: ``a\rb\rc`` is ``a\rc``.

    What stands before the first ``\r`` may continue what is on screen already, and stays. A ``\r`` at the end only
    moves the cursor and stays, too.
    """
    body = line.rstrip("\r")
    end = line[len(body) :][:1]
    first, *pictures = body.split("\r")
    if not pictures:
        return first + end
    seen = ""
    for picture in pictures:
        # A shorter picture leaves the rest of the longer one, unless there are codes whose width nobody knows.
        seen = picture + (seen[len(picture) :] if "\x1b" not in picture + seen else "")
    # What comes next goes on behind the last picture, which may be the shorter one.
    again = f"\r{pictures[-1]}" if len(pictures[-1]) < len(seen) else ""
    return f"{first}\r{seen}{again}{end}"


def _runs(parts: deque[tuple[int, str]]) -> list[tuple[int, str]]:
    """Join neighbours of the same stream."""
    joined: list[tuple[int, list[str]]] = []
    for stream, text in parts:
        if joined and joined[-1][0] == stream:
            joined[-1][1].append(text)
        else:
            joined.append((stream, [text]))
    return [(stream, "".join(texts)) for stream, texts in joined]


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


def _first_lines(text: str, limit: int) -> str:
    """Return the first ``limit`` lines of a text."""
    if text.count("\n") <= limit:
        return text
    end = -1
    for _ in range(limit):
        end = text.index("\n", end + 1)
    return text[: end + 1]


def _lines(text: str, longest: int = 10_000) -> list[str]:
    """Split behind line feeds, and within lines that are very long."""
    *whole, rest = text.split("\n")
    lines = [f"{line}\n" for line in whole] + ([rest] if rest else [])
    return [line[at : at + longest] for line in lines for at in range(0, len(line), longest)]
