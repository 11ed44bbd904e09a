"""Wire times: RFC 3339 in UTC with nanoseconds, from and to integer nanoseconds.

``datetime`` keeps microseconds only, so a captured time would not survive a round trip through it.
"""

from __future__ import annotations

import functools
import re
from datetime import UTC, datetime

ZERO_TIME = "0001-01-01T00:00:00Z"
"""What Bacalhau writes for "never"."""

_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)",
)


def rfc3339(ns: int) -> str:
    """Format Unix nanoseconds the way Go's ``RFC3339Nano`` does (no trailing zeros, ``Z``)."""
    seconds, fraction = divmod(ns, 1_000_000_000)
    text = _second(seconds)
    if fraction:
        text += f".{fraction:09d}".rstrip("0")
    return text + "Z"


@functools.lru_cache(maxsize=128)
def _second(seconds: int) -> str:
    # Many events fall into the same second.
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def parse_rfc3339(text: str) -> int:
    """Return Unix nanoseconds of an RFC 3339 text.

    Raises
    ------
    ValueError
        The text is not an RFC 3339 time.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(f"not an RFC 3339 time: {text!r}")
    day, clock, fraction, zone = match.groups()
    offset = "+00:00" if zone in "Zz" else zone
    moment = datetime.fromisoformat(f"{day}T{clock}{offset}")
    return int(moment.timestamp()) * 1_000_000_000 + int((fraction or "0").ljust(9, "0"))
