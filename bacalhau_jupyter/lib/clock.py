"""Clocks are arguments, so tests move time instead of sleeping."""

from __future__ import annotations

import time
from typing import Protocol

SECOND = 1_000_000_000
"""One second in nanoseconds, the unit of every timestamp in this project."""


class Clock(Protocol):
    """Source of wall time and of a monotonic reading, both in integer nanoseconds."""

    def now_ns(self) -> int:
        """Unix time in nanoseconds."""
        ...

    def monotonic_ns(self) -> int:
        """Monotonic time in nanoseconds; only differences mean something."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def now_ns(self) -> int:
        """Unix time in nanoseconds."""
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """Monotonic time in nanoseconds."""
        return time.monotonic_ns()


class ManualClock:
    """A clock that moves only when told to.

    Parameters
    ----------
    now_ns
        Starting Unix time in nanoseconds.
    """

    def __init__(self, now_ns: int = 1_700_000_000 * SECOND) -> None:
        self._now = now_ns
        self._set = 0

    def now_ns(self) -> int:
        """Unix time in nanoseconds."""
        return self._now + self._set

    def monotonic_ns(self) -> int:
        """Monotonic time in nanoseconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move both readings forward by ``seconds``."""
        self._now += int(seconds * SECOND)

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward, as after a sleep of the computer, or back; monotonic time stays."""
        self._set += int(seconds * SECOND)
