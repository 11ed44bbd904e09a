"""Rows of nodes' own secrets: their hashes, by which the link knows a node again (``transport.server.door``)."""

from __future__ import annotations

import sqlite3

from bacalhau_jupyter.lib.database import Database, DatabaseError
from bacalhau_jupyter.models.codec import decode_exact
from bacalhau_jupyter.models.errors import IOFailure
from bacalhau_jupyter.models.records.node import NodeState

MOST = 40_000
"""Secrets that are kept; each is of an ID that somebody with the token chose. Twice as many as nodes.

After that, a new one takes the place of the oldest whose ID no node ever used: nobody can use them up.
"""


class StoredIdentities:
    """Keeps the hashes in the orchestrator's database.

    Parameters
    ----------
    database
        Opened with `schema.MIGRATIONS`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, node_id: str) -> str | None:
        """Return what is kept for a node; None where there is nothing, IOFailure where that can't be read."""
        try:
            return await self._database.read(lambda connection: _get(connection, node_id))
        except DatabaseError as error:
            raise _failure(error) from error

    async def put(self, node_id: str, secret_hash: str) -> str:
        """Keep a hash for a node that has none yet; return the one that is kept, which another call may have put.

        Keeps nothing and returns "" for the ID of an official node: that node has no secret, so anybody with the token
        could lock it out for ever. Does the same once nodes use `MOST` hashes.

        Raises
        ------
        IOFailure
            It can't be kept.
        """

        def put(connection: sqlite3.Connection) -> str:
            if _may_enrol(connection, node_id) and _make_room(connection, node_id):
                connection.execute("INSERT OR IGNORE INTO identities VALUES (?,?)", (node_id, secret_hash))
            return _get(connection, node_id) or ""

        try:
            return await self._database.write(put)
        except DatabaseError as error:
            raise _failure(error) from error


def _get(connection: sqlite3.Connection, node_id: str) -> str | None:
    row = connection.execute("SELECT secret_hash FROM identities WHERE node_id=?", (node_id,)).fetchone()
    return None if row is None else str(row[0])


def _may_enrol(connection: sqlite3.Connection, node_id: str) -> bool:
    row = connection.execute("SELECT state FROM nodes WHERE id=?", (node_id,)).fetchone()
    return row is None or bool(decode_exact(row[0], NodeState).info.jupyter_version)


def _make_room(connection: sqlite3.Connection, node_id: str) -> bool:
    """Return whether one more hash can be kept."""
    if _get(connection, node_id) is not None:
        return True
    if connection.execute("SELECT count(*) FROM identities").fetchone()[0] < MOST:
        return True
    oldest_unused = connection.execute(
        "SELECT rowid FROM identities WHERE NOT EXISTS (SELECT 1 FROM nodes WHERE id=node_id)"
        " ORDER BY rowid LIMIT 1"
    ).fetchone()
    if oldest_unused is None:
        return False
    connection.execute("DELETE FROM identities WHERE rowid=?", oldest_unused)
    return True


def _failure(error: DatabaseError) -> IOFailure:
    return IOFailure(f"the identities of nodes can't be read or written: {error}", component="Orchestrator")
