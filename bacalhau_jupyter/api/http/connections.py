"""How many connections there may be: in all, of strangers together, and of each of them. Pure bookkeeping.

A connection is *proven* once a request on it was admitted. Proven connections are never closed for others. The
others have quotas; where one is used up, the oldest of those that it belongs to makes room for the newcomer: a
caller with a request sends it at once. Strangers and our own OS user have separate quotas, so
only our own user can make our own user's connections give way.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

_MOST = 8192


@dataclass(frozen=True)
class ConnectionLimits:
    """How many connections there may be.

    Attributes
    ----------
    proven
        Connections that were admitted and are kept whatever comes.
    own
        Connections of our own OS user that are not proven (yet).
    strangers
        Connections of all others that are not proven.
    stranger
        Connections of one of them.
    sockets
        Websockets.
    """

    proven: int
    own: int
    strangers: int
    stranger: int
    sockets: int

    @classmethod
    def for_descriptors(cls, count: int) -> ConnectionLimits:
        """Return limits that leave half of the descriptors of the process to everything else."""
        share = max(8, min(count, 2 * _MOST) // 8)
        return cls(proven=2 * share, own=share, strangers=share, stranger=max(4, share // 2), sockets=share)


class ConnectionBook:
    """The open connections of all listeners of a node.

    Parameters
    ----------
    limits
        How many there may be.
    """

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self._callers: dict[Hashable, str] = {}
        self._own: dict[Hashable, None] = {}
        self._strangers: dict[str, dict[Hashable, None]] = {}
        self._stranger_count = 0
        self._proven: set[Hashable] = set()

    def __len__(self) -> int:
        return len(self._own) + self._stranger_count + len(self._proven)

    def open(self, connection: Hashable, caller: str, own: bool) -> Hashable | None:
        """Write down a new connection; return the one that must be closed for it, if any.

        Parameters
        ----------
        connection
            The connection.
        caller
            By whom it is limited.
        own
            Whether the caller is our own OS user.
        """
        if own:
            self._own[connection] = None
            return self._oldest_own() if len(self._own) > self.limits.own else None
        theirs = self._strangers.setdefault(caller, {})
        theirs[connection] = None
        self._callers[connection] = caller
        self._stranger_count += 1
        if len(theirs) > self.limits.stranger:
            return self._oldest_of(caller)
        if self._stranger_count > self.limits.strangers:
            return self._oldest_of(max(self._strangers, key=lambda each: len(self._strangers[each])))
        return None

    def prove(self, connection: Hashable) -> None:
        """Keep a connection from now on: a request on it was admitted. Without room it stays as it is."""
        if connection in self._proven or len(self._proven) >= self.limits.proven:
            return
        if self._forget_unproven(connection):
            self._proven.add(connection)

    def close(self, connection: Hashable) -> None:
        """Cross out a connection that is gone."""
        if connection in self._proven:
            self._proven.discard(connection)
        else:
            self._forget_unproven(connection)

    def _oldest_own(self) -> Hashable:
        oldest = next(iter(self._own))
        del self._own[oldest]
        return oldest

    def _oldest_of(self, caller: str) -> Hashable:
        oldest = next(iter(self._strangers[caller]))
        self._forget_unproven(oldest)
        return oldest

    def _forget_unproven(self, connection: Hashable) -> bool:
        if connection in self._own:
            del self._own[connection]
            return True
        caller = self._callers.pop(connection, None)
        if caller is None:
            return False
        theirs = self._strangers[caller]
        del theirs[connection]
        if not theirs:
            del self._strangers[caller]
        self._stranger_count -= 1
        return True
