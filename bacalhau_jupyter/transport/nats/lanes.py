"""A bounded queue of work per node: a node that sends too much fills only its own queue."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

_log = logging.getLogger(__name__)

Work = Callable[[], Awaitable[None]]


@dataclass
class _Lane:
    work: deque[tuple[int, Work]] = field(default_factory=deque)
    size: int = 0
    task: asyncio.Task[None] | None = None


class Lanes:
    """Work of many nodes: in order per node, side by side otherwise.

    A lane has a task only while there is work in it, so that thousands of quiet nodes cost nothing.

    Parameters
    ----------
    name
        What the tasks are called.
    most_items, most_bytes
        What may wait in one lane.
    """

    def __init__(self, name: str, most_items: int, most_bytes: int) -> None:
        self._name = name
        self._most_items = most_items
        self._most_bytes = most_bytes
        self._lanes: dict[str, _Lane] = {}
        self._is_closed = False

    def put(self, key: str, size: int, work: Work) -> bool:
        """Queue work of ``size`` bytes in the lane of a node; False where the lane is full or closed."""
        lane = self._lanes.get(key)
        if lane is None:
            if self._is_closed:
                return False
            lane = self._lanes[key] = _Lane()
        if len(lane.work) >= self._most_items or (lane.work and lane.size + size > self._most_bytes):
            return False
        lane.work.append((size, work))
        lane.size += size
        if lane.task is None:
            lane.task = asyncio.create_task(self._drain(key, lane), name=f"{self._name} {key}")
        return True

    def open(self) -> None:
        """Take work, again after `close`."""
        self._is_closed = False

    async def close(self) -> None:
        """Drop what waits, and end what runs. From inside of a lane's own work, that lane ends by itself."""
        self._is_closed = True
        lanes, self._lanes = list(self._lanes.values()), {}
        tasks = [lane.task for lane in lanes if lane.task is not None]
        for lane in lanes:
            lane.work.clear()
        for task in tasks:
            task.cancel()
        others = [task for task in tasks if task is not asyncio.current_task()]
        if others:
            await asyncio.wait(others)

    async def _drain(self, key: str, lane: _Lane) -> None:
        try:
            while lane.work:
                size, work = lane.work.popleft()
                lane.size -= size
                try:
                    await work()
                except Exception:
                    _log.exception("%s %s: a message could not be handled", self._name, key)
                # Work that waits for nothing, thousands of times, would stop everything else meanwhile.
                await asyncio.sleep(0)
        finally:
            lane.task = None
            if self._lanes.get(key) is lane:
                del self._lanes[key]
