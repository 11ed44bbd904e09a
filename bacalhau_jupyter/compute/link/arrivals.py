"""How far we have listened: several messages are handled at a time, and the first may be done last."""

from __future__ import annotations

MOST_OPEN = 10_000
"""Messages that are not handled, whose numbers are kept: more than may wait at a time."""


class Arrivals:
    """The sequence number up to which every message of the orchestrator is handled.

    The node sends this number to the orchestrator. An official orchestrator that was restarted sends only what comes
    after it, so the number must not pass a message that failed, or that was refused before it could be handled.
    """

    def __init__(self) -> None:
        self._latest = 0
        self._open: set[int] = set()
        self._stopped_at: int | None = None

    @property
    def handled(self) -> int:
        """The number of the last message before the first one that is not handled."""
        if self._stopped_at is not None:
            return self._stopped_at
        return min(self._latest, min(self._open) - 1) if self._open else self._latest

    def restart(self, seq: int) -> None:
        """Go on from where the orchestrator says that it begins: all after that comes again, whatever became of it.

        Nothing of before counts any more: it may be another orchestrator, whose numbers begin anew.
        """
        self._latest = seq
        self._open.clear()
        self._stopped_at = None

    def begin(self, seq: int) -> None:
        """Note that a message arrived; one of those that are handled may come again."""
        if seq <= self.handled or self._stopped_at is not None:
            return
        if len(self._open) >= MOST_OPEN:
            self._stopped_at = self.handled
            self._open.clear()
        else:
            self._open.add(seq)

    def refused(self, seq: int) -> None:
        """Note that a message was refused, and may come again.

        Where its number is unknown (0), everything after what is handled now counts as not handled until `restart`: the
        orchestrator sends more again than it has to, and a node ignores what it knows.
        """
        if seq:
            self.begin(seq)
        elif self._stopped_at is None:
            self._stopped_at = self.handled
            self._open.clear()

    def end(self, seq: int) -> None:
        """Note that a message is handled, and stored; nothing where it began before the last `restart`."""
        if seq in self._open:
            self._open.remove(seq)
            self._latest = max(self._latest, seq)
