"""Keeps what a node says of its GPUs true while it runs: a runtime may be installed, a driver may go."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


async def watch_gpus(
    problems: dict[str, str],
    ask: Callable[[], Awaitable[dict[str, str]]],
    changed: Callable[[], None],
    every_s: float,
) -> None:
    """Ask again and again what keeps GPUs from being used; does not return.

    Parameters
    ----------
    problems
        What is said now; kept up to date.
    ask
        Returns what is to be said.
    changed
        Called when it is something else than before.
    every_s
        Seconds between two questions.
    """
    while True:
        await asyncio.sleep(every_s)
        now = await ask()
        if now != problems:
            problems.clear()
            problems.update(now)
            changed()
