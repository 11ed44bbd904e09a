"""Identifiers in Bacalhau's forms: ``j-``, ``e-`` and ``n-`` followed by a uuid4."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable

IdSource = Callable[[], str]
"""Returns a fresh uuid4 text each time it is called."""

_LENGTH = 38
_HOST_NODE = re.compile(
    r"n-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}-([a-z0-9](?:[a-z0-9_-]{0,38}[a-z0-9])?)", re.ASCII
)


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
    """Shorten an ID for people: the prefix letter and the first eight hex digits; the name of a Docker host.

    Names that are not in the ID form come back unchanged.
    """
    if len(identifier) == _LENGTH and identifier[1] == "-" and identifier[0] in "jen":
        return identifier[:10]
    return host_of(identifier) or identifier


def host_of(identifier: str) -> str:
    """Return what people call the Docker host that a node stands for: ``gpu1`` of ``n-<uuid>-gpu1``; else empty."""
    has_form = _HOST_NODE.fullmatch(identifier) if len(identifier) > _LENGTH else None
    return has_form[1] if has_form else ""
