"""Lines that repeat: one a minute for each caller, so that nobody pushes out of the log what he did before."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

from bacalhau_jupyter.lib.clock import SECOND, Clock

WINDOW_S = 60
_REMEMBERED = 1000
"""Kinds of lines that are remembered; with more, the one that came first is forgotten."""


class Repeats:
    """Tells which line of several alike is written.

    Parameters
    ----------
    clock
        Ends the window.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: OrderedDict[Hashable, tuple[int, int]] = OrderedDict()

    def count(self, key: Hashable) -> int | None:
        """Return how many lines like this one were left out before it; None where this one is left out, too."""
        now = self._clock.monotonic_ns()
        began, left_out = self._since.get(key, (0, 0))
        if key in self._since and now - began < WINDOW_S * SECOND:
            self._since[key] = (began, left_out + 1)
            return None
        self._since[key] = (now, 0)
        self._since.move_to_end(key)
        while len(self._since) > _REMEMBERED:
            self._since.popitem(last=False)
        return left_out
