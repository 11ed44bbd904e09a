"""What another program tells of itself in JSON: of the kind and size that was expected, or nothing; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bacalhau_jupyter.models.text import readable

MOST = 1 << 53
"""The largest number that every reader of JSON agrees on."""


def number(value: object) -> int:
    """Return a number from 1 to `MOST`; 0 for anything else."""
    if not isinstance(value, int) or isinstance(value, bool):
        return 0
    return value if 0 < value <= MOST else 0


def words(value: object, limit: int = 200) -> str:
    """Return a text, readable and at most so long; empty for anything else."""
    return readable(value[:limit])[:limit] if isinstance(value, str) else ""


def mapping(value: object) -> Mapping[str, Any]:
    """Return an object; an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}


def items(value: object, most: int) -> list[Any]:
    """Return at most so many items of a list; none of anything else."""
    return value[:most] if isinstance(value, list) else []


def mappings(value: object, most: int) -> list[Mapping[str, Any]]:
    """Return the objects among at most so many items of a list."""
    return [item for item in items(value, most) if isinstance(item, Mapping)]
