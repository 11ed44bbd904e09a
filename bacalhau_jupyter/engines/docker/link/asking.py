"""Calls to a Docker Engine that tell whether it is there: on the event loop, without the SDK."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from bacalhau_jupyter.engines.docker.endpoints import Endpoint, Tls

if TYPE_CHECKING:
    import aiohttp

PING_TIMEOUT_S = 15.0
_MOST_BYTES = 1 << 20
# Nothing carries this label: the stream stays silent, and its end tells that the engine, or the way to it, has gone.
_SILENCE = json.dumps({"label": ["bacalhau-jupyter.pulse"]})
# A peer that has vanished without a word is noticed after 20 s.
KEEPALIVE: dict[str, int] = {
    "TCP_KEEPIDLE": 5,
    "TCP_KEEPALIVE": 5,
    "TCP_KEEPINTVL": 5,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": 20_000,
}


class NotAnEngine(Exception):
    """Something answers, but no Docker Engine; the message holds its words."""


class Asker:
    """Asks the engine at one endpoint.

    Parameters
    ----------
    context
        For endpoints with TLS: see `tls_context`.
    """

    def __init__(self, endpoint: Endpoint, context: ssl.SSLContext | None = None) -> None:
        self._endpoint, self._context = endpoint, context
        self._session: aiohttp.ClientSession | None = None

    async def ping(self, timeout_s: float = PING_TIMEOUT_S) -> None:
        """Make sure that an engine answers.

        Raises
        ------
        NotAnEngine
            Something else does.
        OSError, aiohttp.ClientError, TimeoutError
            Nothing does.
        """
        async with asyncio.timeout(timeout_s), self._opened().get(self._url("/_ping")) as answer:
            body = (await answer.content.read(200)).decode(errors="replace").strip()
            if answer.status != 200:
                raise NotAnEngine(body or f"HTTP {answer.status}")

    async def info(self, timeout_s: float = PING_TIMEOUT_S) -> dict[str, Any]:
        """Return what the engine tells of itself and its machine.

        Raises
        ------
        NotAnEngine
            Something else answers.
        OSError, aiohttp.ClientError, TimeoutError
            Nothing does.
        """
        async with asyncio.timeout(timeout_s), self._opened().get(self._url("/info")) as answer:
            body = await answer.content.read(_MOST_BYTES)
            while more := await answer.content.read(_MOST_BYTES):
                if len(body) > _MOST_BYTES:
                    raise NotAnEngine("its answer is too long")
                body += more
        try:
            answered = json.loads(body)
        except (ValueError, RecursionError):
            answered = None
        if not isinstance(answered, dict) or "ServerVersion" not in answered:
            raise NotAnEngine("it does not say what it is")
        return answered

    async def pulse(self) -> None:
        """Hold a stream of the engine's events, of which none will come; returns when it ends, whatever the reason."""
        import aiohttp

        with contextlib.suppress(OSError, aiohttp.ClientError, TimeoutError):
            limits = aiohttp.ClientTimeout(sock_connect=PING_TIMEOUT_S)
            async with self._opened().get(
                self._url("/events"), params={"filters": _SILENCE}, timeout=limits
            ) as answer:
                connection = answer.connection
                if connection is not None and connection.transport is not None:
                    _keep_alive(connection.transport.get_extra_info("socket"))
                async for _ in answer.content.iter_any():
                    pass

    async def close(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
            if self._context is not None:
                # The end of a TLS connection takes turns of the loop that aiohttp does not wait for.
                await asyncio.sleep(0)

    def _opened(self) -> aiohttp.ClientSession:
        import aiohttp

        if self._session is None:
            path = self._endpoint.socket
            connector: aiohttp.BaseConnector
            if path is not None:
                connector = aiohttp.UnixConnector(str(path))
            else:
                connector = aiohttp.TCPConnector(ssl=self._context or True)
            self._session = aiohttp.ClientSession(
                connector=connector, timeout=aiohttp.ClientTimeout(total=None), auto_decompress=False
            )
        return self._session

    def _url(self, path: str) -> str:
        if self._endpoint.socket is not None:
            return f"http://docker{path}"
        scheme = "http" if self._context is None else "https"
        return f"{scheme}://{urlsplit(self._endpoint.url).netloc}{path}"


def tls_context(tls: Tls) -> ssl.SSLContext:
    """Return what a connection with these files needs. Reads them, so it blocks.

    Raises
    ------
    FileNotFoundError
        One of them is missing; ``filename`` names it.
    OSError, ssl.SSLError
        One can't be read, or holds something else.
    """
    shows_itself = tls.cert.exists() or tls.key.exists()
    for path in (*([tls.ca] if tls.verify else []), *([tls.cert, tls.key] if shows_itself else [])):
        # OpenSSL does not tell which file it misses.
        path.open("rb").close()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if tls.verify:
        context.load_verify_locations(tls.ca)
    else:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if shows_itself:
        context.load_cert_chain(tls.cert, tls.key)
    return context


def _keep_alive(connection: Any) -> None:
    if connection is None or connection.family not in (socket.AF_INET, socket.AF_INET6):
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE.items():
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
