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
