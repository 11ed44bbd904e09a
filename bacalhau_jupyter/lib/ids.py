"""Identifiers in Bacalhau's forms: ``j-``, ``e-`` and ``n-`` followed by a uuid4."""

from __future__ import annotations

import uuid
from collections.abc import Callable

IdSource = Callable[[], str]
"""Returns a fresh uuid4 text each time it is called."""


def uuid4() -> str:
    """Return a random uuid4 as text."""
    return str(uuid.uuid4())


def job_id(source: IdSource = uuid4) -> str:
    """Return a fresh job ID."""
    return f"j-{source()}"


def execution_id(source: IdSource = uuid4) -> str:
    """Return a fresh execution ID."""
    return f"e-{source()}"


def node_id(source: IdSource = uuid4) -> str:
    """Return a fresh node ID."""
    return f"n-{source()}"


def short_id(identifier: str) -> str:
    """Shorten an ID for people: the prefix letter and the first eight hex digits.

    Names that are not in the ID form come back unchanged.
    """
    if len(identifier) == 38 and identifier[1] == "-" and identifier[0] in "jen":
        return identifier[:10]
    return identifier
