"""A log stream inside a process: a producer task on the node's side, a bounded queue, a reader."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from bacalhau_jupyter.models.errors import BacalhauError, NetworkFailure
from bacalhau_jupyter.models.wire.api import LogFrame
from bacalhau_jupyter.transport.lanes import end_task

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class LogStream:
    """What a node's log handler gives, for one reader.

    Attributes
    ----------
    frames
        What the handler gives.
    limit
        Frames that wait for the reader; a full queue holds the handler back.
    owner
        The node's open streams; the stream leaves them when it is closed.
    """

    frames: AsyncIterator[LogFrame]
    limit: int
    owner: set[LogStream]
    _queue: asyncio.Queue[LogFrame | BacalhauError | None] = field(init=False)
    _task: asyncio.Task[None] = field(init=False)
    _gone: asyncio.Event = field(init=False, default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._queue = asyncio.Queue(self.limit)
        self._task = asyncio.create_task(self._produce(), name="log stream")

    async def next(self) -> LogFrame | None:
        """Return the next frame, or None at the end; raises when the node went away."""
        if self._gone.is_set() and self._queue.empty():
            raise NetworkFailure("the node went away while its logs were read", retryable=True)
        item = await self._queue.get()
        if isinstance(item, BacalhauError):
            raise item
        return item

    async def close(self) -> None:
        """Free the producer; the reader is done."""
        self.owner.discard(self)
        await end_task(self._task)

    async def abandon(self) -> None:
        """End the stream from the node's side: the reader gets what is queued, then an error."""
        await self.close()
        self._gone.set()
        if self._queue.empty():
            self._queue.put_nowait(
                NetworkFailure("the node went away while its logs were read", retryable=True)
            )

    async def _produce(self) -> None:
        last: BacalhauError | None = None
        try:
            async for frame in self.frames:
                await self._queue.put(frame)
        except BacalhauError as error:
            last = error
        except Exception:
            _log.exception("a log handler failed")
            last = BacalhauError("the log stream failed on the node", component="LogStream")
        finally:
            closer = getattr(self.frames, "aclose", None)
            if closer is not None:
                await closer()
        await self._queue.put(last)
