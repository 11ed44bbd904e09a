"""Sending several messages at a time, to a receiver that stores together what it gets together."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Generic, TypeVar

from bacalhau_jupyter.models.wire.messages import ToCompute, ToOrchestrator
from bacalhau_jupyter.transport.base import NotTaken
from bacalhau_jupyter.transport.wire import execution_of

T = TypeVar("T")

MOST = 32
"""Messages to one receiver that may be on their way."""

PARKED_AT_ONCE = 8
"""Messages in a round that were refused before."""

MOST_PARKED = 1000
"""Executions of which refused messages are set aside; those of others hold up what comes after them."""


class Rounds(Generic[T]):
    """Chooses what goes to one receiver together.

    Of one execution that is one message: where it fails and comes again, no later one may have overtaken it. A round
    ends before the second message about the same execution. Where the first one was refused before, its execution is
    set aside: it is tried again beside the others, which go on.

    Parameters
    ----------
    message
        Returns the message of an item.
    """

    def __init__(self, message: Callable[[T], ToCompute | ToOrchestrator]) -> None:
        self._message = message
        # The one that was tried longest ago comes first.
        self._parked: dict[str, None] = {}

    @property
    def looked_at(self) -> int:
        """How many items at the head of a queue `next` looks at."""
        return MOST + min(8 * len(self._parked), MOST_PARKED)

    def next(self, queue: Iterable[T]) -> list[T]:
        """Return what may be on its way together, in the order of the queue."""
        head = [(self._about(item), item) for item in itertools.islice(queue, self.looked_at)]
        there = {execution_id for execution_id, _ in head} if self._parked else set()
        parked = (execution_id for execution_id in self._parked if execution_id in there)
        due = set(itertools.islice(parked, PARKED_AT_ONCE))
        together: list[T] = []
        about: set[str] = set()
        for execution_id, item in head:
            if len(together) == MOST:
                break
            if execution_id in self._parked:
                if execution_id not in due or execution_id in about:
                    continue
            elif execution_id in about:
                break
            about.add(execution_id)
            together.append(item)
        return together

    def settled(self, together: Sequence[T], failures: Sequence[BaseException | None]) -> None:
        """Hear what became of a round.

        What is refused is set aside. What nobody listened to is not, unless others were heard: then everything waits.
        """
        is_heard = any(error is None for error in failures)
        for item, error in zip(together, failures, strict=True):
            execution_id = self._about(item)
            was_parked = execution_id in self._parked
            self._parked.pop(execution_id, None)
            is_refused = error is not None and (is_heard or isinstance(error, NotTaken))
            if (was_parked and error is not None) or (is_refused and len(self._parked) < MOST_PARKED):
                self._parked[execution_id] = None

    def _about(self, item: T) -> str:
        return execution_of(self._message(item))


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
