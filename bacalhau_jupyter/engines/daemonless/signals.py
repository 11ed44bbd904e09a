"""The signal that an image names for its own end (``STOPSIGNAL``), read as Docker reads it."""

from __future__ import annotations

import re
import signal

_FIRST_FREE, _LAST = 34, 64
"""Of the signals without a meaning; the C library keeps two below them for itself."""
_FREE = re.compile(r"RT(MIN|MAX)(?:([+-])(\d{1,2}))?", re.ASCII)


def number_of(text: str) -> int:
    """Return a signal's number; 0 for a text that names none, as Docker takes its own signal then.

    Parameters
    ----------
    text
        ``SIGQUIT``, ``quit``, ``3``, ``SIGRTMIN+3``, …
    """
    text = text.strip()
    if text.isascii() and text.isdigit():
        return int(text) if len(text) <= 3 and 0 < int(text) <= _LAST else 0
    name = text.upper().removeprefix("SIG")
    if match := _FREE.fullmatch(name):
        return _free(match[1], match[2] or "+", int(match[3] or 0))
    try:
        return int(signal.Signals[f"SIG{name}"])
    except KeyError:
        return 0


def _free(end: str, sign: str, distance: int) -> int:
    number = _FIRST_FREE + distance if end == "MIN" else _LAST - distance
    right_way = distance == 0 or sign == ("+" if end == "MIN" else "-")
    return number if right_way and _FIRST_FREE <= number <= _LAST else 0
