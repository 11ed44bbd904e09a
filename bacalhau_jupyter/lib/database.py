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
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

T = TypeVar("T")

Migration = str | Callable[[sqlite3.Connection], None]
"""A step from one schema version to the next: SQL text, or a function that runs inside the step's transaction."""

Journal = Literal["wal", "delete"]
"""``delete`` is for network file systems, where WAL does not work."""

BATCH_LIMIT = 1024
"""Writes that share one transaction at most."""

JOIN_S = 30.0
"""How long `Database.close` waits for the thread."""


class DatabaseError(Exception):
    """SQLite could not do it (full disk, I/O error, locked, newer schema); nothing of that write is stored.

    Parameters
    ----------
    message
        One sentence.
    full
        Whether the disk is full.
    """

    def __init__(self, message: str, *, full: bool = False) -> None:
        super().__init__(message)
        self.full = full


@dataclass(slots=True)
class _Work:
    """One function on its way: what it gave is delivered to the future on the loop."""

    run: Callable[[sqlite3.Connection], Any]
    future: asyncio.Future[Any]
    then: Callable[[Any], None] | None
    result: Any = None
    error: BaseException | None = None


class Database:
    """A database owned by one thread; made by `open`.

    Reads see only what is committed. They run between two transactions, so a slow read delays the writes behind it.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        fault: Callable[[str], None] | None,
        reserve: int = 0,
        make_room: Callable[[], bool] | None = None,
    ) -> None:
        self._loop = loop
        self._fault = fault
        self._reserve = reserve
        self._make_room = make_room
        self._queue: queue.SimpleQueue[tuple[bool, _Work] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
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
        journal
            How SQLite keeps its journal.
        fault
            Called on the thread with ``"begin"`` and ``"commit"`` before each; may raise (tests).
        reserve
            Bytes that the file and its journal keep free inside, so that writes succeed on a full disk: what
            jobs do there at the same time can't take that room. See `replenish`.
        make_room
            Called on the thread when the disk is full all the same; whether it is worth another try.

        Raises
        ------
        DatabaseError
            The file can't be opened, is locked by another process, or has a newer schema.
        """
        loop = asyncio.get_running_loop()
        database = cls(loop, fault, reserve, make_room)
        ready: asyncio.Future[None] = loop.create_future()
        thread = threading.Thread(
            target=database._main, args=(path, list(migrations), journal, ready), name="database", daemon=True
        )
        database._thread = thread
        thread.start()
        try:
            await ready
        except DatabaseError:
            await asyncio.to_thread(thread.join, JOIN_S)
            raise
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
        return await self._submit(False, self._fill_up, None)

    async def close(self) -> None:
        """Finish what is queued, then close the file; later calls fail. Safe to call twice."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, JOIN_S)

    async def _submit(
        self, write: bool, fn: Callable[[sqlite3.Connection], T], then: Callable[[T], None] | None
    ) -> T:
        if self._closed:
            raise DatabaseError("the database is closed")
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.put((write, _Work(fn, future, then)))
        return await future

    # ---- below: on the thread

    def _main(
        self,
        path: Path | str | None,
        migrations: list[Migration],
        journal: Journal,
        ready: asyncio.Future[None],
    ) -> None:
        try:
            connection = _connect(path, journal)
            try:
                _migrate(connection, migrations, path)
            except BaseException:
                connection.close()
                raise
        except Exception as error:
            wrapped = _wrap(error, f"the database {path or 'in memory'} can't be opened")
            self._call(functools.partial(_fail, ready, wrapped))
            return
        self._fill_up(connection)
        self._call(functools.partial(_succeed, ready))
        try:
            while self._serve(connection):
                pass
        finally:
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def _serve(self, connection: sqlite3.Connection) -> bool:
        """Take what is queued and do it; False when the database is to be closed."""
        item = self._queue.get()
        reads: list[_Work] = []
        writes: list[_Work] = []
        while item is not None:
            (writes if item[0] else reads).append(item[1])
            if len(writes) >= BATCH_LIMIT:
                break
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                break
        if reads:
            for work in reads:
                _run(connection, work)
            self._call(functools.partial(_deliver, reads))
        if writes:
            self._write(connection, writes)
            self._call(functools.partial(_deliver, writes))
        return item is not None

    def _fill_up(self, connection: sqlite3.Connection) -> bool:
        """Make the file as much larger as its free pages fall short of the reserve, and the journal with it."""
        if not self._reserve:
            return True
        try:
            (page,), (pages,) = (
                connection.execute(f"PRAGMA {name}").fetchone() for name in ("page_size", "freelist_count")
            )
            lacking = self._reserve - page * pages
            if lacking > self._reserve // 4:
                # Two transactions, or SQLite would not write pages that it frees again.
                connection.execute("DROP TABLE IF EXISTS reserve")
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("CREATE TABLE reserve (filling BLOB)")
                connection.execute("INSERT INTO reserve VALUES (randomblob(?))", (lacking,))
                connection.execute("COMMIT")
                connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
                connection.execute("DROP TABLE reserve")
                connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
        except sqlite3.Error:
            _rollback(connection)
            return False
        return True

    def _write(self, connection: sqlite3.Connection, writes: list[_Work]) -> None:
        """Store a batch; on a full disk make room, first inside the files and then outside, and try again."""
        self._try(connection, writes)
        if not _lack_room(writes):
            return
        # What is checkpointed leaves its place in the journal to what comes.
        with contextlib.suppress(sqlite3.Error):
            connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
        self._try(connection, _lack_room(writes))
        if _lack_room(writes) and self._make_room is not None and self._make_room():
            self._try(connection, _lack_room(writes))

    def _try(self, connection: sqlite3.Connection, writes: list[_Work]) -> None:
        """Store a batch: plainly, else with a savepoint for each, else each in a separate transaction."""
        # Savepoints double the statements of a small write, so they are used only when something went wrong.
        if self._attempt(connection, writes, savepoints=False):
            return
        if len(writes) > 1 and self._attempt(connection, writes, savepoints=True):
            return
        for work in writes:
            self._attempt(connection, [work], savepoints=False)

    def _attempt(self, connection: sqlite3.Connection, writes: list[_Work], savepoints: bool) -> bool:
        """Run a batch in one transaction; False when it must be tried in another way."""
        try:
            self._hook("begin")
            connection.execute("BEGIN IMMEDIATE")
            for work in writes:
                if savepoints:
                    connection.execute("SAVEPOINT work")
                _run(connection, work)
                if work.error is not None and not savepoints:
                    _rollback(connection)
                    return len(writes) == 1
                if savepoints:
                    if work.error is not None:
                        connection.execute("ROLLBACK TO work")
                    connection.execute("RELEASE work")
            self._hook("commit")
            connection.execute("COMMIT")
        except Exception as error:
            _rollback(connection)
            wrapped = _wrap(error, "the database can't be written")
            for work in writes:
                work.result, work.error = None, wrapped
            return False
        return True

    def _hook(self, point: str) -> None:
        if self._fault is not None:
            self._fault(point)

    def _call(self, fn: Callable[[], None]) -> None:
        # A closed loop has no waiting callers left.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(fn)


def _connect(path: Path | str | None, journal: Journal) -> sqlite3.Connection:
    connection = sqlite3.connect(
        ":memory:" if path is None else path, timeout=1.0, isolation_level=None, cached_statements=512
    )
    try:
        # EXCLUSIVE first: then WAL needs no shared memory, and a second process is refused.
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute(f"PRAGMA journal_mode={'WAL' if journal == 'wal' else 'DELETE'}")
        # With a rollback journal the commit is the journal's removal, so its directory must be synced too.
        connection.execute(f"PRAGMA synchronous={'FULL' if journal == 'wal' else 'EXTRA'}")
        connection.execute("PRAGMA temp_store=MEMORY")
        connection.execute("PRAGMA cache_size=-16000")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


def _migrate(connection: sqlite3.Connection, migrations: list[Migration], path: Path | str | None) -> None:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > len(migrations):
        raise DatabaseError(
            f"the database {path} has schema version {version}, newer than this program's {len(migrations)}: "
            "use a newer program or another directory"
        )
    for number, migration in enumerate(migrations[version:], start=version + 1):
        try:
            if isinstance(migration, str):
                connection.executescript(
                    f"BEGIN IMMEDIATE;\n{migration}\n;PRAGMA user_version={number};\nCOMMIT;"
                )
            else:
                connection.execute("BEGIN IMMEDIATE")
                migration(connection)
                connection.execute(f"PRAGMA user_version={number}")
                connection.execute("COMMIT")
        except BaseException:
            _rollback(connection)
            raise


def _run(connection: sqlite3.Connection, work: _Work) -> None:
    work.result = work.error = None
    try:
        work.result = work.run(connection)
    except sqlite3.Error as error:
        work.error = _wrap(error, "the database failed")
    except Exception as error:
        work.error = error


def _lack_room(writes: list[_Work]) -> list[_Work]:
    return [work for work in writes if isinstance(work.error, DatabaseError) and work.error.full]


def _rollback(connection: sqlite3.Connection) -> None:
    # SQLite may have ended the transaction by itself (full disk).
    if connection.in_transaction:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")


def _wrap(error: Exception, what: str) -> Exception:
    if isinstance(error, sqlite3.Error):
        name = getattr(error, "sqlite_errorname", "")
        full = name == "SQLITE_FULL"
        reason = "the disk is full" if full else str(error) or name
        wrapped = DatabaseError(f"{what}: {reason}", full=full)
        wrapped.__cause__ = error
        return wrapped
    return error


def _deliver(works: list[_Work]) -> None:
    for work in works:
        if work.error is None:
            if work.then is not None:
                work.then(work.result)
            if not work.future.done():
                work.future.set_result(work.result)
        elif not work.future.done():
            work.future.set_exception(work.error)


def _fail(future: asyncio.Future[None], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


def _succeed(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
