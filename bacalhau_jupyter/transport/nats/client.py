"""One connection of the nats-py client: never twice, never in plain text where TLS is asked for.

Imported only when a link is opened, since nats-py takes 0.2 s and 25 MB.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from nats import errors
from nats.aio.client import DEFAULT_BUFFER_SIZE, Client, Srv
from nats.aio.msg import Msg
from nats.aio.transport import TcpTransport

from bacalhau_jupyter.models.errors import BacalhauError, ConfigurationError
from bacalhau_jupyter.transport.base import DeliveryError
from bacalhau_jupyter.transport.nats.faults import PlainTextServer, SubscriptionRefused, explain
from bacalhau_jupyter.transport.nats.settings import NatsSettings

_log = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 2.0
"""Seconds for the last bytes; a server that takes none is left."""

MOST_PENDING = 32 << 20
"""Bytes that may wait for the server to take them."""

_CONNECT, _REFUSAL = b"CONNECT ", b"-ERR "


class Line:
    """A connection that works until it is lost.

    Parameters
    ----------
    settings
        How to reach the server, and with which credentials.
    server
        Which of the servers.
    """

    def __init__(self, settings: NatsSettings, server: str) -> None:
        self._settings = settings
        self._server = server
        self._client = _Client(settings)
        self._refusals: list[str] = []
        self._problem: BaseException | None = None
        self.lost = asyncio.Event()

    @property
    def max_payload(self) -> int:
        """Bytes that one message may have."""
        return self._client.max_payload

    @property
    def reason(self) -> BacalhauError:
        """Why the connection was lost."""
        problem = self._problem or self._client.last_error or errors.UnexpectedEOF()
        return explain(problem, self._server, self._settings)

    async def open(self) -> None:
        """Connect.

        Raises
        ------
        BacalhauError
            There is no connection; nothing of it is left.
        """
        settings = self._settings
        try:
            async with asyncio.timeout(2 * settings.connect_timeout_s):
                await self._client.connect(
                    [self._server],
                    name=settings.name,
                    token=settings.token or None,
                    user=settings.user or None,
                    password=settings.password or None,
                    inbox_prefix=settings.inbox_prefix,
                    allow_reconnect=False,
                    connect_timeout=settings.connect_timeout_s,  # type: ignore[arg-type]
                    ping_interval=settings.ping_interval_s,  # type: ignore[arg-type]
                    pending_size=2 * MOST_PENDING,
                    error_cb=self._noticed,
                    closed_cb=self._closed,
                    **await _tls(settings, self._server),
                )
        except BaseException as error:
            await self.close()
            if isinstance(error, Exception):
                raise explain(self._client.refusal or error, self._server, settings) from error
            raise

    async def listen(self, subject: str, callback: Callable[[Msg], Awaitable[None]]) -> None:
        """Call ``callback`` with each message; one after the other, so it must not wait for long."""
        await self._client.subscribe(subject, cb=callback)

    async def settle(self) -> None:
        """Wait until the server has done all that it was asked so far.

        Raises
        ------
        BacalhauError
            It did not in time, or refused a subscription.
        """
        try:
            await self._client.flush(self._settings.connect_timeout_s)  # type: ignore[arg-type]
            if self._refusals:
                raise SubscriptionRefused(self._refusals[0])
        except (errors.Error, OSError, TimeoutError) as error:
            raise explain(error, self._server, self._settings) from error

    async def publish(self, subject: str, data: bytes, reply: str, headers: dict[str, str] | None) -> None:
        """Send a message on its way.

        Raises
        ------
        DeliveryError
            It can't be sent.
        """
        if self._client.pending_data_size > MOST_PENDING:
            # nats-py would wait without end, and swallow a cancellation meanwhile.
            raise DeliveryError(
                f"the NATS server at {self._server} does not keep up: {MOST_PENDING >> 20} MB wait for it",
                component="NATS",
                retryable=True,
            )
        try:
            await self._client.publish(subject, data, reply=reply, headers=headers)
        except errors.MaxPayloadError as error:
            raise DeliveryError(
                f"a message of {len(data)} bytes is larger than the {self.max_payload} bytes that the NATS server at "
                f"{self._server} takes",
                hint="raise Orchestrator.MaxPayload, or send large data as an upload",
                code="ResourceExhausted",
                component="NATS",
            ) from error
        except errors.BadSubjectError as error:
            raise DeliveryError(f"{subject!r} is no subject of the protocol", component="NATS") from error
        except (errors.Error, OSError) as error:
            raise explain(error, self._server, self._settings) from error

    async def close(self) -> None:
        """End the connection; bounded, and nothing of it is left."""
        await self._client.end()
        self.lost.set()

    async def _noticed(self, error: Exception) -> None:
        text = str(error)
        if "permissions violation for subscription" in text.lower():
            self._refusals.append(text.removeprefix("nats: "))
        elif isinstance(error, errors.SlowConsumerError) or "permissions violation" in text.lower():
            _log.warning("NATS server %s: %s", self._server, text)
        else:
            self._problem = error

    async def _closed(self) -> None:
        self.lost.set()


class _Transport(TcpTransport):
    """Remembers what the server said last while the connection was made."""

    _last_line: bytes = b""

    @property
    def said(self) -> bytes:
        """The last line; what came with the end of the connection, asyncio keeps and does not give away."""
        return self._last_line + bytes(getattr(self._io_reader, "_buffer", b""))

    async def readline(self) -> bytes:
        self._last_line = await super().readline()  # type: ignore[no-untyped-call]
        if not self._last_line:
            # nats-py would go on without a connection.
            raise errors.UnexpectedEOF
        return self._last_line


class _Client(Client):
    def __init__(self, settings: NatsSettings) -> None:
        super().__init__()
        self._settings = settings

    @property
    def refusal(self) -> errors.Error | None:
        """What the server said in place of the line that nats-py expected."""
        said = self._transport.said if isinstance(self._transport, _Transport) else b""
        _, refusal, reason = said.partition(_REFUSAL)
        return errors.Error(reason.decode(errors="replace")) if refusal else None

    async def _select_next_server(self) -> None:
        # There is one server, and one attempt: who comes next, and when, is decided by `Connection`.
        server = self._server_pool[0]
        await self._connect_to_server(server)
        self._current_server = server

    async def _connect_to_server(self, s: Srv) -> None:
        self._transport = _Transport()  # type: ignore[no-untyped-call]
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
        writers = {getattr(self._transport, name, None) for name in ("_io_writer", "_bare_io_writer")}
        for writer in writers:
            if writer is not None:
                writer.transport.abort()
        others = [task for task in tasks if task is not None and task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others, timeout=CLOSE_TIMEOUT_S)


async def _tls(settings: NatsSettings, server: str) -> dict[str, Any]:
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
