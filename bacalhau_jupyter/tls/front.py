"""One listening port that looks at the first bytes of a connection, and answers each kind as it can read it.

TLS is handed to the HTTP server with the certificate of that moment; an authority's check of a name gets its own
answer; plain HTTP gets one sentence; all else is closed. Until a connection has shown what it is, it is a
stranger with a time limit, and counts like every other connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from bacalhau_jupyter.tls.hello import ACME_PROTOCOL, LONGEST, is_http, is_tls, is_whole, read_hello
from bacalhau_jupyter.tls.plain import is_whole_head, plain_answer

log = logging.getLogger(__name__)

HANDSHAKE_TIMEOUT_S = 10.0
"""Seconds until a connection must have said what it speaks, and again until the handshake must be over."""
CLOSING_S = 2.0
"""Seconds for the other side to confirm the end of a connection."""

_ACCEPTED_AT_ONCE = 100
_OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_RETRY_S = 1.0
_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 0.005, 0.2


class Certificates(Protocol):
    """Which certificate a connection gets. Called on the event loop, for each connection."""

    def context(self, server_name: str, peer: str) -> ssl.SSLContext | None:
        """Return what an ordinary client gets.

        Parameters
        ----------
        server_name
            In lower case; empty where the client names none.
        peer
            The client's IP address.

        Returns
        -------
        ssl.SSLContext or None
            None closes the connection: there is no certificate yet.
        """
        ...

    def challenge(self, server_name: str) -> ssl.SSLContext | None:
        """Return the proof for an authority that checks this name by ``acme-tls/1``; None where nothing is checked."""
        ...


class Gate(Protocol):
    """Bounds the number of connections."""

    def arrived(self, connection: Arrival, transport: asyncio.BaseTransport) -> None:
        """Count a connection; an older one may be aborted for it."""
        ...

    def left(self, connection: Arrival) -> None:
        """Count it no more."""
        ...


class Arrival:
    """A connection that has not shown yet what it speaks, or has not finished its handshake.

    Attributes
    ----------
    is_handed_over
        Whether a transport owns the socket, and closes it.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.is_handed_over = False
        self.task: asyncio.Task[None]

    def abort(self) -> None:
        """Close it at once."""
        self.task.cancel()


class _Ends(asyncio.BaseTransport):
    """The two addresses of a connection that has no transport yet (asyncio's own class takes no weak references)."""


@dataclass(frozen=True)
class _Chosen:
    context: ssl.SSLContext
    is_check: bool


class Front:
    """Accepts the connections of one listening socket.

    Parameters
    ----------
    listener
        The socket; whoever opened it closes it.
    server
        Makes the protocol of a connection: an aiohttp server.
    certificates
        Asked for each connection, so that a new certificate needs no new front.
    gate
        Bounds the connections that have not shown yet what they are; the server's own are its own affair.
    timeout_s
        Seconds until a connection must have said what it speaks.
    """

    def __init__(
        self,
        listener: socket.socket,
        server: Callable[[], asyncio.BaseProtocol],
        certificates: Certificates,
        gate: Gate,
        *,
        timeout_s: float = HANDSHAKE_TIMEOUT_S,
    ) -> None:
        self._listener = listener
        self._server = server
        self._certificates = certificates
        self._gate = gate
        self._timeout_s = timeout_s
        self._arrivals: set[Arrival] = set()
        self._retry: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Accept connections from now on."""
        self._listener.setblocking(False)
        self._listen()

    async def close(self) -> None:
        """Accept no more, and close what has not shown yet what it is; the server's connections stay."""
        if self._retry is not None:
            self._retry.cancel()
        with contextlib.suppress(ValueError):
            asyncio.get_running_loop().remove_reader(self._listener)
        for arrival in self._arrivals:
            arrival.abort()
        await asyncio.gather(*(arrival.task for arrival in self._arrivals), return_exceptions=True)

    def _listen(self) -> None:
        self._retry = None
        asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _OUT_OF_RESOURCES:
                    raise
                # The listener would be reported as ready for as long as nothing is closed.
                log.warning("no connection can be accepted: %s", error.strerror)
                loop = asyncio.get_running_loop()
                loop.remove_reader(self._listener)
                self._retry = loop.call_later(_RETRY_S, self._listen)
                return
            connection.setblocking(False)
            self._admit(connection)

    def _admit(self, connection: socket.socket) -> None:
        arrival = Arrival(connection)
        arrival.task = asyncio.create_task(self._serve(arrival), name="tls-arrival")
        arrival.task.add_done_callback(lambda _: self._leave(arrival))
        self._arrivals.add(arrival)
        # A connection that is gone already has no peer.
        with contextlib.suppress(OSError):
            names = {"peername": connection.getpeername(), "sockname": connection.getsockname()}
            self._gate.arrived(arrival, _Ends(names))

    def _leave(self, arrival: Arrival) -> None:
        self._arrivals.discard(arrival)
        self._gate.left(arrival)
        if not arrival.is_handed_over:
            arrival.connection.close()

    async def _serve(self, arrival: Arrival) -> None:
        try:
            chosen = await self._context(arrival.connection)
            if chosen is not None:
                await self._hand_over(arrival, chosen)
        except (OSError, TimeoutError) as error:
            # A peer that left, was silent, or failed the handshake (`ssl.SSLError`): nobody is there to be answered.
            log.debug("a connection ended before its handshake did: %r", error)

    async def _hand_over(self, arrival: Arrival, chosen: _Chosen) -> None:
        arrival.is_handed_over = True
        transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
            asyncio.Protocol if chosen.is_check else self._server,
            arrival.connection,
            ssl=chosen.context,
            ssl_handshake_timeout=self._timeout_s,
            ssl_shutdown_timeout=CLOSING_S,
        )
        if chosen.is_check:
            # The certificate is all that the authority wants to see.
            transport.close()

    async def _context(self, connection: socket.socket) -> _Chosen | None:
        """Return what a connection is to be handed over with; None where it is to be closed."""
        async with asyncio.timeout(self._timeout_s):
            first = await _peek(connection)
            if not first:
                return None
            if not is_tls(first):
                if is_http(first):
                    await _answer_plainly(connection)
                return None
        hello = read_hello(first)
        if ACME_PROTOCOL in hello.protocols:
            proof = self._certificates.challenge(hello.server_name)
            return None if proof is None else _Chosen(proof, is_check=True)
        context = self._certificates.context(hello.server_name, str(connection.getpeername()[0]))
        return None if context is None else _Chosen(context, is_check=False)


async def _peek(connection: socket.socket) -> bytes:
    """Return the first bytes without taking them: a whole hello where it is TLS; nothing at the connection's end."""
    pause_s = _SHORTEST_PAUSE_S
    while True:
        await _readable(connection)
        try:
            first = connection.recv(LONGEST, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            continue
        if not first or not is_tls(first) or is_whole(first):
            return first
        # The socket stays readable while the rest of the hello is on its way.
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


async def _readable(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(connection, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(connection)


async def _answer_plainly(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    head = b""
    while not is_whole_head(head):
        data = await loop.sock_recv(connection, LONGEST)
        if not data:
            return
        head += data
    await loop.sock_sendall(connection, plain_answer(head))
    connection.shutdown(socket.SHUT_WR)
    # Closing with unread data would throw the answer away, too.
    while await loop.sock_recv(connection, LONGEST):
        pass
