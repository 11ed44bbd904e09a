"""Checks that our node listens at an address before the key is sent there."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from bacalhau_jupyter.lib.sockdiag import LookupUnavailable, NetlinkLookup, endpoint
from bacalhau_jupyter.models.errors import Forbidden


def check_listener(url: str) -> None:
    """Make sure that a process of our own user listens at a loopback URL, where the kernel can tell.

    The port of a dead node is free for other programs; a stranger there would get the key.

    Raises
    ------
    Forbidden
        Another user listens there.
    """
    parts = urlsplit(url)
    local = endpoint((parts.hostname or "", parts.port or 0))
    if local is None or not local[0].is_loopback:
        return
    try:
        lookup = NetlinkLookup()
    except LookupUnavailable:
        return
    try:
        listening_socket = lookup.listener(local)
    except LookupUnavailable:
        return
    finally:
        lookup.close()
    if listening_socket is not None and listening_socket.uid != os.getuid():
        raise Forbidden(
            f"a process of another user (uid {listening_socket.uid}) listens at {url}; "
            "the node's key is not sent there",
            hint="start your own node on another port: bacalhau-jupyter serve --orchestrator --compute --api-port 0",
            component="Client",
        )
