"""The proxy of one execution: one request per connection, to allowed hosts, at the address that was judged."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bacalhau_jupyter.engines.network.accepting import flush
from bacalhau_jupyter.engines.network.domains import Domains
from bacalhau_jupyter.engines.network.heads import (
    UNTIL_THE_END,
    BadRequest,
    Request,
    chunk_size,
    parse_request,
    rewrite_response,
)
from bacalhau_jupyter.models.errors import Forbidden
from bacalhau_jupyter.plugins.threads import in_thread
from bacalhau_jupyter.transfer.core.reach import Reach

COMPONENT = "JobNetwork"
TUNNEL_PORTS = frozenset({443})
"""Where ``CONNECT`` may lead, as upstream."""
PLAIN_PORTS = frozenset({80, 443})
"""Where plain HTTP may lead, beside ports from 1025 on, as upstream."""
CONNECTIONS = 128
"""Connections of one job at a time."""
REFUSALS = 16
"""Connections beyond these that are told so at a time; further ones wait until they are taken."""
LOOK_UPS = 4
"""Names of one job that are looked up at a time: a silent name server holds a thread for half a minute."""
HEAD_LIMIT = 64 * 1024
HEAD_TIMEOUT_S = 60.0
CONNECT_TIMEOUT_S = 20.0
IDLE_TIMEOUT_S = 600.0
"""Seconds without a byte in either direction."""
_CHUNK = 64 * 1024
_DISCARDED, _DISCARDED_S = 1 << 20, 2.0
_REASONS = {400: "Bad Request", 403: "Forbidden", 502: "Bad Gateway", 503: "Service Unavailable"}
_ERRORS = {
    400: "http_request_error",
    403: "http_request_denied",
    502: "destination_unavailable",
    503: "connection_limit_reached",
}
"""By status, as RFC 9209 names it: so a client knows what was not said by the server."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rules:
    """What one execution may reach.

    Attributes
    ----------
    job_id
        Told to servers that are asked in plain HTTP, as upstream.
    domains
        Of the task.
    reach
        Which addresses this machine connects to for others, and how it looks names up.
    blocked
        Is told of each request that is refused, in a sentence; called on the proxy's own thread.
    """

    job_id: str
    domains: Domains
    reach: Reach
    blocked: Callable[[str], None]


class Refused(Exception):
    """A request is not carried out; ``status`` is the answer's."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Proxy:
    """Answers the connections of one execution; used on one event loop."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._at_once = 0
        self._look_ups = asyncio.Semaphore(LOOK_UPS)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry out one request; to be called for each connection, on a task that whoever calls it may cancel."""
        self._at_once += 1
        try:
            await self._serve(reader, writer)
        except (OSError, TimeoutError, EOFError, BadRequest):
            pass
        except Exception:
            _log.exception("a request of job %s failed", self._rules.job_id)
        finally:
            self._at_once -= 1
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._at_once > CONNECTIONS:
                raise Refused(503, f"this job has {CONNECTIONS} connections already")
            request = await self._request(reader)
            self._judge(request)
            there, out = await self._connect(request)
        except Refused as refused:
            await _answer(writer, refused)
            await _discard(reader)
            return
        try:
            if request.tunnel:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await _both(_copy(reader, out), _copy(there, writer))
                await flush(out)
            else:
                out.write(request.head)
                sending, answering = (
                    _body(reader, out, request.length),
                    _response(there, writer, bodiless=request.bodiless),
                )
                await _both(sending, answering, second_decides=True)
        finally:
            # A server that does not read must hold nothing here.
            out.transport.abort()

    async def _request(self, reader: asyncio.StreamReader) -> Request:
        try:
            async with asyncio.timeout(HEAD_TIMEOUT_S):
                head = await reader.readuntil(b"\r\n\r\n")
            return parse_request(head, self._rules.job_id)
        except asyncio.LimitOverrunError:
            raise Refused(400, f"the head of the request is longer than {HEAD_LIMIT} bytes") from None
        except BadRequest as error:
            raise Refused(400, str(error)) from None

    def _judge(self, request: Request) -> None:
        place = f"{request.host}:{request.port}"
        if not self._rules.domains.allow(request.host):
            self._refuse(place, f"its Network.Domains are {self._rules.domains}")
        if request.tunnel:
            if request.port not in TUNNEL_PORTS:
                self._refuse(place, "tunnels (CONNECT) lead to port 443 only")
        elif request.port not in PLAIN_PORTS and request.port < 1025:
            self._refuse(place, "plain HTTP leads to ports 80, 443 and above 1024 only")

    def _refuse(self, place: str, why: str) -> None:
        reason = f"this job may not reach {place}: {why}"
        self._rules.blocked(reason)
        raise Refused(403, reason)

    async def _connect(self, request: Request) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to one of the addresses that the name has now; nothing looks it up again."""
        place = f"{request.host}:{request.port}"
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                async with self._look_ups:
                    look_up = functools.partial(self._look_up, request.host, request.port)
                    entries = await asyncio.wrap_future(in_thread(look_up))
        except Forbidden as error:
            self._refuse(place, f"{error.message} ({error.hint})")
        except (OSError, UnicodeError):
            raise Refused(502, f"{request.host} has no address") from None
        except TimeoutError:
            raise Refused(502, f"no name server tells the address of {request.host}") from None
        problem = "it has no address"
        for entry in entries:
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    return await asyncio.open_connection(*entry[4][:2], limit=HEAD_LIMIT)
            except TimeoutError:
                problem = f"no answer within {CONNECT_TIMEOUT_S:g} s"
            except OSError as error:
                problem = error.strerror or str(error)
        raise Refused(502, f"{place} can't be reached: {problem}")

    def _look_up(self, host: str, port: int) -> Sequence[Any]:
        return self._rules.reach.public(host, port, COMPONENT, named=self._rules.domains.addresses)


async def _answer(writer: asyncio.StreamWriter, refused: Refused) -> None:
    body = f"bacalhau: {refused}\n".encode()
    head = (
        f"HTTP/1.1 {refused.status} {_REASONS[refused.status]}\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nProxy-Status: bacalhau; error={_ERRORS[refused.status]}\r\n"
        "Connection: close\r\n\r\n"
    )
    writer.write(head.encode() + body)
    async with asyncio.timeout(HEAD_TIMEOUT_S):
        await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()


async def _discard(reader: asyncio.StreamReader) -> None:
    """Read what a client still sends: a connection that is closed before would take the answer along."""
    left = _DISCARDED
    with contextlib.suppress(TimeoutError, OSError):
        async with asyncio.timeout(_DISCARDED_S):
            while left > 0 and (data := await reader.read(_CHUNK)):
                left -= len(data)


async def _both(first: Awaitable[None], second: Awaitable[None], *, second_decides: bool = False) -> None:
    """Do both at once until both have ended, or the one that decides has."""
    tasks = [asyncio.ensure_future(first), asyncio.ensure_future(second)]
    try:
        if second_decides:
            await tasks[1]
        else:
            await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _some(reader: asyncio.StreamReader, limit: int = _CHUNK) -> bytes:
    async with asyncio.timeout(IDLE_TIMEOUT_S):
        return await reader.read(limit)


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    async with asyncio.timeout(IDLE_TIMEOUT_S):
        await writer.drain()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await _some(reader):
        await _send(writer, data)
    with contextlib.suppress(OSError):
        writer.write_eof()


async def _body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, length: int | None) -> None:
    """Send on the body of a message, and nothing that follows it."""
    if length == UNTIL_THE_END:
        await _copy(reader, writer)
        return
    if length is not None:
        await _exactly(reader, writer, length)
        return
    while True:
        size = chunk_size(await _line(reader))
        if not size:
            break
        await _send(writer, b"%x\r\n" % size)
        await _exactly(reader, writer, size)
        if await _line(reader) != b"\r\n":
            raise BadRequest("a chunk is longer than it says")
        await _send(writer, b"\r\n")
    while await _line(reader) != b"\r\n":
        continue  # trailers are not sent on
    await _send(writer, b"0\r\n\r\n")


async def _line(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(IDLE_TIMEOUT_S):
        return await reader.readuntil(b"\r\n")


async def _exactly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, length: int) -> None:
    while length:
        data = await _some(reader, min(length, _CHUNK))
        if not data:
            raise EOFError
        length -= len(data)
        await _send(writer, data)


async def _response(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, bodiless: bool) -> None:
    """Send back the answer, and say that the connection ends with it."""
    while True:
        try:
            async with asyncio.timeout(IDLE_TIMEOUT_S):
                answer = rewrite_response(await reader.readuntil(b"\r\n\r\n"), bodiless=bodiless)
        except (BadRequest, asyncio.LimitOverrunError, asyncio.IncompleteReadError):
            await _answer(writer, Refused(502, "the server's answer can't be read"))
            return
        await _send(writer, answer.head)
        if answer.status >= 200:
            break
    await _body(reader, writer, answer.length)
