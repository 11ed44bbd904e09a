"""A clock that tests move by hand."""

from __future__ import annotations

from bacalhau_jupyter.lib.clock import SECOND


class ManualClock:
    """A clock that moves only when told to.

    Parameters
    ----------
    now_ns
        Starting Unix time in nanoseconds.
    """

    def __init__(self, now_ns: int = 1_700_000_000 * SECOND) -> None:
        self._now = now_ns
        self._set = 0

    def now_ns(self) -> int:
        """Unix time in nanoseconds."""
        return self._now + self._set

    def monotonic_ns(self) -> int:
        """Monotonic time in nanoseconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move both readings forward by ``seconds``."""
        self._now += int(seconds * SECOND)

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward, as after a sleep of the computer, or back; monotonic time stays."""
        self._set += int(seconds * SECOND)
