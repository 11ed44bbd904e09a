"""Who hears of what happened: of commits, of nodes, and of work that makes progress."""

from __future__ import annotations

import logging
from collections.abc import Callable

from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.lib.times import rfc3339
from bacalhau_jupyter.models.records.history import StreamEvent, Topic
from bacalhau_jupyter.models.records.progress import Reading
from bacalhau_jupyter.orchestrator.store.transaction import Changes
from bacalhau_jupyter.orchestrator.stream import PASSING, EventStream, progress_details

_log = logging.getLogger(__name__)

Listener = Callable[[Changes], None]
"""Hears of a commit; called on the loop, in commit order."""


class Commits:
    """Tells of commits.

    The database must be able to tell before those exist who hear of it, since they read from it.
    """

    def __init__(self) -> None:
        self._listener: Listener | None = None

    def listen(self, listener: Listener) -> None:
        """Let somebody hear of each commit from now on."""
        self._listener = listener

    def announce(self, changes: Changes) -> None:
        """Tell of a commit; called in commit order, never raises."""
        try:
            if self._listener is not None:
                self._listener(changes)
        except Exception:
            _log.exception("a commit could not be announced to all listeners")


class PassingNews:
    """Tells readers of the event stream what is not stored.

    Parameters
    ----------
    stream
        Whose readers hear it.
    clock
        Dates it.
    """

    def __init__(self, stream: EventStream, clock: Clock) -> None:
        self._stream = stream
        self._clock = clock

    def progress(self, job_id: str, execution_id: str, node_id: str, reading: Reading) -> None:
        """Tell how far a phase of an execution is (bytes, files)."""
        event = StreamEvent(
            seq=PASSING,
            time=rfc3339(self._clock.now_ns()),
            topic=Topic.PROGRESS,
            message=reading.phase,
            job=job_id,
            execution=execution_id,
            node=node_id,
            details=progress_details(reading),
        )
        self._stream.publish([event])

    def node_changed(self, node_id: str, what: str) -> None:
        """Tell what is new about a node."""
        now = rfc3339(self._clock.now_ns())
        event = StreamEvent(seq=PASSING, time=now, topic=Topic.NODE, message=f"Node {what}", node=node_id)
        self._stream.publish([event])
