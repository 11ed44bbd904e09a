"""A request body that passes the gateway: only a few chunks are in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

_WAITING = 4
"""Chunks (of at most 64 KiB) between the browser's side and the cluster's."""


class Upload:
    """Takes chunks from one side, gives them to the other, and makes the faster side wait.

    Parameters
    ----------
    length
        Bytes to come, where the request says so.
    """

    def __init__(self, length: int | None = None) -> None:
        self.length = length
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(_WAITING)
        self._abandoned = False

    async def put(self, chunk: bytes) -> None:
        """Hand over a chunk; waits while the other side is behind, drops it when no reader is left."""
        if not self._abandoned:
            await self._queue.put(chunk)

    async def end(self) -> None:
        """Say that the body is complete."""
        if not self._abandoned:
            await self._queue.put(None)

    def abandon(self) -> None:
        """Stop taking chunks: the cluster has answered, or is lost. Who waits in `put` goes on."""
        self._abandoned = True
        while not self._queue.empty():
            self._queue.get_nowait()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the chunks until the body is complete."""
        while (chunk := await self._queue.get()) is not None:
            yield chunk
