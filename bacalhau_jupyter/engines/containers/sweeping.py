"""Removes from a Docker Engine what it has of executions that ended for this node while it did not answer.

Nobody else comes back to them: for the node they are over, and the container may still run.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from bacalhau_jupyter.engines.containers.handed_over import HandedOver
from bacalhau_jupyter.lib.backoff import backoff
from bacalhau_jupyter.models.errors import BacalhauError, NetworkFailure

_log = logging.getLogger(__name__)

RETRY_S = (1.0, 60.0)
"""First and longest delay, in seconds, before Docker is asked again. It tells nobody that it is back."""


class Sweeper:
    """Tries again and again, while something is left.

    Parameters
    ----------
    notes
        Knows what is left.
    remove
        Ends and removes what Docker has of an execution, and its note.
    """

    def __init__(self, notes: HandedOver, remove: Callable[[str], Awaitable[None]]) -> None:
        self._notes = notes
        self._remove = remove
        self._asked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Look now whether something is left, and go on until it is gone."""
        self._asked.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="remove what Docker has left")

    async def close(self) -> None:
        """Stop; what is left is found again by its notes."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        delays = backoff(*RETRY_S)
        while self._asked.is_set():
            self._asked.clear()
            if not await self._sweep():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(next(delays)):
                        await self._asked.wait()
                self._asked.set()

    async def _sweep(self) -> bool:
        """Remove what is left; False where Docker does not let it go yet."""
        is_all = True
        for execution_id in await asyncio.to_thread(self._notes.given_up):
            try:
                await self._remove(execution_id)
            except (BacalhauError, OSError) as error:
                _log.info("Docker still has something of execution %s: %s", execution_id, error)
                if isinstance(error, NetworkFailure):
                    return False
                # It answers: what it refuses for one execution holds no other one up.
                is_all = False
            else:
                _log.info("removed what Docker had of execution %s", execution_id)
        return is_all
