"""One SQLite database, one connection, one thread: durable writes that share their fsyncs.

Functions, not statements, go to the thread: each gets the connection and runs inside the transaction of its batch.
All writes that queued up while the last transaction was being synced make the next one (group commit).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from bacalhau_jupyter.lib.database.connection import (
    Connection,
    DatabaseError,
    Journal,
    Migration,
    Upkeep,
    Work,
    fill_up,
)
from bacalhau_jupyter.lib.threads.whole import to_the_end

T = TypeVar("T")

BATCH_LIMIT = 1024
"""Writes that share one transaction at most."""

JOIN_S = 30.0
"""How long `Database.close` waits for the thread."""


class _Awaited(Work):
    """A function on its way: what it returned is delivered to the future on the loop."""

    __slots__ = ("future", "then")

    def __init__(
        self,
        run: Callable[[sqlite3.Connection], Any],
        future: asyncio.Future[Any],
        then: Callable[[Any], None] | None,
    ) -> None:
        super().__init__(run)
        self.future = future
        self.then = then

    def deliver(self) -> None:
        if self.error is None:
            if self.then is not None:
                self.then(self.result)
            if not self.future.done():
                self.future.set_result(self.result)
        elif not self.future.done():
            self.future.set_exception(self.error)


class Database:
    """A database owned by one thread; made by `open`.

    Reads see only what is committed. They run between two transactions, so a slow read delays the writes behind it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, upkeep: Upkeep) -> None:
        self._loop = loop
        self._upkeep = upkeep
        self._queue: queue.SimpleQueue[tuple[bool, _Awaited] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._here: Connection | None = None
        self._closed = False

    @classmethod
    async def open(
        cls,
        path: Path | str | None,
        migrations: Sequence[Migration],
        journal: Journal = "wal",
        fault: Callable[[str], None] | None = None,
        reserve: int = 0,
        make_room: Callable[[], bool] | None = None,
    ) -> Database:
        """Open (or create) a database and bring its schema up to date.

        Parameters
        ----------
        path
            The file; None for a database in memory. The file is locked until `close`.
        migrations
            Steps in order; the schema version is their number.
        journal, fault, reserve, make_room
            As for `lib.database.connection.Upkeep`; the functions are called on the thread.

        Raises
        ------
        DatabaseError
            The file can't be opened, is locked by another process, or has a newer schema.
        """
        loop = asyncio.get_running_loop()
        database = cls(loop, Upkeep(journal, fault, reserve, make_room))
        ready: asyncio.Future[None] = loop.create_future()
        thread = threading.Thread(
            target=database._main, args=(path, list(migrations), ready), name="database", daemon=True
        )
        database._thread = thread
        thread.start()
        try:
            await ready
        except (DatabaseError, asyncio.CancelledError):
            await to_the_end(database.close())
            raise
        return database

    @classmethod
    def small(cls, migrations: Sequence[Migration]) -> Database:
        """Make a database in memory that needs no thread: for one whose reads and writes are all small.

        What is asked of it is done at once, on the event loop. Nothing of it waits for a disk, and handing it to a
        thread would take longer than the work.
        """
        database = cls(asyncio.get_running_loop(), Upkeep())
        database._here = Connection(None, migrations, database._upkeep)
        return database

    async def write(
        self, fn: Callable[[sqlite3.Connection], T], then: Callable[[T], None] | None = None
    ) -> T:
        """Run ``fn`` in a transaction; return what it returned once that is on disk.

        ``fn`` must depend on the connection and its own constants only: it runs again when the transaction that it
        shared with others could not be committed. An exception of ``fn`` undoes what ``fn`` did, and is raised here.

        Parameters
        ----------
        fn
            What to do; runs on the database's thread.
        then
            Called on the loop with the result after the commit, in commit order, before anybody who waits goes on,
            and also when the waiting task was cancelled meanwhile. Must not raise.

        Raises
        ------
        DatabaseError
            SQLite failed; nothing of ``fn`` is stored.
        """
        return await self._submit(True, fn, then)

    async def read(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``fn`` (which only reads) between two transactions and return what it returned.

        Raises
        ------
        DatabaseError
            SQLite failed.
        """
        return await self._submit(False, fn, None)

    async def replenish(self) -> bool:
        """Fill up the room that is kept inside the file, if it was used; whether it is whole now.

        Raises
        ------
        DatabaseError
            The database is closed.
        """
        return await self._submit(False, functools.partial(fill_up, reserve=self._upkeep.reserve), None)

    async def close(self) -> None:
        """Finish what is queued, then close the file; later calls fail. Safe to call twice."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, JOIN_S)
        elif self._here is not None:
            self._here.close()

    async def _submit(
        self, write: bool, fn: Callable[[sqlite3.Connection], T], then: Callable[[T], None] | None
    ) -> T:
        if self._closed:
            raise DatabaseError("the database is closed")
        future: asyncio.Future[T] = self._loop.create_future()
        work = _Awaited(fn, future, then)
        if self._here is None:
            self._queue.put((write, work))
        else:
            (self._here.write if write else self._here.read)([work])
            work.deliver()
        return await future

    # ---- below: on the thread

    def _main(
        self, path: Path | str | None, migrations: list[Migration], ready: asyncio.Future[None]
    ) -> None:
        try:
            connection = Connection(path, migrations, self._upkeep)
        except Exception as error:
            self._call(functools.partial(_fail, ready, error))
            return
        self._call(functools.partial(_succeed, ready))
        try:
            while self._serve(connection):
                pass
        finally:
            connection.close()

    def _serve(self, connection: Connection) -> bool:
        """Take what is queued and do it; False when the database is to be closed."""
        item = self._queue.get()
        reads: list[_Awaited] = []
        writes: list[_Awaited] = []
        while item is not None:
            (writes if item[0] else reads).append(item[1])
            if len(writes) >= BATCH_LIMIT:
                break
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                break
        if reads:
            connection.read(reads)
            self._call(functools.partial(_deliver, reads))
        if writes:
            connection.write(writes)
            self._call(functools.partial(_deliver, writes))
        return item is not None

    def _call(self, fn: Callable[[], None]) -> None:
        # A closed loop has no waiting callers left.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(fn)


def _deliver(works: list[_Awaited]) -> None:
    for work in works:
        work.deliver()


def _fail(future: asyncio.Future[None], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


def _succeed(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
