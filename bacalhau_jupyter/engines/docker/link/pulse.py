"""Notices that an engine has gone, without calls at intervals: holds a silent stream open, and looks when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from bacalhau_jupyter.engines.docker.link.asking import Asker
from bacalhau_jupyter.engines.docker.link.fault import Fault

SHORT_S = 2.0
INTERVAL_S = 10.0
"""Seconds between looks where the engine keeps no stream open."""
_OTHER_END_S = 1.0


async def watch_engine(
    asker: Asker, over: asyncio.Task[Any] | None, check: Callable[[], Awaitable[Fault | None]]
) -> Fault | None:
    """Wait until the engine does not answer, and return why; None where ``over`` ends, which is below it.

    Parameters
    ----------
    over
        Ends with what the connections go through.
    """
    loop = asyncio.get_running_loop()
    below = [over] if over is not None else []
    while True:
        begun = loop.time()
        await _first(asker.pulse(), below)
        # Where one is the cause of the other, both end at nearly the same time.
        fault = None if _any_done(below) else await check()
        if fault is not None and below:
            await asyncio.wait(below, timeout=_OTHER_END_S)
        if _any_done(below):
            return None
        if fault is not None:
            return fault
        if loop.time() - begun < SHORT_S:
            await _first(asyncio.sleep(INTERVAL_S), below)


async def _first(work: Coroutine[Any, Any, None], below: list[asyncio.Task[Any]]) -> None:
    """Wait for the end of some work, or of what lies below it; the work has ended afterwards."""
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task, *below}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _any_done(tasks: list[asyncio.Task[Any]]) -> bool:
    return any(task.done() for task in tasks)
