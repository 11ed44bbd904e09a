"""Pulls of images that people ordered: how far each is, and how to stop them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from bacalhau_jupyter.lib.ordered.news import News
from bacalhau_jupyter.lib.ordered.stopping import unless_stopped
from bacalhau_jupyter.models.errors import Conflict
from bacalhau_jupyter.models.records.kept.images import PullProgress
from bacalhau_jupyter.models.records.progress import Reading
from bacalhau_jupyter.plugins.images import ImageKeeper, KeptImage


class _Order:
    """One order to pull an image."""

    def __init__(self) -> None:
        self.reading = Reading("pulling image")
        self.task: asyncio.Task[KeptImage] | None = None


class Pulling:
    """The pulls that people ordered, by the name that they gave; used on one event loop."""

    def __init__(self) -> None:
        self._orders: dict[str, list[_Order]] = {}
        self._news: News[None] = News(lambda: None)

    def progress(self, image: str) -> PullProgress:
        """Return how far the pull of an image is."""
        orders = self._orders.get(image)
        if not orders:
            return PullProgress()
        reading = orders[0].reading
        return PullProgress(phase=reading.phase, done=reading.done, total=reading.total or 0)

    async def follow(self, image: str) -> AsyncIterator[PullProgress]:
        """Yield how far the pull of an image is, now and at each change, until the reader goes."""
        last = None
        async for _ in self._news.follow():
            if (now := self.progress(image)) != last:
                last = now
                yield now

    async def pull(self, store: ImageKeeper, image: str) -> KeptImage:
        """Take an image from its registry.

        Raises
        ------
        Conflict
            Somebody stopped it.
        BacalhauError
            As for `ImageKeeper.pull`.
        """
        order, loop = _Order(), asyncio.get_running_loop()

        def note(reading: Reading) -> None:
            order.reading = reading
            self._news.tell()

        def progress(reading: Reading) -> None:
            loop.call_soon_threadsafe(note, reading)

        task = order.task = asyncio.create_task(store.pull(image, progress), name="pulling an image")
        self._orders.setdefault(image, []).append(order)
        self._news.tell()
        try:
            return await unless_stopped(task, lambda: Conflict(f"the pull of {image} was stopped"))
        finally:
            self._orders[image].remove(order)
            if not self._orders[image]:
                del self._orders[image]
            self._news.tell()

    async def stop(self, image: str) -> None:
        """End the pulls of an image; jobs that wait for the same go on."""
        tasks = {order.task for order in self._orders.get(image, ()) if order.task is not None}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
