"""Calls that may never return, in threads that delay neither stop nor exit."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from typing import TypeVar

T = TypeVar("T")


def in_thread(function: Callable[[], T], unwanted: Callable[[T], None] = lambda answer: None) -> Future[T]:
    """Call ``function`` in its own thread; neither a stop of the node nor its exit waits for it.

    Parameters
    ----------
    unwanted
        Gets an answer that came after the future was cancelled.
    """
    future = Future[T]()

    def run() -> None:
        try:
            answer = function()
        except BaseException as error:
            with contextlib.suppress(InvalidStateError):
                future.set_exception(error)
            return
        try:
            future.set_result(answer)
        except InvalidStateError:
            unwanted(answer)

    threading.Thread(target=run, name="question", daemon=True).start()
    return future


def answer_of(future: Future[T]) -> asyncio.Future[T]:
    """Return what a thread will answer; it may fail after everybody who waited has left."""
    answer = asyncio.wrap_future(future)
    answer.add_done_callback(_heard)
    return answer


def _heard(answer: asyncio.Future[T]) -> None:
    if not answer.cancelled():
        answer.exception()
