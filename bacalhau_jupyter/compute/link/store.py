"""What survives a crash of the compute role: executions, undelivered messages, and the last message received."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import msgspec

from bacalhau_jupyter.compute.execution.record import ExecutionRecord
from bacalhau_jupyter.compute.link import outbox
from bacalhau_jupyter.compute.link.arrivals import Arrivals
from bacalhau_jupyter.compute.link.outbox import Outbox, Report
from bacalhau_jupyter.lib.database import Database, Migration
from bacalhau_jupyter.models.codec import decode_exact, encode
from bacalhau_jupyter.models.records.execution import Execution

MIGRATIONS: tuple[Migration, ...] = (
    """
    CREATE TABLE executions (
        id        TEXT PRIMARY KEY,
        live      INTEGER NOT NULL,
        phase     TEXT NOT NULL,
        created   INTEGER NOT NULL,
        ended     INTEGER NOT NULL,
        cleaned   INTEGER NOT NULL DEFAULT 0,
        execution BLOB NOT NULL,
        state     BLOB NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX executions_live ON executions (live, created);
    CREATE INDEX executions_ended ON executions (ended) WHERE live = 0;
    CREATE TABLE outbox (
        seq     INTEGER PRIMARY KEY AUTOINCREMENT,
        time    INTEGER NOT NULL,
        kind    TEXT NOT NULL,
        payload BLOB NOT NULL
    );
    CREATE TABLE marks (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    """,
)
"""Schema of the compute role's database, for `Database.open`."""

_INCOMING = "incoming"
_NO_EXECUTION = Execution()


@dataclass(frozen=True)
class _Left:
    """What can wait for the next write: a crash in between makes both sides repeat what the other one ignores."""

    incoming: int = 0
    delivered: int = 0
    delivered_beyond: frozenset[int] = frozenset()

    def store(self, connection: sqlite3.Connection) -> None:
        connection.execute(
            "INSERT OR REPLACE INTO marks (name, value) VALUES (?, ?)", (_INCOMING, self.incoming)
        )
        outbox.remove(connection, self.delivered, self.delivered_beyond)


class Store:
    """The compute role's database.

    Parameters
    ----------
    database
        Opened with `MIGRATIONS`; the caller closes it.

    Attributes
    ----------
    outbox
        Messages that the orchestrator has not got yet.
    arrivals
        Messages of the orchestrator.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.outbox = Outbox(database)
        self.arrivals = Arrivals()
        self._stored = _Left()

    @property
    def incoming(self) -> int:
        """Sequence number up to which all messages of the orchestrator are handled."""
        return self.arrivals.handled

    async def load(self) -> list[ExecutionRecord]:
        """Return the live executions, oldest first, and recall how far we have listened."""

        def read(connection: sqlite3.Connection) -> tuple[list[tuple[bytes, bytes]], int]:
            rows = connection.execute(
                "SELECT execution, state FROM executions WHERE live = 1 ORDER BY created, id"
            ).fetchall()
            mark = connection.execute("SELECT value FROM marks WHERE name = ?", (_INCOMING,)).fetchone()
            return rows, int(mark[0]) if mark else 0

        rows, incoming = await self._database.read(read)
        self.arrivals.restart(incoming)
        self._stored = self._left()
        return [_record(execution, state) for execution, state in rows]

    async def get(self, execution_id: str) -> ExecutionRecord | None:
        """Return an execution, live or ended; None when it is unknown (or was forgotten)."""
        row = await self._database.read(
            lambda connection: connection.execute(
                "SELECT execution, state FROM executions WHERE id = ?", (execution_id,)
            ).fetchone()
        )
        return None if row is None else _record(*row)

    async def add(self, record: ExecutionRecord, reports: Sequence[Report] = ()) -> bool:
        """Store an execution that is new here, with its messages; False where it is known, and nothing is stored.

        Raises
        ------
        DatabaseError
            Nothing is stored (full disk).
        """
        execution = encode(record.execution)
        state = _state(record)

        def write(connection: sqlite3.Connection) -> bool:
            cursor = connection.execute(
                "INSERT OR IGNORE INTO executions (id, live, phase, created, ended, execution, state)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (record.id, *_columns(record), execution, state),
            )
            return cursor.rowcount == 1

        return await self._write(write, reports)

    async def save(self, record: ExecutionRecord, reports: Sequence[Report] = ()) -> None:
        """Store a record of an execution that was added, and its messages, in one transaction.

        Parameters
        ----------
        record
            The execution as it is now.
        reports
            Messages with their event times; they get rising sequence numbers.

        Raises
        ------
        DatabaseError
            Nothing is stored (full disk).
        """
        # The execution never changes and may be large (inline inputs): it is written only once.
        state = _state(record)

        def write(connection: sqlite3.Connection) -> bool:
            connection.execute(
                "UPDATE executions SET live = ?, phase = ?, created = ?, ended = ?, state = ? WHERE id = ?",
                (*_columns(record), state, record.id),
            )
            return True

        await self._write(write, reports)

    async def _write(self, change: Callable[[sqlite3.Connection], bool], reports: Sequence[Report]) -> bool:
        """Store a change with its messages, and what else there is to store; whether anything changed."""
        left = self._left()

        def write(connection: sqlite3.Connection) -> tuple[bool, list[int]]:
            if not change(connection):
                return False, []
            left.store(connection)
            return True, outbox.insert(connection, reports)

        def stored(done: tuple[bool, list[int]]) -> None:
            is_changed, seqs = done
            if is_changed:
                self._note(left)
                self.outbox.added(seqs, reports)

        is_changed, _ = await self._database.write(write, stored)
        return is_changed

    @property
    def is_behind(self) -> bool:
        """Whether `flush` would store anything."""
        return self._left() != self._stored

    async def flush(self) -> None:
        """Store how far we have listened, and what is delivered, where no other write took that along."""
        left = self._left()
        if left == self._stored:
            return

        await self._database.write(left.store, lambda _: self._note(left))

    def _left(self) -> _Left:
        return _Left(self.incoming, self.outbox.delivered_seq, self.outbox.delivered_beyond)

    def _note(self, left: _Left) -> None:
        """Hear that what was left is stored."""
        self.outbox.forgotten(left.delivered_beyond)
        self._stored = replace(left, delivered_beyond=frozenset())

    async def to_clean(self, ended_before_ns: int, limit: int = 500, skip: int = 0) -> list[str]:
        """Return executions that ended before then and whose directory may still be there, but for the first few."""
        rows = await self._database.read(
            lambda connection: connection.execute(
                "SELECT id FROM executions WHERE live = 0 AND cleaned = 0 AND ended < ?"
                " ORDER BY ended, id LIMIT ? OFFSET ?",
                (ended_before_ns, limit, skip),
            ).fetchall()
        )
        return [row[0] for row in rows]

    async def cleaned(self, execution_ids: list[str]) -> None:
        """Note that the directories of these executions are gone."""

        def write(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "UPDATE executions SET cleaned = 1 WHERE id = ?", [(item,) for item in execution_ids]
            )

        await self._database.write(write)

    async def forget(self, ended_before_ns: int, keep: int) -> list[str]:
        """Forget ended executions that ended before then or are not among the ``keep`` latest; return their IDs."""

        def write(connection: sqlite3.Connection) -> list[str]:
            rows = connection.execute(
                "SELECT id FROM executions WHERE live = 0 AND cleaned = 1 AND (ended < ? OR id NOT IN "
                "(SELECT id FROM executions WHERE live = 0 ORDER BY ended DESC LIMIT ?)) LIMIT 1000",
                (ended_before_ns, keep),
            ).fetchall()
            connection.executemany("DELETE FROM executions WHERE id = ?", rows)
            return [row[0] for row in rows]

        return await self._database.write(write)


def _columns(record: ExecutionRecord) -> tuple[int, str, int, int]:
    return 0 if record.phase.is_terminal else 1, record.phase.value, record.created_ns, record.ended_ns


def _state(record: ExecutionRecord) -> bytes:
    return encode(msgspec.structs.replace(record, execution=_NO_EXECUTION))


def _record(execution: bytes, state: bytes) -> ExecutionRecord:
    return msgspec.structs.replace(
        decode_exact(state, ExecutionRecord), execution=decode_exact(execution, Execution)
    )
