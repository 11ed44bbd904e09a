"""A bounded queue of work per node: a node that sends too much fills only its own queue."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

_log = logging.getLogger(__name__)

Work = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class _Item:
    size: int
    work: Work
    about: str
    is_first: bool


@dataclass
class _Lane:
    waiting: deque[_Item] = field(default_factory=deque)
    size: int = 0
    at_work: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    is_held: bool = False


class Lanes:
    """Work of many nodes: begun in order per node, side by side otherwise.

    A lane exists only while there is work in it, so that thousands of quiet nodes cost nothing.

    Parameters
    ----------
    name
        What the tasks are called.
    most_items, most_bytes
        What may wait and be at work in one lane; one item may be larger.
    at_once
        How much of one lane may be at work; what is about the same thing never is.
    """

    def __init__(self, name: str, most_items: int, most_bytes: int, at_once: int = 1) -> None:
        self._name = name
        self._most_items = most_items
        self._most_bytes = most_bytes
        self._at_once = at_once
        self._lanes: dict[str, _Lane] = {}
        self._is_closed = False

    def has_room(self, key: str, size: int) -> bool:
        """Whether work of ``size`` bytes would be queued in the lane of a node."""
        lane = self._lanes.get(key)
        if lane is None:
            return not self._is_closed
        is_full = len(lane.waiting) + len(lane.at_work) >= self._most_items
        return not (is_full or lane.size + size > self._most_bytes)

    def put(self, key: str, size: int, work: Work, *, about: str = "", is_first: bool = False) -> bool:
        """Queue work of ``size`` bytes in the lane of a node; False where the lane is full or closed.

        Parameters
        ----------
        about
            What it is about: work about the same thing is done one after the other.
        is_first
            Whether nothing that comes after it is begun before it is done.
        """
        if not self.has_room(key, size):
            return False
        lane = self._lanes.setdefault(key, _Lane())
        lane.waiting.append(_Item(size, work, about, is_first))
        lane.size += size
        self._begin(key, lane)
        return True

    def open(self) -> None:
        """Take work, again after `close`."""
        self._is_closed = False

    async def close(self) -> None:
        """Drop what waits, and end what is at work. From inside of such work, that ends by itself."""
        self._is_closed = True
        lanes, self._lanes = list(self._lanes.values()), {}
        tasks = [task for lane in lanes for task in lane.at_work.values()]
        for lane in lanes:
            lane.waiting.clear()
        for task in tasks:
            task.cancel()
        others = [task for task in tasks if task is not asyncio.current_task()]
        if others:
            await asyncio.wait(others)

    def _begin(self, key: str, lane: _Lane) -> None:
        """Begin what may be, never anything ahead of what came before it."""
        while lane.waiting and not lane.is_held and len(lane.at_work) < self._at_once:
            item = lane.waiting[0]
            if item.about in lane.at_work:
                return
            lane.waiting.popleft()
            lane.is_held = item.is_first
            lane.at_work[item.about] = asyncio.create_task(
                self._do(key, lane, item), name=f"{self._name} {key}"
            )

    async def _do(self, key: str, lane: _Lane, item: _Item) -> None:
        try:
            await item.work()
        except Exception:
            _log.exception("%s %s: a message could not be handled", self._name, key)
        finally:
            del lane.at_work[item.about]
            lane.size -= item.size
            # Nothing was begun since, so it was this that held the others.
            lane.is_held = lane.is_held and not item.is_first
            self._begin(key, lane)
            if not lane.at_work and self._lanes.get(key) is lane:
                del self._lanes[key]
