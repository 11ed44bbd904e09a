"""Messages that must arrive: sent until the other side has stored them, answered when we have."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

from bacalhau_jupyter.models.errors import BacalhauError, BadRequest
from bacalhau_jupyter.transport.base import DeliveryError, Envelope
from bacalhau_jupyter.transport.nats import frames, subjects
from bacalhau_jupyter.transport.nats.connection import Connection
from bacalhau_jupyter.transport.nats.inbox import Inbox, Question
from bacalhau_jupyter.transport.nats.lanes import Lanes
from bacalhau_jupyter.transport.wire import cut, pack, unpack

if TYPE_CHECKING:
    from nats.aio.msg import Msg

_log = logging.getLogger(__name__)

NACK_FIRST_S = 0.1
NACK_LIMIT_S = 5.0
"""Seconds after which a peer may send a refused message again: the first time, and at most."""

WENT_AWAY = "the other side went away"

Handler = Callable[[str, Envelope], Awaitable[None]]


class Sending:
    """The sender's side.

    Parameters
    ----------
    connection, inbox
        Carry messages and acknowledgements.
    ack_timeout_s
        Seconds until the other side must have stored a message.
    """

    def __init__(self, connection: Connection, inbox: Inbox, ack_timeout_s: float) -> None:
        self._connection = connection
        self._inbox = inbox
        self._ack_timeout_s = ack_timeout_s

    async def send(self, subject: str, envelope: Envelope, listener: str, *, names_subject: bool) -> None:
        """Deliver a message; returns once the other side has stored it; raises DeliveryError otherwise."""
        metadata, data = pack(envelope, subject if names_subject else "")
        question = Question(subject, data, listener, metadata)
        try:
            answer = await self._inbox.ask(question, self._ack_timeout_s)
        except TimeoutError as error:
            raise DeliveryError(
                f"message {envelope.seq} was not acknowledged within {self._ack_timeout_s:g}s",
                component="NATS",
                retryable=True,
            ) from error
        if answer == frames.ACK:
            return
        try:
            problem = cut(frames.read(answer, frames.Ack).error)
        except BadRequest as error:
            problem = f"the answer can't be read ({error})"
        if problem:
            raise DeliveryError(
                f"message {envelope.seq} was refused: {problem}", component="NATS", retryable=True
            )


class Receiving:
    """The receiver's side: one message of a node after the other, nodes side by side.

    Parameters
    ----------
    connection
        Carries acknowledgements.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lanes = Lanes("messages of", connection.settings.lane_messages, connection.settings.lane_bytes)
        self._failures: dict[str, int] = {}
        self._unanswered: dict[int, Msg] = {}
        self._handler: Handler | None = None

    def serve(self, handler: Handler) -> None:
        """Give messages to `handler` from now on."""
        self._handler = handler
        self._lanes.open()

    async def take(self, key: str, message: Msg) -> None:
        """Queue a message in the lane of a node."""
        if self._lanes.put(key, len(message.data), partial(self._handle, key, message)):
            self._unanswered[id(message)] = message
        else:
            problem = "too many messages wait here already" if self._handler else WENT_AWAY
            await self._answer(message, frames.nack(problem, NACK_LIMIT_S))

    async def close(self) -> None:
        """Stop; what was not handled is refused, so that it comes again."""
        self._handler = None
        await self._lanes.close()
        for message in list(self._unanswered.values()):
            await self._answer(message, frames.nack(WENT_AWAY, NACK_FIRST_S))

    async def _handle(self, key: str, message: Msg) -> None:
        handler = self._handler
        if handler is None:
            return
        try:
            envelope = unpack(message.data)
            if isinstance(envelope, Envelope):
                await handler(key, envelope)
            else:
                # As official nodes do: it would come again and again otherwise.
                _log.warning("%s sent a %s where it does not belong", key, type(envelope).__name__)
        except Exception as error:
            if not isinstance(error, BacalhauError):
                _log.exception("a message of %s could not be handled", key)
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            delay_s = min(NACK_FIRST_S * 2 ** min(failures - 1, 10), NACK_LIMIT_S)
            await self._answer(message, frames.nack(str(error) or type(error).__name__, delay_s))
        else:
            self._failures.pop(key, None)
            await self._answer(message, frames.ACK)

    async def _answer(self, message: Msg, data: bytes) -> None:
        self._unanswered.pop(id(message), None)
        if subjects.is_reply(message.reply):
            with contextlib.suppress(DeliveryError):
                await self._connection.publish(message.reply, data)
