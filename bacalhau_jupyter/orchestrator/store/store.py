"""The store as the rest of the orchestrator uses it: transactions with their consequences, and reads."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TypeVar

from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.lib.database import Database, DatabaseError
from bacalhau_jupyter.models.errors import IOFailure
from bacalhau_jupyter.orchestrator.store.transaction import Changes, Transaction

T = TypeVar("T")


class Store:
    """A database with the orchestrator's schema.

    Parameters
    ----------
    database
        Opened with `schema.MIGRATIONS`.
    clock
        Gives the time of what is written.
    on_commit
        Called on the loop with each transaction's changes, in commit order.
    """

    def __init__(self, database: Database, clock: Clock, on_commit: Callable[[Changes], None]) -> None:
        self._database = database
        self._clock = clock
        self._on_commit = on_commit

    async def transact(self, fn: Callable[[Transaction], T], principal: str = "") -> T:
        """Run ``fn`` in a transaction for somebody; ``on_commit`` gets its changes before this returns.

        ``fn`` runs on the database's thread, and again if the shared commit failed: it must only use what it is given.

        Raises
        ------
        IOFailure
            Nothing was stored (full disk, I/O error).
        """

        def run(connection: sqlite3.Connection) -> tuple[T, Changes]:
            transaction = Transaction(connection, self._clock.now_ns(), principal)
            return fn(transaction), transaction.changes

        try:
            result, _ = await self._database.write(run, lambda pair: self._on_commit(pair[1]))
        except DatabaseError as error:
            raise _failure(error) from error
        return result

    async def read(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``fn`` on what is committed.

        Raises
        ------
        IOFailure
            The database can't be read.
        """
        try:
            return await self._database.read(fn)
        except DatabaseError as error:
            raise _failure(error) from error


def _failure(error: DatabaseError) -> IOFailure:
    return IOFailure(
        str(error),
        hint="Free some space on the disk that holds the node's directory." if error.full else "",
        retryable=True,
    )
