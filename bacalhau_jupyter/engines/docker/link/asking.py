"""Calls to a Docker Engine that tell whether it is there: on the event loop, without the SDK.

They are in HTTP 1.0, so that an answer is all that comes until the end. A connection is for one call, and is dropped
without farewells: over a way that is broken, those would be waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
from collections.abc import AsyncIterator, Collection
from typing import Any
from urllib.parse import quote, urlsplit

from bacalhau_jupyter.engines.docker.connecting import keepalive
from bacalhau_jupyter.engines.docker.endpoints import Endpoint, Tls
from bacalhau_jupyter.models.told import mapping, words

PING_TIMEOUT_S = 15.0
_CLOSE_S = 1.0
_MOST_BYTES = 1 << 20
_LONGEST_WORDS = 200
# Nothing carries this label: the stream stays silent, and its end tells that the engine, or the way to it, has gone.
_SILENCE = quote(json.dumps({"label": ["bacalhau-jupyter.pulse"]}))


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

    async def ping(self, timeout_s: float = PING_TIMEOUT_S) -> None:
        """Make sure that an engine answers.

        Raises
        ------
        NotAnEngine
            Something else does.
        OSError, TimeoutError
            Nothing does.
        """
        await self._get("/_ping", timeout_s)

    async def info(self, timeout_s: float = PING_TIMEOUT_S) -> dict[str, Any]:
        """Return what the engine tells of itself and its machine.

        Raises
        ------
        NotAnEngine
            Something else answers.
        OSError, TimeoutError
            Nothing does.
        """
        body = await self._get("/info", timeout_s)
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict) or "ServerVersion" not in answer:
            raise NotAnEngine("it does not say what it is")
        return answer

    async def pulse(self) -> None:
        """Hold a stream of the engine's events, of which none will come; returns when it ends, whatever the reason."""
        with contextlib.suppress(OSError, TimeoutError, NotAnEngine):
            async with self._connected(PING_TIMEOUT_S) as (reader, writer):
                async with asyncio.timeout(PING_TIMEOUT_S):
                    await _request(reader, writer, f"/events?filters={_SILENCE}")
                while await reader.read(4096):
                    pass

    async def ended(self, names: Collection[str], since_s: float) -> bool:
        """Wait until a container of one of these names ends; False where the engine stops telling before.

        Parameters
        ----------
        since_s
            From when on, in Unix seconds of the engine's clock.
        """
        filters = quote(json.dumps({"type": ["container"], "event": ["die"]}))
        with contextlib.suppress(OSError, TimeoutError, NotAnEngine, ValueError, RecursionError):
            async with self._connected(PING_TIMEOUT_S) as (reader, writer):
                async with asyncio.timeout(PING_TIMEOUT_S):
                    await _request(reader, writer, f"/events?since={since_s:.3f}&filters={filters}")
                # A line that is too long is a ValueError.
                while line := await reader.readline():
                    attributes = mapping(mapping(mapping(json.loads(line)).get("Actor")).get("Attributes"))
                    if words(attributes.get("name")) in names:
                        return True
        return False

    async def _get(self, path: str, timeout_s: float) -> bytes:
        async with asyncio.timeout(timeout_s), self._connected(timeout_s) as (reader, writer):
            await _request(reader, writer, path)
            body = bytearray()
            while piece := await reader.read(65536):
                body += piece
                if len(body) > _MOST_BYTES:
                    raise NotAnEngine("its answer is too long")
            return bytes(body)

    @contextlib.asynccontextmanager
    async def _connected(
        self, timeout_s: float
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        path = self._endpoint.socket
        async with asyncio.timeout(timeout_s):
            if path is not None:
                reader, writer = await asyncio.open_unix_connection(str(path))
            else:
                parts = urlsplit(self._endpoint.url)
                reader, writer = await asyncio.open_connection(parts.hostname, parts.port, ssl=self._context)
                _keep_alive(writer.get_extra_info("socket"))
        try:
            yield reader, writer
        finally:
            writer.transport.abort()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(_CLOSE_S):
                    await writer.wait_closed()


async def _request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> None:
    """Send a request, and read the answer's head.

    Raises
    ------
    NotAnEngine
        The answer is not HTTP, or reports an error.
    OSError
        The connection breaks before.
    """
    writer.write(f"GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
    await writer.drain()
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode(errors="replace")
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            raise ConnectionResetError("it closed the connection without an answer") from None
        head = error.partial.decode(errors="replace")
    except asyncio.LimitOverrunError:
        raise NotAnEngine("it does not speak HTTP") from None
    version, _, status = head.partition("\r\n")[0].partition(" ")
    if not version.startswith("HTTP/"):
        raise NotAnEngine("it does not speak HTTP")
    if not status.startswith("200"):
        words = (await reader.read(_LONGEST_WORDS)).decode(errors="replace").strip()
        raise NotAnEngine(words or f"HTTP {status}")


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
        # Without a password: one would be asked for at the terminal.
        context.load_cert_chain(tls.cert, tls.key, password="")
    return context


def _keep_alive(connection: socket.socket | None) -> None:
    if connection is not None:
        for option in keepalive():
            connection.setsockopt(*option)
