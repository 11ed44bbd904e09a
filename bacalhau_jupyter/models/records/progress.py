"""How far something is, as one value: from a transfer's loop to the event stream and the line below a cell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Reading:
    """The latest state of one phase.

    Attributes
    ----------
    phase
        What is being done, in words.
    done, total
        Bytes; 0 and None where nothing can be counted.
    files, files_total
        Files finished and in all; None where they can't be counted, or where a single file moves.
    note
        A remark in words, such as how much came from the cache.
    """

    phase: str
    done: int = 0
    total: int | None = None
    files: int | None = None
    files_total: int | None = None
    note: str = ""


Progress = Callable[[Reading], None]
"""Gets the readings of some work. Callable from any thread; never blocks."""


def no_progress(reading: Reading, /) -> None:
    """Report nothing."""
