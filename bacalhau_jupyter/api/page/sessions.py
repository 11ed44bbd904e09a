"""Who is logged in on the web page: sessions and one-time links.

All of it is kept in memory: a node that starts again asks for the login again. Only hashes of what a browser
holds are kept.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from dataclasses import dataclass

from bacalhau_jupyter.auth.principals import Principal
from bacalhau_jupyter.lib.clock import SECOND, Clock

SESSION_S = 12 * 3600
"""Seconds without a request after which a session ends."""
LONGEST_S = 7 * 24 * 3600
LINK_S = 3600
"""Seconds that a one-time link is good."""
SESSIONS = 100


@dataclass
class _Session:
    """Whose it is, when it was opened, and when it was used last."""

    principal: Principal
    opened: int
    used: int


class Sessions:
    """Sessions of one listener.

    Parameters
    ----------
    clock
        Tells when they end.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sessions: OrderedDict[bytes, _Session] = OrderedDict()
        self._links: dict[bytes, int] = {}

    def one_time_token(self) -> str:
        """Return a token that opens one session, within `LINK_S`."""
        token = secrets.token_urlsafe(32)
        self._links = {hashed: until for hashed, until in self._links.items() if until > self._now()}
        self._links[_hash(token)] = self._now() + LINK_S * SECOND
        return token

    def redeem(self, token: str) -> bool:
        """Whether this is a one-time token; it no longer is one afterwards."""
        until = self._links.pop(_hash(token), 0)
        return until > self._now()

    def open(self, principal: Principal) -> str:
        """Open a session in somebody's name; return what the cookie holds."""
        secret = secrets.token_urlsafe(32)
        now = self._now()
        self._sessions[_hash(secret)] = _Session(principal, now, now)
        while len(self._sessions) > SESSIONS:
            self._sessions.popitem(last=False)
        return secret

    def principal(self, secret: str) -> Principal | None:
        """Return in whose name a session is open, None where it is not; asking keeps it open."""
        hashed = _hash(secret)
        session = self._sessions.get(hashed) if secret else None
        if session is None:
            return None
        now = self._now()
        if now - session.used > SESSION_S * SECOND or now - session.opened > LONGEST_S * SECOND:
            del self._sessions[hashed]
            return None
        session.used = now
        self._sessions.move_to_end(hashed)
        return session.principal

    def close(self, secret: str) -> None:
        """End the session of a browser; an unknown secret changes nothing."""
        self._sessions.pop(_hash(secret), None)

    def _now(self) -> int:
        # Never zero, which stands for "never".
        return self._clock.monotonic_ns() + 1


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()
