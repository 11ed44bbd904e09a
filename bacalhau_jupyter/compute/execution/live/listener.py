"""What the node's other parts hear of executions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bacalhau_jupyter.models.records.history import Event


@dataclass(frozen=True)
class ExecutionListener:
    """What the node's other parts hear of executions.

    Attributes
    ----------
    reported
        Called when messages for the orchestrator were stored.
    capacity_changed
        Called when capacity became free, or work began on what was reserved.
    ended
        Called with the ID of an execution that ended.
    noted
        Called with the ID of an execution that goes on, and what happened to it.
    """

    reported: Callable[[], None]
    capacity_changed: Callable[[], None]
    ended: Callable[[str], None]
    noted: Callable[[str, Event], None]
