"""Who flooded the link, and stays outside for a while: longer each time."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from bacalhau_jupyter.lib.clock import SECOND

FIRST_S, LIMIT_S = 10.0, 600.0
"""Seconds for which who floods stays outside: the first time, and at most."""
FORGIVEN_S = 3600.0
"""Seconds after which a flood is forgotten."""
REMEMBERED = 10_000


@dataclass(frozen=True)
class _Penalty:
    length_s: float
    until_ns: int


class Penalties:
    """Penalties of nodes and of addresses. Times are monotonic nanoseconds."""

    def __init__(self) -> None:
        self._running: OrderedDict[str, _Penalty] = OrderedDict()

    def add(self, name: str, now_ns: int) -> None:
        """Let somebody stay outside; one who does already, stays no longer for that."""
        before = self._running.get(name)
        if before is not None and now_ns < before.until_ns:
            return
        is_again = before is not None and now_ns - before.until_ns < FORGIVEN_S * SECOND
        length_s = min(before.length_s * 2, LIMIT_S) if before is not None and is_again else FIRST_S
        self._running[name] = _Penalty(length_s, now_ns + int(length_s * SECOND))
        self._running.move_to_end(name)
        if len(self._running) > REMEMBERED:
            self._running.popitem(last=False)

    def objection(self, names: list[str], now_ns: int) -> str:
        """Say which of these stays outside; empty if none does."""
        for name in names:
            penalty = self._running.get(name)
            if penalty is not None and now_ns < penalty.until_ns:
                return f"{name} flooded the link, and stays outside for {penalty.length_s:.0f} s"
        return ""
