"""Access to the node: the same OS user needs no credential, all other callers need the key.

One look-up per connection shows whether our own user owns its socket (``TrustedSockets``); `Access` combines
that with what the request says. The order is fixed:

1. A request that looks like a browser's, or that was forwarded, needs a credential.
2. A valid credential decides, on a trusted socket, too: else a user could not try out a weaker one.
3. Without one, or with an invalid one (stale bearers do come), a trusted socket is the owner's.
4. All other requests are refused. Wrong credentials are counted; after too many they are no longer checked.
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
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from bacalhau_jupyter.auth.guesses import GuessLimit
from bacalhau_jupyter.auth.peers import ProcessTable
from bacalhau_jupyter.lib.clock import Clock, SystemClock
from bacalhau_jupyter.lib.sockdiag import (
    ESTABLISHED,
    IpAddress,
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
_FORWARDED = frozenset(
    {
        "forwarded",
        "via",
        "x-real-ip",
        "x-client-ip",
        "client-ip",
        "true-client-ip",
        "cf-connecting-ip",
        "fastly-client-ip",
        "x-cluster-client-ip",
        "x-proxycontextpath",
    }
)
_FORWARDED_PREFIXES = ("x-forwarded-", "x-original-", "x-envoy-")


@dataclass(frozen=True)
class Principal:
    """In whose name a request is made."""

    name: str

    def may_see_jobs(self, namespace: str) -> bool:
        """Whether the jobs of a namespace may be shown, also where another job is asked for.

        The node's owner sees all; for others there is no rule yet, so that they see none.
        """
        return self.name == OWNER.name


OWNER = Principal("owner")


@dataclass(frozen=True)
class Caller:
    """The caller of a connection, for the purpose of limits; this proves nothing.

    Attributes
    ----------
    key
        Equal for connections that are limited together: those of one OS user of this machine, or of one address.
    is_own_user
        Whether the socket belongs to our own OS user (which our jobs and containers may be, too).
    """

    key: str
    is_own_user: bool


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
            return Caller(f"uid {uid}", uid == self._uid and uid != NOBODY_UID)
        return Caller(_network(theirs[0]), False)

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
    """Decides in whose name a request is made.

    Parameters
    ----------
    key
        The node's API key; empty means that no key is accepted.
    sockets
        The look at the connection.
    host_names
        Further names by which callers may address this node (``API.Host``).
    clock
        Ends the time in which a caller that was wrong too often is not listened to.
    """

    def __init__(
        self,
        key: str,
        sockets: TrustedSockets,
        *,
        host_names: tuple[str, ...] = (),
        clock: Clock | None = None,
    ) -> None:
        self._key = key.encode()
        self._sockets = sockets
        self._names = frozenset({"localhost", *(name.lower() for name in host_names if name)})
        self._limit = GuessLimit(clock or SystemClock())

    async def identify(
        self, headers: Mapping[str, str], transport: asyncio.BaseTransport | None
    ) -> Principal | None:
        """Return in whose name the request is made; None without a valid credential.

        Raises
        ------
        TooManyGuesses
            Only a credential could help this request, and this caller's were wrong too often.
        """
        if await self.is_trusted(headers, transport):
            return self.principal_of(headers) or OWNER
        return self.with_credential(headers, transport)

    async def is_trusted(self, headers: Mapping[str, str], transport: asyncio.BaseTransport | None) -> bool:
        """Whether the request needs no credential: our own user's socket, and no browser or proxy behind it."""
        # The connection is judged first and always: later requests on it must not change the answer.
        ours = await self._sockets.is_ours(transport)
        return ours and not self.looks_like_a_browser(headers) and not is_forwarded(headers)

    def with_credential(
        self, headers: Mapping[str, str], transport: asyncio.BaseTransport | None
    ) -> Principal | None:
        """Return whose valid credential the request carries; wrong ones count against the caller.

        Raises
        ------
        TooManyGuesses
            This caller's credentials were wrong too often; this one was not looked at.
        """
        if "Authorization" not in headers:
            return None
        caller = self.caller(transport).key
        self._limit.check(caller, "APIServer")
        principal = self.principal_of(headers)
        if principal is None:
            self._limit.failed(caller)
        return principal

    def caller(self, transport: asyncio.BaseTransport | None) -> Caller:
        """Tell by whom a connection is limited."""
        return self._sockets.caller(transport)

    def principal_of(self, headers: Mapping[str, str]) -> Principal | None:
        """Return whose credential the headers carry; None without a valid one."""
        scheme, _, credential = headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not self._key:
            return None
        credential_bytes = credential.strip().encode("utf-8", "surrogateescape")
        return OWNER if hmac.compare_digest(credential_bytes, self._key) else None

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


def is_forwarded(headers: Mapping[str, str]) -> bool:
    """Whether a proxy says that it forwards a request."""
    names = map(str.lower, headers)
    return any(name in _FORWARDED or name.startswith(_FORWARDED_PREFIXES) for name in names)


_NOBODY = Caller("unknown", is_own_user=False)


def _network(address: IpAddress) -> str:
    """Return by what a remote address is limited: its owner has a whole /64 of IPv6."""
    if address.version == 4 or address.is_loopback:
        return str(address)
    return str(ipaddress.ip_network((address, 64), strict=False))


def _without_port(host: str) -> str:
    if host.startswith("["):
        name, closed, rest = host[1:].partition("]")
        return name if closed and (not rest or rest.startswith(":")) else host
    return host.partition(":")[0] if host.count(":") == 1 else host
