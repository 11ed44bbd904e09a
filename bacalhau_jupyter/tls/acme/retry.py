"""How long a server asks to be left alone: ``Retry-After`` in seconds or as a date (RFC 9110)."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

SHORTEST_S = 0.2
LONGEST_S = 24 * 3600.0


def retry_after(header: str | None, now_ns: int, default_s: float) -> float:
    """Return the seconds to wait, within reason; ``default_s`` where the header is missing or means nothing."""
    if not header:
        return default_s
    text = header.strip()
    if text.isascii() and text.isdigit():
        # More digits than these are no time at all, and big numbers are slow to read.
        seconds = float(text[:12])
    else:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - now_ns / 1e9
        except (ValueError, TypeError, OverflowError):
            return default_s
    return min(max(seconds, SHORTEST_S), LONGEST_S)
