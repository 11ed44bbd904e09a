"""A limit for what another program does for us, which a busy machine does not use up."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from bacalhau_jupyter.lib.text import read_text

_LOOKS = 4
"""How often a program is looked at in the time of its limit."""


def processor_seconds(pid: int) -> float | None:
    """Return how long a process has had a processor; None where this system does not say, or it is gone."""
    try:
        fields = read_text(Path(f"/proc/{pid}/stat"), errors="replace").rpartition(")")[2].split()
        # proc(5): utime and stime, counted from the third field, the state.
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None


@asynccontextmanager
async def processor_limit(
    pid: int,
    limit_s: float,
    most_s: float,
    *,
    taken_by: Callable[[int], float | None] = processor_seconds,
) -> AsyncIterator[None]:
    """Bound what is waited for inside.

    Parameters
    ----------
    pid
        The program that is waited for.
    limit_s
        Seconds for which it may have a processor, and at least that long by the clock. Only by the clock where the
        system does not say.
    most_s
        Seconds of the clock, whatever it has had.

    Raises
    ------
    TimeoutError
        It took longer.
    """
    loop = asyncio.get_running_loop()
    before = taken_by(pid)
    timers: list[asyncio.TimerHandle] = []
    async with asyncio.timeout(most_s) as bound:

        def look() -> None:
            after = taken_by(pid)
            if before is None or after is None or after - before >= limit_s:
                bound.reschedule(loop.time())
            else:
                timers[:] = [loop.call_later(limit_s / _LOOKS, look)]

        timers.append(loop.call_later(limit_s, look))
        try:
            yield
        finally:
            timers[0].cancel()
