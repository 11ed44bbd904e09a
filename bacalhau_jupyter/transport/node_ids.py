"""What a node's ID may be: a word of message subjects, of addresses and of file names that people can read."""

from __future__ import annotations

import re

from bacalhau_jupyter.models.text import is_readable, readable

LIMIT = 200
"""Most bytes of an ID."""

# A dot, a star or an arrow is something else in a subject of NATS, a slash in an address or a path.
_FORBIDDEN = re.compile(r"[\s.*>/]")
_SHOWN = 80


def problem_of(node_id: str) -> str:
    """Say why an ID can't be a node's, in one sentence without invisible characters; empty if it can."""
    if not node_id:
        return "a node needs an ID"
    size = len(node_id.encode(errors="surrogatepass"))
    if size > LIMIT:
        return f"the node ID has {size:,} bytes, and {LIMIT} are the most"
    if _FORBIDDEN.search(node_id) or not is_readable(node_id):
        return (
            f"the node ID '{readable(node_id[:_SHOWN])}' holds a blank, a control character or one of . * > /"
        )
    return ""


def is_node_id(text: str) -> bool:
    """Whether a text can be a node's ID."""
    return not problem_of(text)
