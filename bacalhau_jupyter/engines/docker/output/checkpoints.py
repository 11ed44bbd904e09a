"""Where a read of a container's log may begin again, so that not all of it is read twice.

The engine can leave out entries older than a time ("since"). A checkpoint is such a time with the number of bytes per
stream that were received with that time stamp or a later one: as many are skipped when the log is read from there.
That is exact whatever the order of the entries is, provided that nothing which is still to come is older than the
checkpoint. Two things could be:

* Entries that were stamped before others and written after them, or a clock that was set back: a checkpoint is used
  only when the newest entry is `MARGIN_MS` younger.
* The pieces of a line over 16 KiB, and of a progress bar that never prints a newline: all carry the time stamp of the
  line's first piece, hours later, too. A checkpoint is used only when it is not younger than any line that is unended.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bacalhau_jupyter.plugins.logfile import STDERR, STDOUT

EVERY_MS = 30_000
MARGIN_MS = 60_000


def _nothing() -> dict[int, int]:
    return {STDOUT: 0, STDERR: 0}


@dataclass
class Checkpoint:
    """A place in the log.

    Attributes
    ----------
    since_ms
        Entries with an older time stamp (Unix milliseconds) are not asked for; 0 asks for all.
    received
        Bytes per stream that were received from there on.
    first_ms
        The time stamp of the first entry that was received from there on; 0 when there is none. A log that begins
        with another one was rotated: how much of the received part it still holds is unknown.
    """

    since_ms: int = 0
    received: dict[int, int] = field(default_factory=_nothing)
    first_ms: int = 0

    @property
    def since(self) -> str:
        """The time as the engine's ``since`` wants it, seconds with nine digits; empty for the start."""
        return f"{self.since_ms // 1000}.{self.since_ms % 1000:03}000000" if self.since_ms else ""


class Checkpoints:
    """Keeps account of what was received."""

    def __init__(self) -> None:
        self._places = [Checkpoint()]
        self._newest_ms = 0
        self._unended_ms: dict[int, int] = {}

    @property
    def start(self) -> Checkpoint:
        """The log's start, with all that was received."""
        return self._places[0]

    def note(self, stream: int, stamp_ms: int, size: int, *, ended: bool) -> None:
        """Count bytes that were received.

        Parameters
        ----------
        stamp_ms
            Unix milliseconds of their time stamp, rounded down.
        size
            How many bytes.
        ended
            Whether they end with a newline.
        """
        if ended:
            self._unended_ms.pop(stream, None)
        else:
            self._unended_ms[stream] = stamp_ms
        if self._begins_new_place(stamp_ms):
            self._places.append(Checkpoint(stamp_ms))
            self._drop_old_places()
        for place in self._places:
            if stamp_ms >= place.since_ms:
                place.received[stream] += size
                place.first_ms = place.first_ms or stamp_ms
        self._newest_ms = max(self._newest_ms, stamp_ms)

    def best(self) -> Checkpoint:
        """Return where to begin again: the latest place that nothing still to come can precede."""
        return self._places[self._best_index()]

    def _begins_new_place(self, stamp_ms: int) -> bool:
        # While a line is unended, no later place can be used.
        return (
            stamp_ms > self._newest_ms
            and stamp_ms >= self._places[-1].since_ms + EVERY_MS
            and all(unended == stamp_ms for unended in self._unended_ms.values())
        )

    def _drop_old_places(self) -> None:
        # The start stays; before the best place no other is needed: places only become usable with time, except
        # while a line is unended, and then none is added.
        best = self._best_index()
        if best > 1:
            del self._places[1:best]

    def _best_index(self) -> int:
        limit = min([self._newest_ms - MARGIN_MS, *self._unended_ms.values()])
        return max((i for i, place in enumerate(self._places) if place.since_ms <= limit), default=0)
