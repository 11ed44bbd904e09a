"""Live events: rows are published after their commit, in order, to bounded queues."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import AsyncGenerator, Sequence

from bacalhau_jupyter.models.errors import ResourceExhausted
from bacalhau_jupyter.models.records.history import StreamEvent
from bacalhau_jupyter.models.records.progress import Reading
from bacalhau_jupyter.orchestrator.store import history
from bacalhau_jupyter.orchestrator.store.store import Store

PASSING = 0
"""``seq`` of events that are not stored: progress within a phase. They are never replayed."""

PAGE = 500
"""Rows read at a time when old events are replayed."""


def progress_details(reading: Reading) -> dict[str, str]:
    """Return the details of a progress event: bytes, files, a remark; what is not known is left out."""
    counted = {"Total": reading.total, "Files": reading.files, "TotalFiles": reading.files_total}
    figures = {name: str(value) for name, value in counted.items() if value is not None}
    details = {"Phase": reading.phase, "Done": str(reading.done)} | figures
    return details | ({"Note": reading.note} if reading.note else {})


class _Subscriber:
    """One reader: what it has not read yet, and whether something was dropped."""

    def __init__(self, limit: int, job_id: str) -> None:
        self.limit = limit
        self.job_id = job_id
        self.queue: deque[StreamEvent] = deque()
        self.overflowed = False
        self.closed = False
        self.arrived = asyncio.Event()

    def push(self, event: StreamEvent) -> None:
        if self.job_id and event.job != self.job_id:
            return
        if event.seq == PASSING and len(self.queue) >= self.limit // 2:
            return  # the next reading contains the same
        # After the first event dropped none may be queued: the reader would step over the hole.
        if self.overflowed or len(self.queue) >= self.limit:
            self.overflowed = True
        else:
            self.queue.append(event)
        self.arrived.set()


class EventStream:
    """Hands committed events to readers.

    Parameters
    ----------
    store
        Where older events are.
    limit
        Events that may wait for one reader.
    """

    def __init__(self, store: Store, limit: int) -> None:
        self._store = store
        self._limit = limit
        self._subscribers: set[_Subscriber] = set()

    def publish(self, events: Sequence[StreamEvent]) -> None:
        """Hand out events; called in commit order."""
        for subscriber in self._subscribers:
            for event in events:
                subscriber.push(event)

    def close(self) -> None:
        """End every reader."""
        for subscriber in self._subscribers:
            subscriber.closed = True
            subscriber.arrived.set()

    async def read(
        self, since: int | None, job_id: str = "", topics: Sequence[str] = ()
    ) -> AsyncGenerator[StreamEvent, None]:
        """Yield events after ``since`` (None: from now on), stored ones first, until `close`.

        Raises
        ------
        ResourceExhausted
            The reader is too slow; ``details["LastSeq"]`` is where to resume.
        """
        subscriber = _Subscriber(self._limit, job_id)
        self._subscribers.add(subscriber)
        try:
            # Without replay all that was pushed since the line above is new; asking the store for its last row now
            # would drop what was committed in between.
            last = 0 if since is None else since
            replay = since is not None
            while True:
                while replay:
                    # What overflows meanwhile is in the database too.
                    subscriber.overflowed = False
                    subscriber.queue.clear()
                    page, reached, more = await self._store.read(
                        lambda connection, after=last: _page(connection, after, job_id, topics)  # type: ignore[misc]
                    )
                    for event in page:
                        yield event
                    replay = more or subscriber.overflowed
                    last = reached
                while subscriber.queue:
                    event = subscriber.queue.popleft()
                    if event.seq > last or event.seq == PASSING:
                        last = max(last, event.seq)
                        if not topics or event.topic in topics:
                            yield event
                if subscriber.overflowed:
                    raise _overflow(last)
                if subscriber.closed:
                    return
                subscriber.arrived.clear()
                await subscriber.arrived.wait()
        finally:
            self._subscribers.discard(subscriber)


def _page(
    connection: sqlite3.Connection, after: int, job_id: str, topics: Sequence[str]
) -> tuple[list[StreamEvent], int, bool]:
    page, reached, more = history.since(connection, after, PAGE, job_id, topics)
    # A position of another database (this one is younger) must not silence what comes.
    return page, min(reached, history.last(connection)), more


def _overflow(last: int) -> ResourceExhausted:
    return ResourceExhausted(
        f"this reader of the event stream is too slow: events after {last} were dropped",
        hint=f"Connect again with since={last}.",
        component="EventStream",
        retryable=True,
        details={"LastSeq": str(last)},
    )
