"""Two processes that use one node ID, told apart by when they say they started: plain decisions."""

from __future__ import annotations

from dataclasses import dataclass

from bacalhau_jupyter.lib.clock import SECOND
from bacalhau_jupyter.lib.times import rfc3339

REMEMBERED_S = 600.0
"""Seconds for which a node's second user is told of after it was last heard."""


@dataclass
class Instance:
    """The process that a node ID stands for.

    Attributes
    ----------
    started_ns
        When it says it started, Unix nanoseconds by its own clock; 0 if it does not say.
    must_prove
        Whether its next heartbeat is answered with "handshake required": it took over from a process that had not
        ended for all that is known, and heartbeats do not say from which of the two they are.
    rival_ns, rival_until_ns
        When another process of this ID started (0: there is none), and until when (monotonic) that is told.
    """

    started_ns: int = 0
    must_prove: bool = False
    rival_ns: int = 0
    rival_until_ns: int = 0

    def admits(self, started_ns: int, now_ns: int, *, is_heard: bool, is_far: bool) -> bool:
        """Take over the process that shakes hands; return False for one that must not use this ID.

        Parameters
        ----------
        started_ns
            When it says it started.
        now_ns
            Monotonic time.
        is_heard
            Whether the process that has the ID still sends heartbeats, and has not said goodbye.
        is_far
            Whether it is reached over a network: inside a process the last to connect is the node.
        """
        mine = self.started_ns
        if is_far and is_heard and mine and started_ns and started_ns < mine:
            self.rival_ns = started_ns
            self.rival_until_ns = now_ns + int(REMEMBERED_S * SECOND)
            return False
        self.must_prove = bool(is_far and is_heard and mine and started_ns > mine)
        self.started_ns = started_ns
        return True

    def proves(self) -> bool:
        """Return whether a heartbeat may be answered; the first one after a take-over may not."""
        if self.must_prove:
            self.must_prove = False
            return False
        return True

    def sentence(self, now_ns: int) -> str:
        """Say that another process uses the ID; empty if none does. ``now_ns`` is monotonic."""
        if not self.rival_ns or now_ns >= self.rival_until_ns:
            return ""
        return (
            f"two nodes use this ID: one started at {_time(self.started_ns)}, the other, which is kept out, at "
            f"{_time(self.rival_ns)}; give one of them a data directory of its own"
        )


def _time(ns: int) -> str:
    return f"{rfc3339(ns)[:19].replace('T', ' ')} UTC"
