"""Bcrypt hashes of passwords: what one looks like, and a check that always costs the same."""

from __future__ import annotations

import hashlib
import hmac
import re

from bacalhau_jupyter.config.passwords import LONGEST_FOR_BCRYPT, bcrypt_library

LARGEST_COST = 16
"""Each step doubles the time; 16 takes seconds."""

_HASH = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}")
_SMALLEST_COST = 4
_SALT = "." * 22


def is_like_hash(password: str) -> bool:
    """Whether a configured password was meant as a bcrypt hash."""
    return re.match(r"\$2[a-z]?\$", password) is not None


def cost_of(password: str) -> int:
    """Return the cost of a bcrypt hash; 0 for everything else."""
    match = _HASH.fullmatch(password)
    cost = int(match[1]) if match else 0
    return cost if _SMALLEST_COST <= cost <= 31 else 0


def matches(password: str, stored: str, cost: int) -> bool:
    """Whether a password is the one that is stored, as it is or as a hash. Blocks for as long as a hash of ``cost``.

    Parameters
    ----------
    stored
        Empty where there is no such user: nothing matches, at the same cost.
    cost
        The largest cost of any stored hash; 0 where there is none.
    """
    guess = password.encode("utf-8", "surrogateescape")
    own = cost_of(stored)
    if own:
        same = _hashes_to(guess, stored)
        # Hashes of the costs n, n, n + 1 … m - 1 take together as long as one of cost m.
        fill = range(own, cost)
    else:
        same = hmac.compare_digest(_digest(guess), _digest(stored.encode("utf-8", "surrogateescape")))
        fill = range(cost, cost + 1) if cost else range(0)
    for step in fill:
        _waste(guess, step)
    return same and bool(stored) and bool(guess)


def _hashes_to(password: bytes, stored: str) -> bool:
    bcrypt = bcrypt_library()
    fits = len(password) <= LONGEST_FOR_BCRYPT
    try:
        same: bool = bcrypt.checkpw(password[:LONGEST_FOR_BCRYPT], stored.encode())
    except ValueError:
        return False
    return same and fits


def _digest(text: bytes) -> bytes:
    """Make texts of any length equally long, so that the time to compare them says nothing."""
    return hashlib.sha256(text).digest()


def _waste(password: bytes, cost: int) -> None:
    bcrypt_library().hashpw(password[:LONGEST_FOR_BCRYPT], f"$2b${cost:02d}${_SALT}".encode())
