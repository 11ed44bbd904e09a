"""Work that several wait for and that is done once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from bacalhau_jupyter.models.records.progress import Progress, Reading

T = TypeVar("T")


@dataclass(eq=False)
class _Flight(Generic[T]):
    task: asyncio.Task[T]
    listeners: list[Progress] = field(default_factory=list)


class Flights(Generic[T]):
    """Pieces of work by key; used on one event loop.

    Work is called off when the last one who waits for it is cancelled.
    """

    def __init__(self) -> None:
        self._flights: dict[Hashable, _Flight[T]] = {}

    async def share(self, key: Hashable, work: Callable[[Progress], Awaitable[T]], progress: Progress) -> T:
        """Do the work, or wait for who does it already; raise what it raises."""
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = self._begin(key, work)
        flight.listeners.append(progress)
        try:
            return await asyncio.shield(flight.task)
        except asyncio.CancelledError:
            if len(flight.listeners) == 1 and not flight.task.done():
                # Nobody may join what is being called off.
                self._flights.pop(key, None)
                flight.task.cancel()
                await asyncio.wait([flight.task])
            raise
        finally:
            flight.listeners.remove(progress)

    async def close(self) -> None:
        """Call everything off."""
        tasks = [flight.task for flight in self._flights.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _begin(self, key: Hashable, work: Callable[[Progress], Awaitable[T]]) -> _Flight[T]:
        listeners: list[Progress] = []

        def tell(reading: Reading) -> None:
            for listener in listeners:
                listener(reading)

        async def run() -> T:
            return await work(tell)

        flight = _Flight(asyncio.create_task(run(), name=f"images: {key}"), listeners)

        def end(task: asyncio.Task[T]) -> None:
            if self._flights.get(key) is flight:
                del self._flights[key]
            if not task.cancelled():
                # Its exception is raised to those who wait; if they all left, nobody asks for it.
                task.exception()

        flight.task.add_done_callback(end)
        return flight
