"""How many bytes may be on their way to one receiver: more would be cut off by a server with a slow line."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator

WINDOW_BYTES = 1 << 20
"""What may be unacknowledged on one subject: NATS servers give up a client that takes longer than 10 s for a write."""


class _Window:
    def __init__(self) -> None:
        self.under_way = 0
        self.waiting: deque[tuple[int, asyncio.Future[None]]] = deque()


class Windows:
    """One window per subject; it exists only while something is under way there.

    Parameters
    ----------
    limit
        Bytes that may be under way on a subject. What is larger goes alone.
    """

    def __init__(self, limit: int = WINDOW_BYTES) -> None:
        self._limit = limit
        self._windows: dict[str, _Window] = {}

    @contextlib.asynccontextmanager
    async def room(self, subject: str, size: int) -> AsyncIterator[None]:
        """Wait until a message of ``size`` bytes may go, in the order of coming; it is under way inside."""
        window = self._windows.setdefault(subject, _Window())
        if window.waiting or not self._fits(window, size):
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            window.waiting.append((size, turn))
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    window.under_way -= size
                self._admit(subject, window)
                raise
        else:
            window.under_way += size
        try:
            yield
        finally:
            window.under_way -= size
            self._admit(subject, window)

    def _fits(self, window: _Window, size: int) -> bool:
        return not window.under_way or window.under_way + size <= self._limit

    def _admit(self, subject: str, window: _Window) -> None:
        while window.waiting:
            size, turn = window.waiting[0]
            if not turn.done():
                if not self._fits(window, size):
                    return
                window.under_way += size
                turn.set_result(None)
            window.waiting.popleft()
        if not window.under_way and self._windows.get(subject) is window:
            del self._windows[subject]
