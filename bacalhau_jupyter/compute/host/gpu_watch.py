"""Keeps what a node says of its GPUs true while it runs: a runtime may be installed, a driver may go."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable


async def watch_gpus(
    problems: dict[str, str],
    ask: Callable[[], Awaitable[dict[str, str]]],
    changed: Callable[[], None],
    every_s: float,
    doubted: asyncio.Event,
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
    doubted
        Set where a question now may bring something new.
    """
    while True:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(every_s):
                await doubted.wait()
        doubted.clear()
        now = await ask()
        if now != problems:
            problems.clear()
            problems.update(now)
            changed()
