"""Which OS user owns the other end of a loopback connection, from the Linux kernel.

One exact 4-tuple query over ``NETLINK_SOCK_DIAG`` costs some ten microseconds; parsing ``/proc/net/tcp`` costs
milliseconds and is the fallback where netlink is not allowed. The answer describes the *peer's* socket, and it
is only worth something while that socket is established: one that was closed early shows uid 0 and inode 0.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bacalhau_jupyter.lib.text import read_text

ESTABLISHED = 1
LISTEN = 10
"""The kernel's numbers for TCP states."""

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Endpoint = tuple[IpAddress, int]

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST = 1
_NLMSG_ERROR = 2
_REPLY_LIMIT = 4096
_TIMEOUT_S = 0.5
_ENOENT = 2

# struct nlmsghdr; struct inet_diag_sockid; what follows it in struct inet_diag_msg (linux/inet_diag.h)
_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBxI")
_SOCKET_ID = struct.Struct("!HH16s16sIII")
_REPLY = struct.Struct("=BBBB")
_REPLY_TAIL = struct.Struct("=IIIII")
_NO_COOKIE = 0xFFFFFFFF


@dataclass(frozen=True)
class PeerSocket:
    """The socket at the other end: its owner's uid, its inode and its TCP state."""

    uid: int
    inode: int
    state: int


class LookupUnavailable(Exception):
    """The kernel can't be asked (not Linux, netlink refused)."""


Lookup = Callable[[Endpoint, Endpoint], list[PeerSocket]]
"""Finds sockets by ``(local, remote)`` as *they* see the connection."""


def endpoint(address: object) -> Endpoint | None:
    """Turn a socket address into an IP address and a port; IPv4-mapped IPv6 becomes IPv4.

    Anything else (a Unix socket's path, a missing name) gives None.
    """
    if not isinstance(address, tuple) or len(address) < 2:
        return None
    try:
        ip = ipaddress.ip_address(str(address[0]).partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(ip, "ipv4_mapped", None)
    return (mapped or ip, int(address[1]))


class NetlinkLookup:
    """Asks the kernel for one connection over a new netlink socket.

    Not for several threads at once. `close` it when done.
    """

    _socket: socket.socket
    _sequence = 0

    def __init__(self) -> None:
        if sys.platform != "linux":
            raise LookupUnavailable("only Linux says who owns a socket")
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_SOCK_DIAG)
        except OSError as error:
            raise LookupUnavailable(f"the kernel refuses socket look-ups: {error.strerror}") from error
        self._socket.settimeout(_TIMEOUT_S)

    def __call__(self, local: Endpoint, remote: Endpoint) -> list[PeerSocket]:
        """Return the socket with exactly these ends: none or one.

        Raises
        ------
        LookupUnavailable
            The kernel did not answer, or refused.
        """
        # The IPv4 query also finds an IPv6 socket that talks IPv4 (``::ffff:127.0.0.1``).
        family = socket.AF_INET if local[0].version == 4 else socket.AF_INET6
        sockets = self._ask(family, local, remote)
        # Without an established match the kernel falls back to a listener on the same port: not the peer.
        return [sockets[0]] if sockets is not None and sockets[1:] == (local, remote) else []

    def listener(self, local: Endpoint) -> PeerSocket | None:
        """Return the socket that listens where a connection to ``local`` would arrive; None when nothing does.

        Raises
        ------
        LookupUnavailable
            The kernel did not answer, or refused.
        """
        family = socket.AF_INET if local[0].version == 4 else socket.AF_INET6
        # No socket has port 0, so no established connection can match.
        sockets = self._ask(family, local, (local[0], 0))
        return sockets[0] if sockets is not None and sockets[0].state == LISTEN else None

    def close(self) -> None:
        """Close the netlink socket."""
        self._socket.close()

    def _ask(
        self, family: int, local: Endpoint, remote: Endpoint
    ) -> tuple[PeerSocket, Endpoint | None, Endpoint | None] | None:
        self._sequence = (self._sequence + 1) & 0x7FFFFFFF
        payload = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0xFFFFFFFF) + _SOCKET_ID.pack(
            local[1], remote[1], _packed(local[0]), _packed(remote[0]), 0, _NO_COOKIE, _NO_COOKIE
        )
        header = _HEADER.pack(
            _HEADER.size + len(payload), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, self._sequence, 0
        )
        try:
            self._socket.send(header + payload)
            while True:
                reply = self._socket.recv(_REPLY_LIMIT)
                _, kind, _, sequence, _ = _HEADER.unpack_from(reply)
                # An answer to a request that timed out earlier must not be taken for this one's.
                if sequence == self._sequence:
                    return _parse(kind, reply)
        except (OSError, struct.error) as error:
            raise LookupUnavailable(f"the kernel did not answer a socket look-up: {error}") from error


class ProcLookup:
    """Reads ``/proc/net/tcp`` and ``/proc/net/tcp6``: the same answer, thousands of times slower."""

    def __init__(self, root: Path = Path("/proc/net")) -> None:
        self._root = root

    def __call__(self, local: Endpoint, remote: Endpoint) -> list[PeerSocket]:
        """Return the sockets with exactly these ends.

        Raises
        ------
        LookupUnavailable
            The tables can't be read.
        """
        if sys.platform != "linux":
            raise LookupUnavailable("only Linux says who owns a socket")
        sockets = []
        readable = False
        for name in ("tcp", "tcp6"):
            with contextlib.suppress(OSError):
                text = read_text(self._root / name)
                readable = True
                sockets += [peer for near, far, peer in _rows(text) if (near, far) == (local, remote)]
        if not readable:
            raise LookupUnavailable("the kernel's socket tables can't be read")
        return sockets


def _packed(ip: IpAddress) -> bytes:
    return ip.packed.ljust(16, b"\0")


def _parse(kind: int, reply: bytes) -> tuple[PeerSocket, Endpoint | None, Endpoint | None] | None:
    """Return the socket of an answer with its two ends; None when there is none."""
    offset = _HEADER.size
    if kind == _NLMSG_ERROR:
        (code,) = struct.unpack_from("=i", reply, offset)
        if -code == _ENOENT:
            return None
        raise LookupUnavailable(f"the kernel refuses socket look-ups: error {-code}")
    family, state, _, _ = _REPLY.unpack_from(reply, offset)
    offset += _REPLY.size
    near_port, far_port, near, far, _, _, _ = _SOCKET_ID.unpack_from(reply, offset)
    offset += _SOCKET_ID.size
    _, _, _, uid, inode = _REPLY_TAIL.unpack_from(reply, offset)
    size = 4 if family == socket.AF_INET else 16
    return (
        PeerSocket(uid=uid, inode=inode, state=state),
        endpoint((ipaddress.ip_address(near[:size]), near_port)),
        endpoint((ipaddress.ip_address(far[:size]), far_port)),
    )


def _rows(text: str) -> Iterator[tuple[Endpoint, Endpoint, PeerSocket]]:
    for line in text.splitlines()[1:]:
        columns = line.split()
        if len(columns) > 9:
            peer = PeerSocket(uid=int(columns[7]), inode=int(columns[9]), state=int(columns[3], 16))
            yield _end(columns[1]), _end(columns[2]), peer


def _end(text: str) -> Endpoint:
    """Decode ``0100007F:04D2``: 32-bit words in the machine's byte order."""
    words, _, port = text.partition(":")
    raw = bytes.fromhex(words)
    if sys.byteorder == "little":
        raw = b"".join(raw[i : i + 4][::-1] for i in range(0, len(raw), 4))
    end = endpoint((ipaddress.ip_address(raw), int(port, 16)))
    assert end is not None
    return end
