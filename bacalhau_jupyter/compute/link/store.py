"""What survives a crash of the compute role: executions, undelivered messages, and the last message received."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

import msgspec

from bacalhau_jupyter.compute.execution.record import ExecutionRecord, Phase
from bacalhau_jupyter.lib.database import Database, Migration
from bacalhau_jupyter.models.codec import decode_exact, encode
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.models.wire.messages import MESSAGE_TYPES, TYPE_NAMES, ToOrchestrator

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


@dataclass(frozen=True)
class Outgoing:
    """A message for the orchestrator with its sequence number and event time (Unix nanoseconds)."""

    seq: int
    time_ns: int
    message: ToOrchestrator


class Store:
    """The compute role's database.

    Parameters
    ----------
    database
        Opened with `MIGRATIONS`; the caller closes it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._incoming = 0
        self._incoming_stored = 0

    @property
    def incoming(self) -> int:
        """Sequence number of the last message of the orchestrator that was handled."""
        return self._incoming

    @incoming.setter
    def incoming(self, seq: int) -> None:
        self._incoming = seq

    async def load(self) -> list[ExecutionRecord]:
        """Return the live executions, oldest first, and recall how far we have listened."""

        def read(connection: sqlite3.Connection) -> tuple[list[tuple[bytes, bytes]], int]:
            rows = connection.execute(
                "SELECT execution, state FROM executions WHERE live = 1 ORDER BY created, id"
            ).fetchall()
            mark = connection.execute("SELECT value FROM marks WHERE name = ?", (_INCOMING,)).fetchone()
            return rows, int(mark[0]) if mark else 0

        rows, self._incoming = await self._database.read(read)
        self._incoming_stored = self._incoming
        return [_record(execution, state) for execution, state in rows]

    async def get(self, execution_id: str) -> ExecutionRecord | None:
        """Return an execution, live or ended; None when it is unknown (or was forgotten)."""
        row = await self._database.read(
            lambda connection: connection.execute(
                "SELECT execution, state FROM executions WHERE id = ?", (execution_id,)
            ).fetchone()
        )
        return None if row is None else _record(*row)

    async def save(self, record: ExecutionRecord, reports: list[tuple[int, ToOrchestrator]]) -> None:
        """Store a record and its messages, in one transaction.

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
        state = encode(msgspec.structs.replace(record, execution=Execution()))
        execution = encode(record.execution) if record.phase is Phase.NEW else b""
        rows = [(time_ns, TYPE_NAMES[type(message)], encode(message)) for time_ns, message in reports]
        live = 0 if record.phase.is_terminal else 1
        incoming = self._incoming

        def write(connection: sqlite3.Connection) -> None:
            if execution:
                connection.execute(
                    "INSERT OR REPLACE INTO executions (id, live, phase, created, ended, execution, state)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (record.id, live, record.phase.value, record.created_ns, 0, execution, state),
                )
            else:
                connection.execute(
                    "UPDATE executions SET live = ?, phase = ?, ended = ?, state = ? WHERE id = ?",
                    (live, record.phase.value, record.ended_ns, state, record.id),
                )
            if rows:
                connection.executemany("INSERT INTO outbox (time, kind, payload) VALUES (?, ?, ?)", rows)
            _mark(connection, incoming)

        await self._database.write(write)
        self._incoming_stored = incoming

    async def flush_incoming(self) -> None:
        """Store how far we have listened, if that has moved."""
        incoming = self._incoming
        if incoming != self._incoming_stored:
            await self._database.write(lambda connection: _mark(connection, incoming))
            self._incoming_stored = incoming

    async def outbox(self, limit: int = 100) -> list[Outgoing]:
        """Return undelivered messages, oldest first."""
        rows = await self._database.read(
            lambda connection: connection.execute(
                "SELECT seq, time, kind, payload FROM outbox ORDER BY seq LIMIT ?", (limit,)
            ).fetchall()
        )
        return [
            Outgoing(seq, time_ns, decode_exact(payload, MESSAGE_TYPES[kind]))  # type: ignore[arg-type]
            for seq, time_ns, kind, payload in rows
        ]

    async def delivered(self, seq: int) -> None:
        """Forget messages up to and including ``seq``: the orchestrator has stored them."""

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM outbox WHERE seq <= ?", (seq,))

        await self._database.write(write)

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


def _record(execution: bytes, state: bytes) -> ExecutionRecord:
    return msgspec.structs.replace(
        decode_exact(state, ExecutionRecord), execution=decode_exact(execution, Execution)
    )


def _mark(connection: sqlite3.Connection, incoming: int) -> None:
    connection.execute("INSERT OR REPLACE INTO marks (name, value) VALUES (?, ?)", (_INCOMING, incoming))
