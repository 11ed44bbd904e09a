"""How far we have listened: several messages are handled at a time, and the first may be done last."""

from __future__ import annotations


class Arrivals:
    """The sequence number up to which every message of the orchestrator is handled.

    The node sends this number to the orchestrator. An official orchestrator that was restarted sends only what comes
    after it, so the number must not pass a message that failed.
    """

    def __init__(self) -> None:
        self._latest = 0
        self._open: set[int] = set()

    @property
    def handled(self) -> int:
        """The number of the last message before the first one that is not handled."""
        return min(self._latest, min(self._open) - 1) if self._open else self._latest

    def restart(self, seq: int) -> None:
        """Go on from where the orchestrator says that it begins: all after that comes again, whatever became of it.

        Nothing of before counts any more: it may be another orchestrator, whose numbers begin anew.
        """
        self._latest = seq
        self._open.clear()

    def begin(self, seq: int) -> None:
        """Note that a message arrived; one of those that are handled may come again."""
        if seq > self.handled:
            self._open.add(seq)

    def end(self, seq: int) -> None:
        """Note that a message is handled, and stored; nothing where it began before the last `restart`."""
        if seq in self._open:
            self._open.remove(seq)
            self._latest = max(self._latest, seq)
