"""One connection to a NATS server, until it is lost.

Imported only when a link is opened, since nats-py takes 0.2 s and 25 MB.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace

from nats import errors
from nats.aio.msg import Msg

from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.transport.base import DeliveryError
from bacalhau_jupyter.transport.nats.faults import SubscriptionRefused, explain, is_mute, look
from bacalhau_jupyter.transport.nats.nats_py import OneServerClient, tls_options
from bacalhau_jupyter.transport.nats.settings import NatsSettings

_log = logging.getLogger(__name__)

MOST_PENDING = 32 << 20
"""Bytes that may wait for the server to take them."""


class Line:
    """A connection that works until it is lost.

    Parameters
    ----------
    settings
        How to reach the server, and with which credentials.
    server
        Which of the servers.
    must_encrypt
        Whether this server spoke TLS before, so that nothing is sent to it in plain text.
    """

    def __init__(self, settings: NatsSettings, server: str, *, must_encrypt: bool = False) -> None:
        if must_encrypt:
            settings = replace(settings, require_tls=True)
        self._settings = settings
        self._server = server
        self._client = OneServerClient(settings)
        self._refusals: list[str] = []
        self._problem: BaseException | None = None
        self.lost = asyncio.Event()

    @property
    def max_payload(self) -> int:
        """Bytes that one message may have."""
        return self._client.max_payload

    @property
    def is_encrypted(self) -> bool:
        """Whether it speaks TLS."""
        return self._client.is_encrypted

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
                    **await tls_options(settings, self._server),
                )
        except BaseException as error:
            await self.close()
            if not isinstance(error, Exception):
                raise
            refusal = self._client.refusal
            if refusal is None and is_mute(error):
                refusal = await look(self._server)
            raise explain(refusal or error, self._server, settings) from error
        self._client.when_unread(self._unread)

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
            # nats-py sends the question before what it has queued: only the second one comes after that.
            for _ in range(2):
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

    def _unread(self, error: BaseException | None) -> None:
        self._problem = self._problem or error
        self.lost.set()
