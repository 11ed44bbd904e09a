"""One answer for all who ask the same blocking question at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class SharedAnswer(Generic[T]):
    """A question that a thread answers once for all who wait; used on one event loop.

    Who asks while an answer is being found waits for the next one: nobody gets an answer that is older than the
    question.

    Parameters
    ----------
    ask
        Blocks, and returns the answer or raises.
    """

    def __init__(self, ask: Callable[[], T]) -> None:
        self._ask = ask
        self._waiting: asyncio.Future[T] | None = None
        self._answering: asyncio.Task[None] | None = None

    async def get(self) -> T:
        """Ask; raises what ``ask`` raises."""
        if self._waiting is None:
            self._waiting = asyncio.get_running_loop().create_future()
        waiting = self._waiting
        if self._answering is None:
            self._answering = asyncio.create_task(self._answer(), name=f"answering {self._ask.__name__}")
        return await asyncio.shield(waiting)

    async def _answer(self) -> None:
        try:
            while (waiting := self._waiting) is not None:
                self._waiting = None
                try:
                    waiting.set_result(await asyncio.to_thread(self._ask))
                except Exception as error:
                    waiting.set_exception(error)
                except asyncio.CancelledError:
                    waiting.cancel()
                    raise
        finally:
            self._answering = None
