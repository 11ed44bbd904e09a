"""Work in a thread can't be interrupted: what becomes of it when nobody waits for it any more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")


async def whole(work: Callable[..., T], *arguments: Any) -> T:
    """Run blocking work in a thread; when the caller is cancelled, the work ends first.

    So what it works on can be closed and removed then. Raises what the work raises.
    """
    return await to_the_end(asyncio.to_thread(work, *arguments))


async def to_the_end(work: Awaitable[T]) -> T:
    """Wait for something; when the caller is cancelled, it ends first. Raises what it raises."""
    working = asyncio.ensure_future(work)
    working.add_done_callback(_heard)
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        await asyncio.wait([working])
        raise


async def or_undone(undo: Callable[[T], object], work: Callable[..., T], *arguments: Any) -> T:
    """Run blocking work in a thread; when the caller is cancelled, the work ends first, and what came of it is undone.

    Raises what the work raises.

    Parameters
    ----------
    undo
        Called on the event loop with what the work returned, such as `os.close` with a descriptor.
    """
    working = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
    working.add_done_callback(_heard)

    def left(done: asyncio.Future[T]) -> None:
        if not done.cancelled() and done.exception() is None:
            undo(done.result())

    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        # By the work itself: who is cancelled twice does not wait.
        working.add_done_callback(left)
        await asyncio.wait([working])
        raise


def _heard(done: asyncio.Future[Any]) -> None:
    if not done.cancelled():
        done.exception()  # where a caller was cancelled, nobody else asks for it
