"""One background thread with its own event loop, so that blocking code can use the async client.

A cell blocks the kernel's main thread, and a kernel's own loop is already running there; an interrupt must
arrive promptly. So everything async happens on this thread, and the caller waits in short slices.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import os
import queue
import threading
import weakref
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any, Protocol, TypeVar, cast

T = TypeVar("T")

_SLICE_S = 0.2
"""Seconds a blocked caller waits at a time; an interrupt is noticed at the latest after one slice."""


class Closing(Protocol):
    """Something with connections to close."""

    async def close(self) -> None: ...


class Portal:
    """A background event loop and the ways to use it from other threads."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._owned: weakref.WeakSet[Closing] = weakref.WeakSet()
        self._thread = threading.Thread(target=self._serve, name="bacalhau-client", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop itself; use it only through thread-safe calls."""
        return self._loop

    @property
    def is_usable(self) -> bool:
        """Whether the loop's thread runs; after a fork only the parent has it."""
        return self._pid == os.getpid() and self._thread.is_alive()

    def own(self, thing: Closing) -> None:
        """Close ``thing`` with this portal, unless it is closed already."""
        self._owned.add(thing)

    def start(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Run a coroutine on the loop without waiting.

        Raises
        ------
        RuntimeError
            The loop's thread is gone: the portal is closed, or belongs to the process this one was forked from.
        """
        if not self.is_usable:
            work.close()
            raise RuntimeError("this event loop thread is gone")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and wait for its result; an interrupt cancels it."""
        future = self.start(work)
        try:
            return self.wait(future)
        except BaseException:
            future.cancel()
            raise

    @staticmethod
    def wait(future: concurrent.futures.Future[T]) -> T:
        """Wait for what `start` returned in short slices; an interrupt leaves it running."""
        while True:
            done, _ = concurrent.futures.wait([future], timeout=_SLICE_S)
            if done:
                return future.result()

    def iterate(self, source: AsyncIterator[T], size: int = 256) -> Iterator[T]:
        """Iterate over an async iterator from blocking code; at most ``size`` items wait in between.

        Closing the returned generator (or an exception in the caller) closes the source.
        """
        for item in self.iterate_or_idle(source, size=size):
            if item is not None:
                yield item

    def iterate_or_idle(self, source: AsyncIterator[T], size: int = 256) -> Iterator[T | None]:
        """Do what `iterate` does, and yield None whenever nothing came for a short slice of time."""
        items: queue.SimpleQueue[tuple[bool, T | BaseException | None]] = queue.SimpleQueue()
        room = asyncio.Semaphore(size)

        async def pump() -> None:
            try:
                async for item in source:
                    await room.acquire()
                    items.put((True, item))
                items.put((False, None))
            except BaseException as error:
                items.put((False, error))
                raise
            finally:
                close = getattr(source, "aclose", None)
                if close is not None:
                    with contextlib.suppress(Exception):
                        await close()

        future = self.start(pump())
        try:
            while True:
                try:
                    more, item = items.get(timeout=_SLICE_S)
                except queue.Empty:
                    yield None
                    continue
                if not more:
                    if isinstance(item, BaseException):
                        raise item
                    return
                self._loop.call_soon_threadsafe(room.release)
                yield cast(T, item)
        finally:
            future.cancel()

    def close(self) -> None:
        """Stop the loop; what still runs on it is cancelled."""
        # A forked child shares the loop's epoll set and wake-up socket with its parent: closing would deafen it.
        if self._loop.is_closed() or self._pid != os.getpid():
            return
        with contextlib.suppress(Exception):
            asyncio.run_coroutine_threadsafe(_end(list(self._owned)), self._loop).result(timeout=2)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=2)
        if not self._thread.is_alive():
            self._loop.close()


async def _end(owned: list[Closing]) -> None:
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.gather(*(thing.close() for thing in owned), return_exceptions=True)


_shared: Portal | None = None
_lock = threading.Lock()


def shared_portal() -> Portal:
    """Return this process's portal, made on first use (and again after a fork)."""
    global _shared
    with _lock:
        if _shared is None or not _shared.is_usable:
            _shared = Portal()
            atexit.register(_shared.close)
        return _shared
