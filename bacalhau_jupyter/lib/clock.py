"""Clocks are arguments, so tests move time instead of sleeping."""

from __future__ import annotations

import functools
import os
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


def process_start(pid: int) -> int | None:
    """When a process started, in ticks since boot; 0 if it lives but the system doesn't tell, None if it is gone."""
    try:
        text = read_text(Path(f"/proc/{pid}/stat"), errors="replace")
    except OSError:
        return None if Path("/proc/self/stat").exists() else _exists(pid)
    # The second field is the program's name in brackets and may hold anything.
    state, *numbers = text.rpartition(")")[2].split()
    return None if state in ("Z", "X") else int(numbers[18])


def _exists(pid: int) -> int | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return 0
    return 0
