"""One direction between the orchestrator and one node, inside a process.

A lane is a queue that one task drains in order, so a message is handled only when the one before it was answered, and
a sender that gives up does not tear the receiver's handler apart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bacalhau_jupyter.transport.base import DeliveryError, Envelope, NotTaken


@dataclass
class _Parcel:
    envelope: Envelope
    answer: asyncio.Future[None]


class Lane:
    """Hands messages to one side, one after another.

    Parameters
    ----------
    handler
        Takes a message. The sender hears what it raises.
    name
        The name of the task that drains the queue.
    """

    def __init__(self, handler: Callable[[Envelope], Awaitable[None]], name: str) -> None:
        self._handler = handler
        self._queue: asyncio.Queue[_Parcel] = asyncio.Queue()
        self._closed = False
        self._task = asyncio.create_task(self._drain(), name=name)

    async def send(self, envelope: Envelope, timeout_s: float) -> None:
        """Hand a message over, and wait until it was handled.

        Raises
        ------
        DeliveryError
            The lane is closed.
        NotTaken
            The handler refused the message, or took longer than ``timeout_s`` seconds.
        """
        if self._closed:
            raise DeliveryError("the other side does not listen", component="Transport", retryable=True)
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(_Parcel(envelope, answer))
        try:
            async with asyncio.timeout(timeout_s):
                await answer
        except TimeoutError as error:
            raise NotTaken(
                f"message {envelope.seq} was not acknowledged within {timeout_s:g}s",
                component="Transport",
                retryable=True,
            ) from error

    async def _drain(self) -> None:
        while True:
            parcel = await self._queue.get()
            try:
                await self._handler(parcel.envelope)
            except asyncio.CancelledError:
                _refuse(parcel, "the other side went away")
                raise
            except Exception as error:
                _refuse(parcel, str(error) or type(error).__name__)
            else:
                if not parcel.answer.done():
                    parcel.answer.set_result(None)

    async def close(self) -> None:
        """End the task; refuse what waits."""
        self._closed = True
        await end_task(self._task)
        while not self._queue.empty():
            _refuse(self._queue.get_nowait(), "the other side went away")


def _refuse(parcel: _Parcel, reason: str) -> None:
    if not parcel.answer.done():
        parcel.answer.set_exception(
            NotTaken(
                f"message {parcel.envelope.seq} was refused: {reason}",
                component="Transport",
                retryable=True,
            )
        )


async def end_task(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait until it is gone. A lane closed from inside its own handler ends later by itself."""
    task.cancel()
    if task is not asyncio.current_task():
        await asyncio.wait([task])
