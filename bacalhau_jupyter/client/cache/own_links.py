"""Which links lead to the cluster that this client talks to: only those say by their path what they hold.

Any server may offer a path that looks like an upload's, with another content each day.
"""

from __future__ import annotations

from collections.abc import Callable

from bacalhau_jupyter.models.records.uploads import NodeLink, parse_link
from bacalhau_jupyter.transfer.core.signing import is_signed

OwnLink = Callable[[object], NodeLink | None]
"""Takes a link of the connected cluster apart; returns None for any other URL."""


def signed_with(key: bytes) -> OwnLink:
    """Return what knows the links of a node by its signing key, under whatever name the node was addressed."""

    def own(url: object) -> NodeLink | None:
        link = parse_link(url)
        return link if link is not None and is_signed(link.path, link.query, key) else None

    return own


def below(base_url: str) -> OwnLink:
    """Return what knows the links of a cluster elsewhere: they lie directly below its address, and are signed."""
    base = base_url.rstrip("/")

    def own(url: object) -> NodeLink | None:
        link = parse_link(url)
        is_below = link is not None and str(url).partition("?")[0].startswith(f"{base}/api/v1/")
        return link if link is not None and is_below and link.query.get("signature") else None

    return own


def of_nobody(url: object) -> NodeLink | None:
    """Know no link (an `OwnLink`): the cluster takes no uploads."""
    return None
