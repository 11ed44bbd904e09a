"""Whose socket a connection comes from: one look-up per connection."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from bacalhau_jupyter.auth.forwarding import network_of
from bacalhau_jupyter.auth.peers import ProcessTable
from bacalhau_jupyter.lib.sockdiag import (
    ESTABLISHED,
    Lookup,
    LookupUnavailable,
    NetlinkLookup,
    PeerSocket,
    ProcLookup,
    endpoint,
)

log = logging.getLogger(__name__)

NOBODY_UID = 65534
"""The uid that stands for "somebody outside this user namespace"."""

_THREADS = 2


@dataclass(frozen=True)
class Caller:
    """The caller of a connection, for the purpose of limits; this proves nothing.

    Attributes
    ----------
    key
        Equal for connections that are limited together: those of one OS user of this machine, or of one address.
    is_own_user
        Whether the socket belongs to our own OS user (which our jobs and containers may be, too).
    is_of_this_machine
        Whether a program of this machine holds it.
    """

    key: str
    is_own_user: bool
    is_of_this_machine: bool = False


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
        self._callers: WeakKeyDictionary[asyncio.BaseTransport, Caller] = WeakKeyDictionary()
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
        is_ours = self._verdicts.get(transport)
        if is_ours is None:
            is_ours = self._verdicts[transport] = await self._judge(transport)
        return is_ours

    def caller(self, transport: asyncio.BaseTransport | None) -> Caller:
        """Tell by whom the connection is limited; never blocks, and is cached for the life of the connection."""
        if transport is None:
            return _NOBODY
        caller = self._callers.get(transport)
        if caller is None:
            caller = self._callers[transport] = self._recognise(transport)
        return caller

    def _recognise(self, transport: asyncio.BaseTransport) -> Caller:
        theirs = endpoint(transport.get_extra_info("peername"))
        ours = endpoint(transport.get_extra_info("sockname"))
        if theirs is None or ours is None:
            return _NOBODY
        peers: list[PeerSocket] = []
        if self._netlink is not None and (theirs[0].is_loopback or theirs[0] == ours[0]):
            with contextlib.suppress(LookupUnavailable):
                peers = self._lookup(theirs, ours)
        # A socket that was closed already shows uid 0.
        if len(peers) == 1 and peers[0].inode:
            uid = peers[0].uid
            is_own_user = uid == self._uid and uid != NOBODY_UID
            return Caller(f"uid {uid}", is_own_user, is_of_this_machine=True)
        return Caller(network_of(theirs[0]), False, theirs[0].is_loopback)

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


_NOBODY = Caller("unknown", is_own_user=False)
