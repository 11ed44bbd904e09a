"""Work that a person ordered, and that somebody may stop while the one who ordered it waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def unless_stopped(task: asyncio.Task[T], stopped: Callable[[], Exception]) -> T:
    """Wait for a task; a caller that is cancelled cancels it, too.

    Parameters
    ----------
    stopped
        Makes the exception that is raised where somebody else cancelled the task.

    Raises
    ------
    Exception
        What the task raises, or what ``stopped`` makes.
    """
    try:
        return await task
    except asyncio.CancelledError:
        if not task.cancelled() or (current := asyncio.current_task()) is None or current.cancelling():
            task.cancel()
            raise
        raise stopped() from None
