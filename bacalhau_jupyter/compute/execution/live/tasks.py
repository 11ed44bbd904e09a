"""The asyncio tasks that look after executions."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from typing import Any

from bacalhau_jupyter.compute.execution.events import Event

_log = logging.getLogger(__name__)


class Tasks:
    """Owns the tasks of all executions.

    A transition stores something and acts upon it: it is short, and always runs to its end. Other work may be cancelled
    when the node stops.
    """

    def __init__(self) -> None:
        self._work: set[asyncio.Task[None]] = set()
        self._transitions: set[asyncio.Task[bool]] = set()

    def spawn(self, work: Coroutine[Any, Any, None], kind: str, execution_id: str) -> asyncio.Task[None]:
        """Begin work for an execution; ``kind`` says what it does, and `running` finds it by that."""
        task = asyncio.create_task(work, name=f"{kind} {execution_id}")
        self._work.add(task)
        task.add_done_callback(self._done)
        return task

    def running(self, kind: str) -> list[asyncio.Task[None]]:
        """Return the work of a kind that has not ended."""
        return [task for task in self._work if task.get_name().startswith(f"{kind} ")]

    def transition(self, work: Coroutine[Any, Any, bool]) -> asyncio.Task[bool]:
        """Begin a transition."""
        task = asyncio.create_task(work)
        self._transitions.add(task)
        task.add_done_callback(self._stored)
        return task

    async def whole(self, work: Coroutine[Any, Any, bool]) -> bool:
        """Make a transition, to its end even if the caller is cancelled: what is stored must also be acted upon."""
        return await asyncio.shield(self.transition(work))

    async def finish_transitions(self, timeout_s: float) -> None:
        """Wait until every transition has ended, for so many seconds at most."""
        if self._transitions:
            await asyncio.wait(self._transitions, timeout=timeout_s)

    async def cancel(self, activities: Iterable[asyncio.Task[Event]], timeout_s: float) -> None:
        """Cancel all work and these activities; waits for their end for so many seconds at most."""
        tasks = [*self._work, *activities]
        for task in tasks:
            task.cancel()
        if tasks:
            _, stuck = await asyncio.wait(tasks, timeout=timeout_s)
            for task in stuck:
                _log.warning("%s does not end", task.get_name())

    def _stored(self, task: asyncio.Task[bool]) -> None:
        self._transitions.discard(task)
        if not task.cancelled():
            task.exception()  # a waiting caller has it; without one, the sender sends again

    def _done(self, task: asyncio.Task[None]) -> None:
        self._work.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("%s failed", task.get_name(), exc_info=error)
