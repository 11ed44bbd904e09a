"""Retry delays as plain data."""

from __future__ import annotations

from collections.abc import Iterator


def backoff(first_s: float, limit_s: float, factor: float = 2.0) -> Iterator[float]:
    """Yield delays in seconds: ``first_s``, then ``factor`` times longer each, never above ``limit_s``."""
    delay_s = first_s
    while True:
        yield min(delay_s, limit_s)
        delay_s = min(delay_s * factor, limit_s)
