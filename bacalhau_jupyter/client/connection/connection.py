"""A connection to one API: requests, websockets and downloads, with the right credential and errors as ours."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from bacalhau_jupyter.client.connection.handshakes import SPEAKS_TLS, speaks_tls, tls_problem
from bacalhau_jupyter.client.connection.listener import check_listener
from bacalhau_jupyter.client.connection.redirects import no_redirects
from bacalhau_jupyter.client.connection.refusals import refusal_of
from bacalhau_jupyter.lib.telemetry.base import Kind, spanning
from bacalhau_jupyter.lib.telemetry.start import link_of_process, telemetry_of_client
from bacalhau_jupyter.lib.telemetry.trace import CURRENT, HEADER
from bacalhau_jupyter.models.codec import decode, encode, require_text
from bacalhau_jupyter.models.errors import BacalhauError, NetworkFailure, error_from_envelope

if TYPE_CHECKING:
    import aiohttp

    from bacalhau_jupyter.config.endpoint import Endpoint

T = TypeVar("T")

_MESSAGE_LIMIT = 64 * 1024 * 1024
_OPEN = ("/api/v1/auth", "/api/v1/agent/alive", "/api/v1/agent/version", "/api/v1/agent/authconfig")
"""Paths that a cluster answers to anybody."""


class Connection:
    """Speaks HTTP with a Bacalhau API. Use it on one event loop; close it at the end.

    Parameters
    ----------
    endpoint
        Where the API is and what credential to send.
    timeout_s
        Seconds an ordinary request may take.
    """

    def __init__(self, endpoint: Endpoint, timeout_s: float = 60.0) -> None:
        self.endpoint = endpoint
        self._timeout_s = timeout_s
        self._host = urlsplit(endpoint.url).hostname or ""
        self._session: aiohttp.ClientSession | None = None
        self.was_let_in = False
        """Whether the cluster has done something for this caller that it does not do for anybody."""

    def _open(self) -> aiohttp.ClientSession:
        import aiohttp

        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._timeout_s),
                headers=self.endpoint.headers(),
                trust_env=False,
                trace_configs=[
                    no_redirects("a client"),
                    *([self._checked()] if self.endpoint.embedded else []),
                ],
            )
        return self._session

    def _checked(self) -> aiohttp.TraceConfig:
        """Check the listener before each new connection: the port of a dead node may belong to another program."""
        import aiohttp

        async def check(*_: object) -> None:
            check_listener(self.endpoint.url)

        trace = aiohttp.TraceConfig()
        trace.on_connection_create_start.append(check)
        return trace

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def request(
        self,
        method: str,
        path: str,
        kind: type[T],
        *,
        params: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        body: object = None,
    ) -> T:
        """Make one request and decode the answer.

        Raises
        ------
        BacalhauError
            The server answered with an error (rebuilt from its envelope) or can't be reached.
        """
        require_text(body)
        require_text({"the request": [list(pair) for pair in dict(params).items()]})
        headers = {"Content-Type": "application/json"} if body is not None else {}
        data = encode(body) if body is not None else None
        return await self._ask(method, path, kind, params=params, data=data, headers=headers)

    async def send(
        self,
        method: str,
        path: str,
        kind: type[T],
        chunks: AsyncIterator[bytes] | None,
        headers: Mapping[str, str],
    ) -> T:
        """Send a body as it comes, and decode the answer; only silence is limited in time.

        Raises
        ------
        BacalhauError
            As for `request`, or what ``chunks`` raises.
        """
        import aiohttp

        limit = aiohttp.ClientTimeout(total=None, sock_connect=self._timeout_s)
        return await self._ask(method, path, kind, data=chunks, headers=headers, timeout=limit)

    async def send_order(self, method: str, path: str, kind: type[T], order: object) -> T:
        """Send an order that takes as long as the node needs for it; raises as `send` does, or BadRequest."""
        require_text(order)

        async def text() -> AsyncIterator[bytes]:
            yield encode(order)

        return await self.send(method, path, kind, text(), {"Content-Type": "application/json"})

    async def _ask(
        self,
        method: str,
        path: str,
        kind: type[T],
        *,
        headers: Mapping[str, str],
        **options: Any,
    ) -> T:
        telemetry, started_by = telemetry_of_client(), link_of_process()
        with spanning(telemetry, method, parent=CURRENT.get() or started_by, kind=Kind.CLIENT) as attributes:
            attributes |= {"http.request.method": method, "server.address": self._host}
            return await self._answer(method, path, kind, headers=_traced(headers), **options)

    async def _answer(self, method: str, path: str, kind: type[T], **options: Any) -> T:
        import aiohttp

        try:
            async with self._open().request(
                method, self.endpoint.url + path, allow_redirects=False, ssl=self.endpoint.ssl(), **options
            ) as answer:
                self.was_let_in |= answer.status != 401 and path not in _OPEN
                data = await answer.read()
                if answer.status != 200:
                    raise _error(data, answer.status, self.endpoint)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise unreachable(self.endpoint.url, error) from error
        return decode(data, kind, f"answer of {path}")

    async def websocket(self, path: str, params: Sequence[tuple[str, str]]) -> AsyncIterator[str]:
        """Yield what a websocket sends until it ends well; anything else is an error."""
        import aiohttp

        try:
            async with self._open().ws_connect(
                self.endpoint.url + path,
                params=params,
                headers=_traced({}),
                heartbeat=30,
                max_msg_size=_MESSAGE_LIMIT,
                # Servers hang up after their last frame; under TLS no answer to it can be sent any more.
                autoclose=False,
                ssl=self.endpoint.ssl(),
            ) as socket:
                self.was_let_in = True
                async for message in socket:
                    if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                        data = message.data
                        yield data if isinstance(data, str) else bytes(data).decode()
                    elif message.type is aiohttp.WSMsgType.ERROR:
                        raise NetworkFailure(
                            f"the stream of {path} broke: {socket.exception()}", retryable=True
                        )
                if socket.close_code != 1000:
                    raise NetworkFailure(
                        f"the stream of {path} ended early (close code {socket.close_code})", retryable=True
                    )
        except aiohttp.WSServerHandshakeError as error:
            refusal = refusal_of(self.endpoint, error.status, {})
            if refusal is not None:
                raise refusal from error
            raise NetworkFailure(
                f"{self.endpoint.url}{path} refused the stream (HTTP {error.status})",
                retryable=error.status >= 500 or error.status == 429,
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            raise unreachable(self.endpoint.url, error) from error


def _traced(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Add which span makes a request, where one does."""
    link = CURRENT.get() or link_of_process()
    return headers if link is None else {**headers, HEADER: link.header}


def unreachable(url: str, error: BaseException) -> BacalhauError:
    """Describe a connection that failed, as one sentence with a way out."""
    if isinstance(error, BacalhauError):
        return error
    if (problem := tls_problem(url, error)) is not None:
        return problem
    return NetworkFailure(
        f"the Bacalhau API at {url} can't be reached: {plain_reason(error)}",
        hint="start a node with `bacalhau-jupyter serve --orchestrator --compute`, or set BACALHAU_API_HOST and _PORT",
        component="Client",
        retryable=True,
    )


def plain_reason(error: BaseException) -> str:
    """Return what the system said, without the words that the HTTP library puts around it."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    cause = getattr(error, "os_error", error)
    if isinstance(cause, socket.gaierror):
        return "no such host is known"
    number = (cause.errno or 0) if isinstance(cause, ConnectionError) else 0
    return os.strerror(number) if number else str(error) or type(error).__name__


def _error(data: bytes, status: int, endpoint: Endpoint) -> BacalhauError:
    url = endpoint.url
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        text = data[:200].decode(errors="replace").strip()
        if any(sentence in data.decode(errors="replace") for sentence in SPEAKS_TLS):
            return speaks_tls(url)
        body = {
            "Message": f"{url} answered HTTP {status}: {text}" if text else f"{url} answered HTTP {status}"
        }
    envelope = body if isinstance(body, dict) else {"Message": str(body)}
    return refusal_of(endpoint, status, envelope) or error_from_envelope(envelope, status)
