"""How often a node may ask for what is stored at once: handshakes and descriptions."""

from __future__ import annotations

from bacalhau_jupyter.lib.clock import SECOND

BURST = 30.0
"""Requests that a node may make at once."""
PER_S = 1.0
"""Requests per second after that."""
REMEMBERED = 5000
"""Nodes whose pace is known; that of the others is forgotten."""


class Pace:
    """Counts what nodes ask for, each on its own."""

    def __init__(self) -> None:
        self._left: dict[str, tuple[float, int]] = {}

    def allows(self, node_id: str, now_ns: int) -> bool:
        """Return whether a node may ask now (monotonic nanoseconds), and count it."""
        left, at_ns = self._left.pop(node_id, (BURST, now_ns))
        left = min(BURST, left + (now_ns - at_ns) / SECOND * PER_S)
        self._left[node_id] = (max(0.0, left - 1.0), now_ns)
        if len(self._left) > REMEMBERED:
            del self._left[next(iter(self._left))]
        return left >= 1.0
