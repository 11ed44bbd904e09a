"""Which of a job's connections the node takes, and when: what it does not take waits in the kernel.

A job may open connections as fast as its processor can. Each that is accepted costs the node a file descriptor and some
of its time, even if only to say no; so the rate and the number are bounded before that.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from functools import partial

RATE, BURST = 100.0, 200
"""Connections of one job that are taken in a second, and at once: a flood must not take the node's time."""
FLUSH_S = 60.0
"""Seconds in which a client takes the rest of an answer; one that does not read holds nothing for longer."""
RETRY_S = 1.0
"""Seconds until a connection is taken that could not be, for want of descriptors."""

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def flush(writer: asyncio.StreamWriter) -> None:
    """Close a connection once the other side has taken what is left, for `FLUSH_S` seconds at most."""
    writer.close()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(FLUSH_S):
            await writer.wait_closed()


class Accepting:
    """Takes the connections of one execution; used on one event loop.

    Parameters
    ----------
    serve
        Carries out what is asked on a connection, and closes it.
    held
        Connections at a time.
    limit
        Bytes of a line that are read ahead.
    """

    def __init__(self, serve: Serve, held: int, limit: int) -> None:
        self._serve = serve
        self._limit = limit
        self._free = asyncio.Semaphore(held)
        self._free_at = 0.0
        self._ending = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, listener: socket.socket) -> None:
        """Take connections until cancelled; the socket, which does not block, is closed then."""
        with listener:
            while True:
                await self._free.acquire()
                try:
                    connection = await self._next(listener)
                except BaseException:
                    self._free.release()
                    raise
                task = asyncio.create_task(self._one(connection))
                self._tasks.add(task)
                task.add_done_callback(self._given_back)
                # One that is cancelled before it begins closes nothing.
                task.add_done_callback(partial(_close, connection))

    async def close(self) -> None:
        """End every connection."""
        self._ending = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def turn(self) -> None:
        """Wait while the job has had more connections than its share."""
        now = asyncio.get_running_loop().time()
        self._free_at = max(self._free_at, now - BURST / RATE) + 1 / RATE
        if self._free_at > now:
            await asyncio.sleep(self._free_at - now)

    async def _next(self, listener: socket.socket) -> socket.socket:
        while True:
            try:
                # By ourselves: of asyncio's own call, a connection is lost that is taken as the task is cancelled.
                connection, _ = listener.accept()
            except BlockingIOError:
                await _until_readable(listener)
                continue
            except OSError:
                # The client is gone already, or this process has no descriptor left.
                await asyncio.sleep(RETRY_S)
                continue
            try:
                connection.setblocking(False)
                await self.turn()
            except BaseException:
                connection.close()
                raise
            return connection

    async def _one(self, connection: socket.socket) -> None:
        try:
            reader, writer = await asyncio.open_connection(sock=connection, limit=self._limit)
        except BaseException:
            connection.close()
            raise
        try:
            await self._serve(reader, writer)
            if not self._ending:
                await flush(writer)
        finally:
            writer.transport.abort()

    def _given_back(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._free.release()
        if not task.cancelled():
            task.exception()  # a client that was gone at once: nothing to tell


async def _until_readable(listener: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(listener, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(listener)


def _close(connection: socket.socket, _: asyncio.Task[None]) -> None:
    connection.close()
