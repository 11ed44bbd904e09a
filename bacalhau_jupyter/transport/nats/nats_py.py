"""nats-py as we need it: one attempt at one server, in plain text only where that is allowed, nothing left behind.

Imported only when a link is opened, since nats-py takes 0.2 s and 25 MB.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from nats import errors
from nats.aio.client import DEFAULT_BUFFER_SIZE, Client, Srv
from nats.aio.transport import TcpTransport
from nats.protocol.parser import AWAITING_CONTROL_LINE, Parser

from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.transport.nats.faults import GreetedFirst, PlainTextServer, refusal_in
from bacalhau_jupyter.transport.nats.settings import NatsSettings

_log = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 2.0
"""Seconds for the last bytes; a server that takes none is left."""

MOST_MESSAGE = 64 << 20
"""Bytes of the largest message that any NATS server takes."""
MOST_LINE = 1 << 16
"""Bytes of the longest line beside messages."""

_CONNECT = b"CONNECT "


class Transport(TcpTransport):
    """Remembers what the server said last while the connection was made."""

    _last_line: bytes = b""
    _held: bytes = b""

    @property
    def said(self) -> bytes:
        """The last line; what came with the end of the connection, asyncio keeps and does not give away."""
        return self._last_line + bytes(getattr(self._io_reader, "_buffer", b""))

    async def connect_tls(self, *arguments: Any, **options: Any) -> None:
        # A greeting that came before TLS began is in a reader that nobody reads again: nats-py would go on with TLS
        # where the server does too, and wait for that greeting until the time is up.
        greeting = getattr(self._bare_io_reader, "_buffer", b"") if not self._last_line else b""
        try:
            await super().connect_tls(*arguments, **options)
        except (OSError, TimeoutError) as error:
            if greeting:
                raise GreetedFirst from error
            raise
        if greeting:
            raise GreetedFirst

    def write(self, payload: bytes) -> None:
        # nats-py sends a ping after its introduction. A server that is about to hang up resets the connection at the
        # first of the two, and asyncio then drops, at the second, the sentence that it had not read yet.
        if payload.startswith(_CONNECT):
            self._held = payload
            return
        held, self._held = self._held, b""
        super().write(held + payload)  # type: ignore[no-untyped-call]

    def abort(self) -> None:
        """Close at once, with TLS and below it."""
        for writer in {self._io_writer, self._bare_io_writer}:
            if writer is not None:
                writer.transport.abort()

    async def readline(self) -> bytes:
        self._last_line = await super().readline()  # type: ignore[no-untyped-call]
        if not self._last_line:
            # nats-py would go on without a connection.
            raise errors.UnexpectedEOF
        return self._last_line


class BoundedParser(Parser):
    """Does not wait for a message, or a line, that is longer than a server's may be."""

    async def parse(self, data: bytes = b"") -> None:
        is_line = self.state == AWAITING_CONTROL_LINE
        # A message that is complete leaves its length behind.
        if (is_line and len(self.buf) > MOST_LINE) or (not is_line and self.needed > MOST_MESSAGE):
            raise errors.ProtocolError("nats: a message is longer than messages are")
        await super().parse(data)


class OneServerClient(Client):
    """A client that connects once, to the one server of its list."""

    def __init__(self, settings: NatsSettings) -> None:
        super().__init__()
        self._settings = settings
        self._ps = BoundedParser(self)
        self._is_write_due = False

    @property
    def is_encrypted(self) -> bool:
        """Whether what is sent passes in TLS."""
        writer = getattr(self._transport, "_io_writer", None)
        return writer is not None and writer.get_extra_info("ssl_object") is not None

    @property
    def refusal(self) -> errors.Error | None:
        """What the server said in place of the line that nats-py expected."""
        said = self._transport.said if isinstance(self._transport, Transport) else b""
        return refusal_in(said)

    def when_unread(self, tell: Callable[[BaseException | None], None]) -> None:
        """Call `tell` once nothing reads from the server any more, with the error where one ended it.

        nats-py calls `closed_cb` only where it could write what it had left: after a reset, it may not.
        """
        assert self._reading_task is not None, "it has connected"

        def ended(task: asyncio.Task[None]) -> None:
            tell(None if task.cancelled() else task.exception())

        self._reading_task.add_done_callback(ended)

    async def _select_next_server(self) -> None:
        # There is one server, and one attempt: who comes next, and when, is decided by `Connection`.
        server = self._server_pool[0]
        await self._connect_to_server(server)
        self._current_server = server

    async def _connect_to_server(self, s: Srv) -> None:
        self._transport = Transport()  # type: ignore[no-untyped-call]
        await self._transport.connect(
            s.uri, buffer_size=DEFAULT_BUFFER_SIZE, connect_timeout=self.options["connect_timeout"]
        )

    def _connect_command(self) -> bytes:
        settings = self._settings
        if settings.needs_tls and not settings.tls_first and not self._server_info.get("tls_required"):
            raise PlainTextServer
        command = super()._connect_command()
        if not (settings.token and settings.user):
            return command
        # A node of ours shows its own identity and the cluster's token; nats-py sends only one of the two.
        options = json.loads(command.removeprefix(_CONNECT))
        return _CONNECT + json.dumps(options | {"auth_token": settings.token}).encode() + b"\r\n"

    async def _flush_pending(self, force_flush: bool = False) -> Any:
        # nats-py wakes a task for each message. Here what is published in one turn of the loop is written at its end,
        # without a task; where the server does not keep up, that task waits for it, as before.
        if force_flush or not self.is_connected:
            return await super()._flush_pending(force_flush)
        if not self._is_write_due:
            self._is_write_due = True
            asyncio.get_running_loop().call_soon(self._write_due)

    def _write_due(self) -> None:
        self._is_write_due = False
        writer = getattr(self._transport, "_io_writer", None)
        if writer is None or not self.is_connected:
            return
        if writer.transport.get_write_buffer_size():
            if self._flush_queue is not None and self._flush_queue.empty():
                self._flush_queue.put_nowait(asyncio.get_running_loop().create_future())
            return
        if self._pending:
            # What can't be written any more, the reader of the connection finds out.
            with contextlib.suppress(OSError, RuntimeError):
                writer.write(b"".join(self._pending))
        # A ping is counted, too, but never waits here.
        self._pending, self._pending_data_size = [], 0

    async def _send_ping(self, future: asyncio.Future[bool] | None = None) -> None:
        # nats-py lets a ping overtake what it has not written yet: the answer would say nothing of that.
        if self._pending and self._transport is not None:
            self._transport.writelines(self._pending[:])
            self._pending, self._pending_data_size = [], 0
        await super()._send_ping(future)

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        try:
            await super()._process_msg(sid, subject, reply, data, headers)
        except Exception as error:
            # A subject or header that is not text: nats-py would stop reading, and stay "connected".
            _log.warning("a message on %r can't be read: %s", subject[:100], error)

    async def end(self) -> None:
        """Close, and wait until the tasks of this client are gone."""
        if self._flush_queue is None:
            return  # it was never asked to connect
        tasks = [self._reading_task, self._ping_interval_task, self._flusher_task]
        tasks += [subscription._wait_for_msgs_task for subscription in self._subs.values()]
        with contextlib.suppress(TimeoutError, errors.Error, OSError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                if self.is_connected:
                    # From now on the server tells those who ask that nobody listens.
                    for subscription in list(self._subs.values()):
                        await subscription.unsubscribe()
                    await self.flush(CLOSE_TIMEOUT_S)  # type: ignore[arg-type]
        with contextlib.suppress(TimeoutError, errors.Error, OSError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self.close()
        if isinstance(self._transport, Transport):
            self._transport.abort()
        others = [task for task in tasks if task is not None and task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others, timeout=CLOSE_TIMEOUT_S)


async def tls_options(settings: NatsSettings, server: str) -> dict[str, Any]:
    """Return the options of nats-py that belong to TLS; a context costs nothing where the server has none."""
    _no_eof_warnings()
    options: dict[str, Any] = {
        "tls_handshake_first": settings.tls_first,
        "tls_hostname": settings.tls_name or urlsplit(server).hostname,
        "tls": settings.tls_context,
    }
    if settings.tls_context is not None:
        return options
    try:
        options["tls"] = await asyncio.to_thread(_context, settings.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"the file of authorities {settings.ca_file} can't be used: {error}",
            hint="Compute.TLS.CACert names a PEM file with one or more certificates",
            component="NATS",
        ) from error
    return options


def _context(ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    # The file may hold the server's own certificate instead of the one that signed it.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


class _EofFilter(logging.Filter):
    """Drop what asyncio logs whenever a TLS connection of nats-py ends; it means nothing."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "returning true from eof_received()" not in str(record.msg)


_EOF_FILTER = _EofFilter()


def _no_eof_warnings() -> None:
    logging.getLogger("asyncio").addFilter(_EOF_FILTER)
