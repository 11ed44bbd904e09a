"""What the node can read inputs from, as short forms of ``-i``: the same as the panel's Data tab inserts."""

from __future__ import annotations

import re
from urllib.parse import quote

from bacalhau_jupyter.client.inputs.uri import DEFAULT_TARGET
from bacalhau_jupyter.models.jobs.units import format_bytes
from bacalhau_jupyter.models.text import readable
from bacalhau_jupyter.models.wire.api import DataEntry

_SPECIAL = re.compile(r"[\s,\"'`{}$\\]")
"""What ``-i`` (comma forms, quotes) or a cell's line would take for its own."""
_EXACT = ("file://", "ipfs://")
"""Sources that put a single file exactly where the target says."""
_NOT_IN_NAMES = re.compile(r"[^\w.+=@~-]+")


def is_input(entry: DataEntry) -> bool:
    """Whether an entry can be an input: a place as such (``s3://``) can't."""
    return not re.fullmatch(r"[a-z0-9]+://", entry.uri, re.IGNORECASE)


def input_of(entry: DataEntry) -> str:
    """Return the short form of an entry."""
    text = f"{_address(entry.uri)}:{_target(entry)}"
    return f'"{text}"' if "," in text else text


def entry_label(entry: DataEntry) -> str:
    """Return how an entry is listed."""
    name = readable(entry.name)
    return f"{name}/" if entry.kind == "directory" else f"{name}  ({format_bytes(entry.size)})"


def parent_of(uri: str) -> str:
    """Return the address above an address; the list of places above a place."""
    scheme, separator, rest = uri.partition("://")
    above, slash, _ = rest.rstrip("/").rpartition("/")
    if not separator or not rest.strip("/"):
        return ""
    root = "/" if rest.startswith("/") and slash and not above else ""
    return f"{scheme}://{above or root}{'/' if above else ''}"


def _address(uri: str) -> str:
    if not uri.startswith(("file://", "s3://")):
        return uri
    # The node says file addresses encoded, and keys of buckets as they are.
    plain = uri.replace("%", "%25") if uri.startswith("s3://") else uri
    return _SPECIAL.sub(lambda match: quote(match[0], safe=""), plain)


def _target(entry: DataEntry) -> str:
    if entry.kind == "directory" or not entry.uri.startswith(_EXACT):
        return DEFAULT_TARGET
    # A job may well call it something simpler than its owner did.
    name = _NOT_IN_NAMES.sub("_", entry.name)
    return f"{DEFAULT_TARGET}/{name if name.strip('.') else 'data'}"
