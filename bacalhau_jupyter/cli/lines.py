"""Lines on what happens to a job in a shell; those of a job with many parts are counted instead of repeated."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bacalhau_jupyter.models.text import readable

if TYPE_CHECKING:
    from bacalhau_jupyter.models.records.history import StreamEvent

_PROGRESS = "Progress"
_ON_NODE = re.compile(r" on \S+$")
_NAME = re.compile(r"\S*\d\S*")
"""What differs between the events of two parts: an ID, the name of a node, a number."""


@dataclass
class _Repeated:
    """Events that say the same of several parts."""

    line: str
    count: int = 0
    told_count: int = 0


class EventLines:
    """Turns events into lines.

    Parameters
    ----------
    folds
        Whether the job has several parts: a line of theirs is shown once, then when its count has another digit.
    """

    def __init__(self, *, folds: bool) -> None:
        self._folds = folds
        self._phases: set[tuple[str, str]] = set()
        self._repeated: dict[tuple[str, str], _Repeated] = {}

    def line(self, event: StreamEvent) -> str:
        """Return the line for an event; empty where it is no news."""
        if not event.message or not self._is_new_phase(event):
            return ""
        message = readable(event.message, lines=True)
        line = f"{event.topic:<16} {message}"
        if not (self._folds and event.execution):
            return line
        key = (event.topic, _NAME.sub("#", _ON_NODE.sub("", message)))
        entry = self._repeated.setdefault(key, _Repeated(_ON_NODE.sub("", line)))
        entry.count += 1
        if entry.count == 1:
            entry.told_count = 1
            return line
        is_next_digit = entry.count == 10 ** (len(str(entry.count)) - 1)
        return self._counted(entry) if is_next_digit else ""

    def rest(self) -> list[str]:
        """Return lines with the counts that were not told yet; a phase is over by now."""
        return [
            self._counted(entry)
            for (topic, _), entry in self._repeated.items()
            if entry.count > entry.told_count and topic != _PROGRESS
        ]

    @staticmethod
    def _counted(entry: _Repeated) -> str:
        entry.told_count = entry.count
        return f"{entry.line} ({entry.count:,} times)"

    def _is_new_phase(self, event: StreamEvent) -> bool:
        """Whether to tell an event: a phase is told when it begins, not at each progress."""
        if event.topic != _PROGRESS:
            return True
        phase = (event.execution, event.message)
        is_new = phase not in self._phases
        self._phases.add(phase)
        return is_new
