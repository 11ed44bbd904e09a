"""Retry delays as plain data."""

from __future__ import annotations

from collections.abc import Iterator


def backoff(first: float, limit: float, factor: float = 2.0) -> Iterator[float]:
    """Yield delays in seconds: ``first``, then ``factor`` times longer each, never above ``limit``."""
    delay = first
    while True:
        yield min(delay, limit)
        delay = min(delay * factor, limit)
