"""What happened to executions that go on, until the orchestrator was told; their last report says it again."""

from __future__ import annotations

from collections import deque

from bacalhau_jupyter.models.records.history import Event
from bacalhau_jupyter.models.wire.messages import ExecutionNote

MOST_NOTES = 1000
"""Notes that wait at most; older ones are left to the last reports."""

AT_ONCE = 100
"""Notes of one message."""


class Notes:
    """Notes that wait, in order."""

    def __init__(self) -> None:
        self._waiting: deque[ExecutionNote] = deque(maxlen=MOST_NOTES)

    def add(self, execution_id: str, event: Event) -> None:
        """Let a note wait."""
        self._waiting.append(ExecutionNote(execution_id=execution_id, event=event))

    def first(self) -> list[ExecutionNote]:
        """Return what the next message takes along."""
        return list(self._waiting)[:AT_ONCE]

    def drop(self, notes: list[ExecutionNote]) -> None:
        """Drop notes that the orchestrator has."""
        sent = {id(note) for note in notes}
        while self._waiting and id(self._waiting[0]) in sent:
            self._waiting.popleft()
