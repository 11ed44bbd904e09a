"""One SQLite connection: opened, brought up to date, and given functions to run in transactions. All of it blocks."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Migration = str | Callable[[sqlite3.Connection], None]
"""A step from one schema version to the next: SQL text, or a function that runs inside the step's transaction."""

Journal = Literal["wal", "delete"]
"""``delete`` is for network file systems, where WAL does not work."""


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


class Work:
    """One function to run, and what came of it.

    Attributes
    ----------
    result
        What it returned.
    error
        Why nothing of it is stored; None where it is.
    """

    __slots__ = ("error", "result", "run")

    def __init__(self, run: Callable[[sqlite3.Connection], Any]) -> None:
        self.run = run
        self.result: Any = None
        self.error: BaseException | None = None


@dataclass(frozen=True)
class Upkeep:
    """How a connection keeps its files, and what it does on a full disk.

    Attributes
    ----------
    journal
        How SQLite keeps its journal.
    fault
        Called with ``"begin"`` and ``"commit"`` before each; may raise (tests).
    reserve
        Bytes that the file and its journal keep free inside, so that writes succeed on a full disk: what
        jobs do there at the same time can't take that room.
    make_room
        Called when the disk is full all the same; whether it is worth another try.
    """

    journal: Journal = "wal"
    fault: Callable[[str], None] | None = None
    reserve: int = 0
    make_room: Callable[[], bool] | None = None


class Connection:
    """A connection, used by one thread only: the one that made it.

    Parameters
    ----------
    path
        The file; None for a database in memory. The file is locked until `close`.
    migrations
        Steps in order; the schema version is their number.

    Raises
    ------
    DatabaseError
        The file can't be opened, is locked by another process, or has a newer schema.
    """

    def __init__(self, path: Path | str | None, migrations: Sequence[Migration], upkeep: Upkeep) -> None:
        self._upkeep = upkeep
        try:
            self._connection = _connect(path, upkeep.journal)
            try:
                _migrate(self._connection, migrations, path)
            except BaseException:
                self._connection.close()
                raise
        except sqlite3.Error as error:
            raise _wrap(error, f"the database {path or 'in memory'} can't be opened") from error
        fill_up(self._connection, upkeep.reserve)

    def close(self) -> None:
        """Close the file; what is stored stays."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()

    def read(self, works: Sequence[Work]) -> None:
        """Run what only reads."""
        for work in works:
            _run(self._connection, work)

    def write(self, works: Sequence[Work]) -> None:
        """Store a batch; on a full disk make room, first inside the files and then outside, and try again."""
        self._try(works)
        if not _lack_room(works):
            return
        # What is checkpointed leaves its place in the journal to what comes.
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
        self._try(_lack_room(works))
        make_room = self._upkeep.make_room
        if _lack_room(works) and make_room is not None and make_room():
            self._try(_lack_room(works))

    def _try(self, works: Sequence[Work]) -> None:
        """Store a batch: plainly, else with a savepoint for each, else each in a separate transaction."""
        # Savepoints double the statements of a small write, so they are used only when something went wrong.
        if self._attempt(works, savepoints=False):
            return
        if len(works) > 1 and self._attempt(works, savepoints=True):
            return
        for work in works:
            self._attempt([work], savepoints=False)

    def _attempt(self, works: Sequence[Work], savepoints: bool) -> bool:
        """Run a batch in one transaction; False when it must be tried in another way."""
        connection = self._connection
        try:
            self._hook("begin")
            connection.execute("BEGIN IMMEDIATE")
            for work in works:
                if savepoints:
                    connection.execute("SAVEPOINT work")
                _run(connection, work)
                if work.error is not None and not savepoints:
                    _rollback(connection)
                    return len(works) == 1
                if savepoints:
                    if work.error is not None:
                        connection.execute("ROLLBACK TO work")
                    connection.execute("RELEASE work")
            self._hook("commit")
            connection.execute("COMMIT")
        except Exception as error:
            _rollback(connection)
            wrapped = _wrap(error, "the database can't be written")
            for work in works:
                work.result, work.error = None, wrapped
            return False
        return True

    def _hook(self, point: str) -> None:
        if self._upkeep.fault is not None:
            self._upkeep.fault(point)


def fill_up(connection: sqlite3.Connection, reserve: int) -> bool:
    """Make the file as much larger as its free pages fall short of the reserve, and the journal with it.

    Returns
    -------
    bool
        Whether the reserve is whole now.
    """
    if not reserve:
        return True
    try:
        (page,), (pages,) = (
            connection.execute(f"PRAGMA {name}").fetchone() for name in ("page_size", "freelist_count")
        )
        lacking = reserve - page * pages
        if lacking > reserve // 4:
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


def _migrate(
    connection: sqlite3.Connection, migrations: Sequence[Migration], path: Path | str | None
) -> None:
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


def _run(connection: sqlite3.Connection, work: Work) -> None:
    work.result = work.error = None
    try:
        work.result = work.run(connection)
    except sqlite3.Error as error:
        work.error = _wrap(error, "the database failed")
    except Exception as error:
        work.error = error


def _lack_room(works: Sequence[Work]) -> list[Work]:
    return [work for work in works if isinstance(work.error, DatabaseError) and work.error.full]


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
