"""A NATS connection that does only what a light node needs: some thousand of them fit into one process.

A connection of a client library costs several tasks and buffers; this one is a parser and a socket.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

CONNECT_TIMEOUT_S = 60.0
_END = b"\r\n"
_STATUS = re.compile(rb"NATS/1\.0 (\d+)")


@dataclass(frozen=True)
class Arrival:
    """A message: where it was sent to, where an answer goes (empty: nowhere), and the status of the server.

    ``status`` is 0 for what a client sent, 503 where nobody listened to a request.
    """

    subject: str
    reply: str
    data: bytes
    status: int = 0


Handler = Callable[[Arrival], None]


class Refused(Exception):
    """The server ended the connection; the message is its sentence."""


class Wire(asyncio.Protocol):
    """One connection; made by `dial`."""

    def __init__(self, name: str, token: str) -> None:
        self._name, self._token = name, token
        self._buffer = bytearray()
        self._handlers: dict[int, Handler] = {}
        self._transport: asyncio.Transport | None = None
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.is_closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.is_closed = True
        self._fail(str(error or "the connection was closed"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        at = 0
        while (end := self._buffer.find(_END, at)) >= 0:
            line = bytes(self._buffer[at:end])
            verb = line[:4].upper()
            if verb in (b"MSG ", b"HMSG"):
                words = line.split()
                size = int(words[-1])
                start = end + 2
                if len(self._buffer) < start + size + 2:
                    break
                self._message(words, bytes(self._buffer[start : start + size]))
                at = start + size + 2
                continue
            at = end + 2
            if verb == b"PING":
                self._write(b"PONG\r\n")
            elif verb == b"PONG":
                if not self._ready.done():
                    self._ready.set_result(None)
            elif verb == b"INFO":
                self._greet()
            elif verb == b"-ERR":
                self._fail(line[5:].decode(errors="replace").strip("'"))
        del self._buffer[:at]

    def _greet(self) -> None:
        if self._ready.done():
            return
        about = {
            "verbose": False,
            "pedantic": False,
            "lang": "python",
            "version": "0",
            "protocol": 1,
            "headers": True,
            "no_responders": True,
            "echo": True,
            "name": self._name,
        }
        if self._token:
            about["auth_token"] = self._token
        self._write(b"CONNECT " + json.dumps(about).encode() + b"\r\nPING\r\n")

    def _message(self, words: list[bytes], data: bytes) -> None:
        has_headers = words[0].upper() == b"HMSG"
        status = 0
        if has_headers:
            length = int(words[-2])
            match = _STATUS.match(data)
            status = int(match[1]) if match else 0
            data = data[length:]
        has_reply = len(words) == (6 if has_headers else 5)
        reply = words[3].decode() if has_reply else ""
        handler = self._handlers.get(int(words[2]))
        if handler is not None:
            handler(Arrival(words[1].decode(), reply, data, status))

    def _fail(self, reason: str) -> None:
        if not self._ready.done():
            self._ready.set_exception(Refused(reason))

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self.is_closed:
            self._transport.write(data)

    async def ready(self) -> None:
        """Wait until the server has taken the connection.

        Raises
        ------
        Refused
            It did not.
        """
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await self._ready

    def subscribe(self, subject: str, handler: Handler) -> None:
        """Hear a subject; the handler is called in the order of arrival."""
        number = len(self._handlers) + 1
        self._handlers[number] = handler
        self._write(f"SUB {subject} {number}\r\n".encode())

    def publish(self, subject: str, data: bytes, reply: str = "") -> None:
        """Send a message."""
        head = f"PUB {subject} {reply} {len(data)}\r\n" if reply else f"PUB {subject} {len(data)}\r\n"
        self._write(head.encode() + data + _END)

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.close()


async def dial(url: str, *, name: str, token: str = "") -> Wire:
    """Open a connection to ``nats://host:port``.

    Raises
    ------
    Refused, OSError
        The server refuses it, or nothing listens there.
    """
    place = urlsplit(url)
    loop = asyncio.get_running_loop()
    _, wire = await loop.create_connection(
        lambda: Wire(name, token), place.hostname or "127.0.0.1", place.port or 4222
    )
    await wire.ready()
    return wire
