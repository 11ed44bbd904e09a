"""How fast bytes go, told beside how many have gone."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from bacalhau_jupyter.lib.clock import SECOND
from bacalhau_jupyter.models.jobs.units import format_bytes
from bacalhau_jupyter.models.records.progress import Progress, Reading

WINDOW_NS = 5 * SECOND
"""The rate is that of these last seconds."""
LEAST_NS = SECOND // 2
"""Nothing is said before that long."""
_STEP_NS = SECOND // 5


def with_rate(progress: Progress, now_ns: Callable[[], int] = time.monotonic_ns) -> Progress:
    """Return a function that passes readings on with their rate as the note (``61 MB/s``); for one thread at a time.

    Parameters
    ----------
    now_ns
        A clock that never goes back.
    """
    marks: deque[tuple[int, int]] = deque()
    phase = ""

    def report(reading: Reading) -> None:
        nonlocal phase
        now = now_ns()
        if reading.phase != phase or (marks and reading.done < marks[-1][1]):
            # Another phase, or a transfer that began again.
            phase = reading.phase
            marks.clear()
        if not marks or now - marks[-1][0] >= _STEP_NS:
            marks.append((now, reading.done))
        while len(marks) > 1 and now - marks[0][0] > WINDOW_NS:
            marks.popleft()
        since, before = marks[0]
        if now - since >= LEAST_NS and not reading.note and reading.done > before:
            rate = (reading.done - before) * SECOND // (now - since)
            reading = replace(reading, note=f"{format_bytes(rate)}/s")
        progress(reading)

    return report
