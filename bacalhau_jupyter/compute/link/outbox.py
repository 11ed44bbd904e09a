"""Messages that the orchestrator has not got yet: on the disk before they are sent, and in memory until then."""

from __future__ import annotations

import itertools
import sqlite3
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from bacalhau_jupyter.lib.database import Database
from bacalhau_jupyter.models.codec import decode_exact, encode
from bacalhau_jupyter.models.wire.messages import MESSAGE_TYPES, TYPE_NAMES, ToOrchestrator

KEPT = 1000
"""Messages that are kept in memory beside the disk; with more, all are read from the disk until few are left."""

Report = tuple[int, ToOrchestrator]
"""A message with its event time (Unix nanoseconds)."""


@dataclass(frozen=True)
class Outgoing:
    """A message for the orchestrator with its sequence number and event time (Unix nanoseconds)."""

    seq: int
    time_ns: int
    message: ToOrchestrator


class Outbox:
    """Undelivered messages, in order.

    What is delivered goes from the disk with the next write, not with one of its own: a crash in between only sends it
    again, and a receiver ignores a message that it has.

    Parameters
    ----------
    database
        Where the table is.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: deque[Outgoing] = deque()
        # Nothing is known of what an earlier process left.
        self._is_whole = False
        self._last = 0
        self._delivered = 0
        self._taken: set[int] = set()
        self._removed = 0

    @property
    def delivered_seq(self) -> int:
        """The last message that may go from the disk."""
        return self._delivered

    @property
    def delivered_beyond(self) -> frozenset[int]:
        """What was delivered after that, while something before it was refused."""
        return frozenset(self._taken)

    def added(self, seqs: Sequence[int], reports: Sequence[Report]) -> None:
        """Hear of messages that were stored; called in the order of their commits."""
        if not seqs:
            return
        self._last = seqs[-1]
        if self._is_whole:
            self._kept.extend(Outgoing(seq, *report) for seq, report in zip(seqs, reports, strict=True))
        if len(self._kept) > KEPT:
            self._kept.clear()
            self._is_whole = False

    async def first(self, limit: int) -> list[Outgoing]:
        """Return undelivered messages, oldest first."""
        # What is taken meanwhile may go from the disk, or may have been read.
        taken = set(self._taken)
        kept = self._kept if self._is_whole else await self._read(limit + len(taken))
        return list(itertools.islice((item for item in kept if item.seq not in taken), limit))

    async def _read(self, limit: int) -> list[Outgoing]:
        """Read what is not delivered from the disk; where that is all, it is kept in memory from now on."""
        after = self._delivered
        rows = await self._database.read(
            lambda connection: connection.execute(
                "SELECT seq, time, kind, payload FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?",
                (after, limit),
            ).fetchall()
        )
        waiting = [
            Outgoing(seq, time_ns, decode_exact(payload, MESSAGE_TYPES[kind]))  # type: ignore[arg-type]
            for seq, time_ns, kind, payload in rows
        ]
        # Others may have been stored since the look.
        if len(waiting) < limit and self._last <= max(
            after, self._removed, waiting[-1].seq if waiting else 0
        ):
            self._kept = deque(waiting)
            self._is_whole = True
        return waiting

    def settled(self, looked_at: Sequence[int], taken: Sequence[int]) -> None:
        """Send those messages no more that the orchestrator has stored.

        Parameters
        ----------
        looked_at, taken
            Sequence numbers of what `first` returned, and of what arrived of it.
        """
        self._taken.update(taken)
        left = next((seq for seq in looked_at if seq not in self._taken), None)
        if left is not None:
            self.delivered(left - 1)
        elif looked_at:
            self.delivered(looked_at[-1])

    def forgotten(self, seqs: Collection[int]) -> None:
        """Hear that messages were removed from the disk which come after one that is undelivered."""
        if seqs:
            self._kept = deque(item for item in self._kept if item.seq not in seqs)
            self._taken.difference_update(seqs)
            self._removed = max(self._removed, *seqs)

    def delivered(self, seq: int) -> None:
        """Send messages up to and including ``seq`` no more: the orchestrator has stored them."""
        self._delivered = max(self._delivered, seq)
        self._taken = {each for each in self._taken if each > self._delivered}
        while self._kept and self._kept[0].seq <= self._delivered:
            self._kept.popleft()


def insert(connection: sqlite3.Connection, reports: Sequence[Report]) -> list[int]:
    """Store messages; return their sequence numbers, which rise and are never used again."""
    return [
        connection.execute(
            "INSERT INTO outbox (time, kind, payload) VALUES (?, ?, ?)",
            (time_ns, TYPE_NAMES[type(message)], encode(message)),
        ).lastrowid
        or 0
        for time_ns, message in reports
    ]


def remove(connection: sqlite3.Connection, seq: int, beyond: Collection[int]) -> None:
    """Remove messages up to and including ``seq``, and some after it."""
    connection.execute("DELETE FROM outbox WHERE seq <= ?", (seq,))
    connection.executemany("DELETE FROM outbox WHERE seq = ?", [(each,) for each in beyond])
