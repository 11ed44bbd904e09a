"""Clocks are arguments, so tests move time instead of sleeping."""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import Protocol

from bacalhau_jupyter.lib.text import read_text

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


@functools.cache
def boot_id() -> str:
    """Identify this boot of the machine; empty where the system doesn't tell."""
    try:
        return read_text(Path("/proc/sys/kernel/random/boot_id")).strip()
    except OSError:
        return ""
