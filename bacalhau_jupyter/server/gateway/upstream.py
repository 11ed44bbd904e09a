"""Requests and websockets from the gateway to the connected cluster."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
from yarl import URL

from bacalhau_jupyter.client.connection.handshakes import tls_problem
from bacalhau_jupyter.client.connection.redirects import no_redirects
from bacalhau_jupyter.models.errors import BacalhauError, NetworkFailure, ServiceUnavailable, TimedOut
from bacalhau_jupyter.server.cluster.connection import ClusterConnection
from bacalhau_jupyter.server.gateway import headers
from bacalhau_jupyter.server.gateway.paths import Target
from bacalhau_jupyter.server.gateway.upload import Upload

if TYPE_CHECKING:
    from bacalhau_jupyter.config.endpoint import Endpoint

CONNECT_TIMEOUT_S = 10.0
SILENCE_TIMEOUT_S = 90.0
"""Seconds without a byte of an answer; longer than the node's own limit, so that its sentence arrives."""
HEARTBEAT_S = 30.0
CLOSE_TIMEOUT_S = 2.0
FRAME_LIMIT = 16 * 1024 * 1024
CONNECTIONS = 512
READ_BUFFER = 64 * 1024
"""Bytes of an answer that wait in the gateway for a slow browser (aiohttp keeps up to twice as many)."""


class Upstream:
    """The HTTP client of the gateway. It follows no redirect and keeps no cookie.

    Parameters
    ----------
    connection
        Which cluster.
    """

    def __init__(self, connection: ClusterConnection) -> None:
        self.connection = connection
        self._session: aiohttp.ClientSession | None = None

    async def request(
        self, method: str, target: Target, browser: Mapping[str, str], upload: Upload | None = None
    ) -> tuple[aiohttp.ClientResponse, Endpoint]:
        """Send a request; return the answer, its body still unread, and the endpoint that gave it.

        A cluster that refuses the connection is looked up once more: nothing was sent yet.

        Raises
        ------
        BacalhauError
            No cluster, or it does not answer.
        """
        endpoint = await self.connection.endpoint()
        try:
            return await self._send(endpoint, method, target, browser, upload), endpoint
        except aiohttp.ClientConnectorError:
            endpoint = await self.connection.renew(endpoint)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise lost(error) from error
        try:
            return await self._send(endpoint, method, target, browser, upload), endpoint
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise lost(error) from error

    async def _send(
        self,
        endpoint: Endpoint,
        method: str,
        target: Target,
        browser: Mapping[str, str],
        upload: Upload | None,
    ) -> aiohttp.ClientResponse:
        passed = headers.to_cluster(browser, endpoint.headers())
        if upload is not None and upload.length is not None:
            passed["Content-Length"] = str(upload.length)
        return await self._open().request(
            method,
            _url(endpoint, target),
            headers=passed,
            data=upload.chunks() if upload is not None else None,
            allow_redirects=False,
            ssl=endpoint.ssl(),
        )

    @asynccontextmanager
    async def stream(self, target: Target) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """Open a websocket; it is closed with the context.

        Raises
        ------
        BacalhauError
            No cluster, or it does not open the stream.
        """
        endpoint = await self.connection.endpoint()
        try:
            socket = await self._connect(endpoint, target)
        except aiohttp.ClientConnectorError:
            socket = await self._connect_again(await self.connection.renew(endpoint), target)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise lost(error) from error
        try:
            yield socket
        finally:
            with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                await socket.close()

    async def _connect_again(self, endpoint: Endpoint, target: Target) -> aiohttp.ClientWebSocketResponse:
        try:
            return await self._connect(endpoint, target)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise lost(error) from error

    async def _connect(self, endpoint: Endpoint, target: Target) -> aiohttp.ClientWebSocketResponse:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            return await self._open().ws_connect(
                _url(endpoint, target),
                headers=endpoint.headers(),
                heartbeat=HEARTBEAT_S,
                timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_TIMEOUT_S),
                max_msg_size=FRAME_LIMIT,
                ssl=endpoint.ssl(),
            )

    async def close(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS, keepalive_timeout=30),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=SILENCE_TIMEOUT_S
                ),
                read_bufsize=READ_BUFFER,
                # What is compressed stays compressed, and is passed on with its header.
                auto_decompress=False,
                trust_env=False,
                trace_configs=[no_redirects("the gateway")],
            )
        return self._session


def lost(error: BaseException) -> BacalhauError:
    """Describe a failed exchange with the cluster in one sentence, for a 502, 503 or 504."""
    hint = "Try again; if it stays like this, see the node's log."
    if isinstance(error, aiohttp.ClientConnectorError):
        url = f"https://{error.host}:{error.port}"
        if (problem := tls_problem(url, error)) is not None:
            return problem
    if isinstance(error, aiohttp.WSServerHandshakeError):
        return NetworkFailure(f"the cluster did not open the stream (HTTP {error.status})", status=502)
    if isinstance(error, TimeoutError):
        return TimedOut("the cluster did not answer in time", hint=hint, status=504, retryable=True)
    if isinstance(error, aiohttp.ClientConnectorError):
        reason = error.strerror or "the connection failed"
        return ServiceUnavailable(
            f"the cluster at {error.host}:{error.port} can't be reached: {reason}",
            hint=hint,
            retryable=True,
        )
    return NetworkFailure(
        "the cluster closed the connection without an answer",
        hint=hint,
        status=502,
        retryable=True,
    )


def _url(endpoint: Endpoint, target: Target) -> URL:
    # Sent exactly as `paths` spelled it: a second reading of the path could give it a second meaning.
    return URL(endpoint.url.rstrip("/") + target.path_and_query, encoded=True)
