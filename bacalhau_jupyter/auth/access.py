"""Who may call the node: the same OS user without any credential, everybody else with the key.

One look per connection tells whether its socket is held by our own user (``TrustedSockets``); `Access` combines
that with what the request says. The order is fixed: a request that looks like a browser's needs the key; a
trusted socket is the owner, whatever ``Authorization`` comes along; then the key; else nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import ipaddress
import logging
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from weakref import WeakKeyDictionary

from bacalhau_jupyter.auth.peers import ProcessTable
from bacalhau_jupyter.lib.sockdiag import (
    ESTABLISHED,
    Lookup,
    LookupUnavailable,
    NetlinkLookup,
    ProcLookup,
    endpoint,
)

log = logging.getLogger(__name__)

NOBODY_UID = 65534
"""The uid that stands for "somebody outside this user namespace"."""

_THREADS = 2


class TrustedSockets:
    """Tells whether a connection's other end is held by our own OS user, once per connection.

    Parameters
    ----------
    enabled
        ``API.TrustLocalUser``.
    lookup
        How to find the peer's socket; by default the kernel is asked, and where it refuses the tables are read.
    processes
        How to find and judge the process that holds it.
    uid
        Our own user.
    """

    def __init__(
        self,
        *,
        enabled: bool = True,
        lookup: Lookup | None = None,
        processes: ProcessTable | None = None,
        uid: int | None = None,
    ) -> None:
        self._uid = uid if uid is not None else os.getuid() if hasattr(os, "getuid") else NOBODY_UID
        self._verdicts: WeakKeyDictionary[asyncio.BaseTransport, bool] = WeakKeyDictionary()
        self._processes = processes or ProcessTable(self._uid)
        self._netlink: NetlinkLookup | None = None
        if lookup is None:
            lookup = ProcLookup()
            with contextlib.suppress(LookupUnavailable):
                lookup = self._netlink = NetlinkLookup()
        self._lookup = lookup
        self._threads = ThreadPoolExecutor(_THREADS, "bacalhau-peers")
        self.enabled = enabled and self._uid != NOBODY_UID

    async def is_ours(self, transport: asyncio.BaseTransport | None) -> bool:
        """Whether the other end of ``transport`` is provably ours; cached for the life of the connection."""
        if not self.enabled or transport is None:
            return False
        known = self._verdicts.get(transport)
        if known is None:
            known = self._verdicts[transport] = await self._judge(transport)
        return known

    def close(self) -> None:
        """Release the netlink socket and the threads."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        if self._netlink is not None:
            self._netlink.close()

    async def _judge(self, transport: asyncio.BaseTransport) -> bool:
        theirs = endpoint(transport.get_extra_info("peername"))
        ours = endpoint(transport.get_extra_info("sockname"))
        if theirs is None or ours is None:
            return False
        loop = asyncio.get_running_loop()
        try:
            # Netlink answers at once; reading the tables takes milliseconds and must not hold up the loop.
            if self._netlink is not None:
                peers = self._lookup(theirs, ours)
            else:
                peers = await loop.run_in_executor(self._threads, self._lookup, theirs, ours)
        except LookupUnavailable as error:
            log.debug("socket look-up: %s", error)
            return False
        if len(peers) != 1:
            return False
        peer = peers[0]
        if peer.state != ESTABLISHED or peer.inode == 0 or peer.uid != self._uid or peer.uid == NOBODY_UID:
            return False
        if self._processes.holds_as_equal(peer.inode, quick=True):
            return True
        return await loop.run_in_executor(self._threads, self._processes.holds_as_equal, peer.inode)


class Access:
    """Decides whether a request is the owner's.

    Parameters
    ----------
    key
        The node's API key; empty means that no key is accepted.
    sockets
        The look at the connection.
    host_names
        Further names by which callers may address this node (``API.Host``).
    """

    def __init__(
        self,
        key: str,
        sockets: TrustedSockets,
        *,
        host_names: tuple[str, ...] = (),
    ) -> None:
        self._key = key.encode()
        self._sockets = sockets
        self._names = frozenset({"localhost", *(name.lower() for name in host_names if name)})

    async def is_owner(self, headers: Mapping[str, str], transport: asyncio.BaseTransport | None) -> bool:
        """Whether the request is the owner's."""
        if await self.is_trusted(headers, transport):
            return True
        return self.has_key(headers)

    async def is_trusted(self, headers: Mapping[str, str], transport: asyncio.BaseTransport | None) -> bool:
        """Whether the request needs no credential: our own user's socket, and not a browser behind it."""
        # The connection is judged first and always: later requests on it must not change the answer.
        ours = await self._sockets.is_ours(transport)
        return ours and not self.looks_like_a_browser(headers)

    def has_key(self, headers: Mapping[str, str]) -> bool:
        """Whether the request carries the key as a bearer."""
        scheme, _, credential = headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not self._key:
            return False
        return hmac.compare_digest(credential.strip().encode("utf-8", "surrogateescape"), self._key)

    def looks_like_a_browser(self, headers: Mapping[str, str]) -> bool:
        """Whether a page could have caused the request, or made a name resolve to us (DNS rebinding)."""
        if "Origin" in headers or headers.get("Sec-Fetch-Site", "none") != "none":
            return True
        return not self._is_our_name(headers.get("Host", ""))

    def _is_our_name(self, host: str) -> bool:
        name = _without_port(host).lower()
        if name in self._names:
            return True
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0] if host.count(":") == 1 else host
