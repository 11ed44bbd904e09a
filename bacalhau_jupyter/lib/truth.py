"""The words for true and false in parameters, settings, queries and the environment: Go's, in any case."""

from __future__ import annotations

_TRUE = frozenset({"1", "t", "true"})
_FALSE = frozenset({"0", "f", "false"})


def parse_truth(value: object) -> bool | None:
    """Return what a boolean or a word says; None for anything else, an empty text among it."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in _TRUE:
        return True
    return False if word in _FALSE else None
