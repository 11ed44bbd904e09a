"""Telling those who follow something that it changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

T = TypeVar("T")

FRAME_S = 0.2
"""Seconds between two words on how far something is."""


class News(Generic[T]):
    """What something is now, for those who follow it; used on one event loop.

    Parameters
    ----------
    state
        Returns what it is now.
    """

    def __init__(self, state: Callable[[], T]) -> None:
        self._state = state
        self._changed = asyncio.Event()

    def tell(self) -> None:
        """Tell who follows that something is new."""
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def follow(self) -> AsyncIterator[T]:
        """Yield what it is, now and at each change, until the reader goes; several changes at a time are one."""
        while True:
            changed = self._changed
            yield self._state()
            await changed.wait()
            await asyncio.sleep(FRAME_S)
