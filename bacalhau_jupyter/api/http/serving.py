"""aiohttp's server with what it lacks: a bound on connections, and on the time to a whole request head."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Hashable
from typing import Any, Protocol, runtime_checkable

from aiohttp import web

from bacalhau_jupyter.api.http.connections import ConnectionBook, ConnectionLimits
from bacalhau_jupyter.auth.access import Access

HEAD_TIMEOUT_S = 5.0
"""Seconds from the first byte (or the connection) to the last one of a request's head, as officially."""
LINGER_S = 5.0
"""Seconds for which the rest of a body is thrown away after the answer, so that its sender can read that answer."""
_UNKNOWN_LIMIT = 1024


@runtime_checkable
class Abortable(Hashable, Protocol):
    """A connection that can be closed for others."""

    def abort(self) -> None:
        """Close at once."""
        ...


class Gatekeeper:
    """What every listener of a node shares: the book of connections, and who is at their other ends.

    Parameters
    ----------
    access
        Recognises callers.
    limits
        How many connections there may be; by default what the descriptors of this process allow.
    head_timeout_s
        Seconds for the head of a request.
    """

    def __init__(
        self, access: Access, limits: ConnectionLimits | None = None, head_timeout_s: float = HEAD_TIMEOUT_S
    ) -> None:
        self.book = ConnectionBook(limits or ConnectionLimits.for_descriptors(descriptor_limit()))
        self.head_timeout_s = head_timeout_s
        self._access = access

    def arrived(self, connection: Abortable, transport: asyncio.BaseTransport) -> None:
        """Let a connection in; an older one may have to go for it."""
        caller = self._access.caller(transport)
        evicted = self.book.open(connection, caller.key, caller.is_own_user)
        if isinstance(evicted, Abortable):
            evicted.abort()

    def left(self, connection: Abortable) -> None:
        """Cross out a connection that is gone."""
        self.book.close(connection)


class GuardedConnection(web.RequestHandler):
    """One connection: closed where the head of a request does not come in time."""

    __slots__ = ("_busy", "_gatekeeper", "_head_timer")

    def __init__(self, manager: _Server, gatekeeper: Gatekeeper, **options: Any) -> None:
        super().__init__(manager, **options)
        self._gatekeeper = gatekeeper
        self._head_timer: asyncio.TimerHandle | None = None
        self._busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the clock."""
        super().connection_made(transport)
        self._await_head()
        self._gatekeeper.arrived(self, transport)

    def data_received(self, data: bytes) -> None:
        """Start the clock at the first byte of the next head (what comes while a request is served is its body)."""
        if not self._busy and self._head_timer is None:
            self._await_head()
        heads = self._request_count
        super().data_received(data)
        if self._request_count != heads:
            self._head_arrived()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop counting it."""
        self._head_arrived()
        self._gatekeeper.left(self)
        super().connection_lost(exc)

    def begin(self) -> None:
        """Note that a whole head has arrived, and is being answered."""
        self._head_arrived()
        self._busy = True

    def end(self) -> None:
        """Note that the request was answered."""
        self._busy = False

    def prove(self) -> None:
        """Note that a request on this connection was admitted: it is not closed for others any more."""
        self._gatekeeper.book.prove(self)

    def abort(self) -> None:
        """Close at once, without waiting for a peer that takes nothing."""
        if self.transport is not None:
            self.transport.abort()

    def _await_head(self) -> None:
        loop = asyncio.get_running_loop()
        self._head_timer = loop.call_later(self._gatekeeper.head_timeout_s, self.abort)

    def _head_arrived(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def prove(request: web.BaseRequest) -> None:
    """Keep the connection of an admitted request."""
    if isinstance(request.protocol, GuardedConnection):
        request.protocol.prove()


class LimitedRunner(web.AppRunner):
    """An application's runner whose connections are limited.

    Parameters
    ----------
    app
        The application.
    gatekeeper
        Shared by all listeners of the node.
    options
        What aiohttp takes.
    """

    __slots__ = ("_gatekeeper",)

    def __init__(self, app: web.Application, gatekeeper: Gatekeeper, **options: Any) -> None:
        super().__init__(app, lingering_time=LINGER_S, **options)
        self._gatekeeper = gatekeeper

    async def _make_server(self) -> web.Server:
        plain = await super()._make_server()
        return _Server(plain, self._gatekeeper, dict(self._kwargs))


class _Server(web.Server):
    """Makes our connections instead of plain ones."""

    def __init__(self, plain: web.Server, gatekeeper: Gatekeeper, options: dict[str, Any]) -> None:
        super().__init__(self._answer, request_factory=plain.request_factory)
        self._plain = plain.request_handler
        self._gatekeeper = gatekeeper
        self._options = options

    def __call__(self) -> web.RequestHandler:
        return GuardedConnection(self, self._gatekeeper, loop=asyncio.get_running_loop(), **self._options)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, GuardedConnection)
        connection.begin()
        try:
            return await self._plain(request)
        finally:
            connection.end()


def descriptor_limit() -> int:
    """Return how many files and sockets this process may have open."""
    if sys.platform == "win32":
        return _UNKNOWN_LIMIT
    import resource

    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return _UNKNOWN_LIMIT if soft == resource.RLIM_INFINITY else soft
