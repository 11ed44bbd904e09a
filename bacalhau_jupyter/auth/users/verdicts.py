"""What was found out about credentials lately: a hash is checked once a minute, not with every request."""

from __future__ import annotations

import hmac
import secrets
from collections import OrderedDict

from bacalhau_jupyter.lib.clock import SECOND, Clock

KEPT_S = 60
KEPT = 256
"""Right credentials that are remembered, and wrong ones: a flood of wrong ones must not push out the right ones."""


class Verdicts:
    """Remembers whether credentials were right, under a keyed hash of them. Its memory is bounded.

    Parameters
    ----------
    clock
        Ends what is remembered.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._secret = secrets.token_bytes(32)
        self._kept: dict[bool, OrderedDict[bytes, int]] = {True: OrderedDict(), False: OrderedDict()}

    def name_of(self, username: str, password: str) -> bytes:
        """Return under what a credential is remembered."""
        text = f"{username}\0{password}".encode("utf-8", "surrogateescape")
        return hmac.digest(self._secret, text, "sha256")

    def get(self, name: bytes) -> bool | None:
        """Return whether a credential was right; None where that is not known, or too long ago."""
        for verdict, kept in self._kept.items():
            until = kept.get(name)
            if until is None:
                continue
            if until > self._clock.monotonic_ns():
                return verdict
            del kept[name]
        return None

    def keep(self, name: bytes, verdict: bool) -> None:
        """Remember whether a credential was right."""
        kept = self._kept[verdict]
        kept[name] = self._clock.monotonic_ns() + KEPT_S * SECOND
        if len(kept) > KEPT:
            kept.popitem(last=False)
