"""Sending several messages at a time, to a receiver that stores together what it gets together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from bacalhau_jupyter.models.wire.messages import ToCompute, ToOrchestrator
from bacalhau_jupyter.transport.wire import execution_of

T = TypeVar("T")

MOST = 32
"""Messages to one receiver that may be on their way."""


def round_of(queue: Iterable[T], message: Callable[[T], ToCompute | ToOrchestrator]) -> list[T]:
    """Return the first of a queue that may be on their way together.

    Of one execution that is one message: where it fails and comes again, no later one may have overtaken it.
    """
    together: list[T] = []
    about: set[str] = set()
    for item in queue:
        execution_id = execution_of(message(item))
        if execution_id in about or len(together) == MOST:
            break
        about.add(execution_id)
        together.append(item)
    return together


async def sent(items: Iterable[T], send: Callable[[T], Awaitable[None]]) -> list[BaseException | None]:
    """Send all, begun in order; return for each why it failed, or None. Cancelled, none of it goes on."""
    waiting = list(items)
    if len(waiting) == 1:
        # As it mostly is; a task of its own would take longer than what it does.
        try:
            await send(waiting[0])
        except Exception as error:
            return [error]
        return [None]
    return await asyncio.gather(*(send(item) for item in waiting), return_exceptions=True)
