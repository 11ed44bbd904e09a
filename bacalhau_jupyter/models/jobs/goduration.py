"""Durations the way Go writes them: ``1m0s``, ``1h30m0s``, ``250ms``."""

from __future__ import annotations

import math
import re

_SECOND = 1_000_000_000
_UNITS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # micro sign
    "μs": 1_000,  # Greek mu
    "ms": 1_000_000,
    "s": _SECOND,
    "m": 60 * _SECOND,
    "h": 3600 * _SECOND,
}
_PART = re.compile(r"(\d{1,19}(?:\.\d{0,18})?|\.\d{1,18})(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_LIMIT = 1 << 63
_NUMBER = re.compile(r"[+-]?\d{1,19}(?:\.\d{0,18})?", re.ASCII)


def parse_go_duration(text: str) -> float:
    """Return the seconds that a Go duration names.

    Parameters
    ----------
    text
        For example ``1m0s``, ``1.5h``, ``-3s`` or ``0``. Every number but a lone 0 needs a unit.

    Raises
    ------
    ValueError
        Not a Go duration, or longer than 292 years.
    """
    sign, rest = 1, text.strip()
    if rest[:1] in ("-", "+"):
        sign, rest = (-1 if rest[0] == "-" else 1), rest[1:]
    if rest == "0":
        return 0.0
    nanoseconds, at = 0.0, 0
    while at < len(rest):
        part = _PART.match(rest, at)
        if part is None:
            break
        nanoseconds += float(part[1]) * _UNITS[part[2]]
        at = part.end()
    if not rest or at < len(rest):
        raise ValueError(f'"{text}" is not a duration')
    if nanoseconds >= _LIMIT:
        raise ValueError(f'"{text}" is longer than a duration can be')
    return sign * nanoseconds / _SECOND


def whole_seconds(value: str | float) -> int:
    """Return the seconds that a person's duration names, rounded up: ``90``, ``90s``, ``1m30s``, ``2h``.

    Raises
    ------
    ValueError
        It is neither a number of seconds nor a Go duration, or it is negative.
    """
    text = str(value).strip()
    try:
        seconds = float(text) if _NUMBER.fullmatch(text) else parse_go_duration(text)
    except OverflowError:
        raise ValueError(f'"{text}" is longer than a duration can be') from None
    if seconds < 0:
        raise ValueError(f'"{text}" is negative')
    return math.ceil(seconds)


def format_go_duration(seconds: float) -> str:
    """Write seconds as Go's ``time.Duration`` prints itself: ``0s``, ``1.5s``, ``1m0s``, ``250ms``."""
    nanoseconds = round(seconds * _SECOND)
    sign = "-" if nanoseconds < 0 else ""
    nanoseconds = abs(nanoseconds)
    if nanoseconds == 0:
        return "0s"
    for unit in ("ns", "µs", "ms"):
        if nanoseconds < _UNITS[unit] * 1000:
            return f"{sign}{_fraction(nanoseconds, _UNITS[unit])}{unit}"
    minutes, rest = divmod(nanoseconds, _UNITS["m"])
    hours, minutes = divmod(minutes, 60)
    text = f"{_fraction(rest, _SECOND)}s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    if hours:
        text = f"{hours}h{text}"
    return sign + text


def _fraction(nanoseconds: int, unit: int) -> str:
    """Write ``nanoseconds / unit`` exactly, without trailing zeros."""
    whole, rest = divmod(nanoseconds, unit)
    if not rest:
        return str(whole)
    digits = len(str(unit)) - 1
    return f"{whole}.{rest:0{digits}d}".rstrip("0")
