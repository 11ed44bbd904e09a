"""Messages that must arrive: sent until the other side has stored them, answered when we have."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

from bacalhau_jupyter.models.errors import BacalhauError, BadRequest
from bacalhau_jupyter.models.wire.messages import BidRejected, CancelExecution, Message
from bacalhau_jupyter.transport.base import Envelope, NotTaken, RefusalHandler, ignore_refusal
from bacalhau_jupyter.transport.nats import frames
from bacalhau_jupyter.transport.nats.answers import NACK_FIRST_S, NACK_LIMIT_S, WENT_AWAY, Answers, Expected
from bacalhau_jupyter.transport.nats.connection import Connection
from bacalhau_jupyter.transport.nats.inbox import Inbox, Question
from bacalhau_jupyter.transport.nats.lanes import Lanes
from bacalhau_jupyter.transport.nats.window import Windows
from bacalhau_jupyter.transport.wire import cut, execution_of, pack, seq_of, unpack

if TYPE_CHECKING:
    from nats.aio.msg import Msg

_log = logging.getLogger(__name__)

AT_ONCE = 32
"""Messages of one node that are handled at the same time."""

DECODED_BYTES = 64 << 10
"""Size up to which a message waits as it was read."""

FREEING = (BidRejected, CancelExecution)
"""What gives back what the next offer may need: that is not looked at before."""

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
        self._windows = Windows()

    async def send(self, subject: str, envelope: Envelope, listener: str, *, names_subject: bool) -> None:
        """Deliver a message; returns once the other side has stored it; raises DeliveryError otherwise."""
        metadata, data = pack(envelope, subject if names_subject else "")
        question = Question(subject, data, listener, metadata)
        try:
            async with self._windows.room(subject, len(data)):
                answer = await self._inbox.ask(question, self._ack_timeout_s)
        except TimeoutError as error:
            raise NotTaken(
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
            raise NotTaken(f"message {envelope.seq} was refused: {problem}", component="NATS", retryable=True)


class Receiving:
    """The receiver's side: messages of a node are begun in order, those about one execution one after the other.

    What is handled at the same time is stored together, so that a disk that takes long holds up nobody.

    Parameters
    ----------
    connection
        Carries acknowledgements.
    """

    def __init__(self, connection: Connection) -> None:
        settings = connection.settings
        self._answers = Answers(connection)
        self._lanes = Lanes("messages of", settings.lane_messages, settings.lane_bytes, AT_ONCE)
        self._most_messages = settings.lane_messages
        self._failures: dict[str, int] = {}
        self._handler: Handler | None = None
        self._refused: RefusalHandler = ignore_refusal

    def serve(self, handler: Handler, refused: RefusalHandler = ignore_refusal) -> None:
        """Give messages to `handler` from now on; `refused` hears of those that never get there."""
        self._handler, self._refused = handler, refused
        self._lanes.open()

    async def take(self, key: str, message: Msg) -> None:
        """Queue a message in the lane of a node."""
        size = len(message.data)
        is_full = self._answers.count(key) >= self._most_messages
        if is_full or not self._lanes.has_room(key, size):
            problem = "too many messages wait here already" if self._handler else WENT_AWAY
            self._note_refused(message)
            await self._answers.refuse(key, message.reply, frames.nack(problem, NACK_LIMIT_S))
            return
        try:
            content = unpack(message.data)
        except BadRequest as error:
            self._note_refused(message)
            await self._answers.refuse(key, message.reply, self._refusal(key, error))
            return
        # Decoded, a message takes several times as much memory: a large one is decoded again when it is its turn.
        kept = content if size <= DECODED_BYTES else message.data
        work = partial(self._handle, key, self._answers.expect(key, message.reply), kept)
        if isinstance(content, Envelope):
            about, is_first = execution_of(content.message), isinstance(content.message, FREEING)
            self._lanes.put(key, size, work, about=about, is_first=is_first)
        else:
            self._lanes.put(key, size, work)

    async def close(self) -> None:
        """Stop; what was not handled is refused, so that it comes again."""
        self._handler = None
        await self._lanes.close()
        await self._answers.close()

    async def _handle(self, key: str, expected: Expected, kept: Envelope | Message | bytes) -> None:
        handler = self._handler
        if handler is None:
            return
        try:
            content = unpack(kept) if isinstance(kept, bytes) else kept
            if isinstance(content, Envelope):
                await handler(key, content)
            else:
                # As official nodes do: it would come again and again otherwise.
                _log.warning("%s sent a %s where it does not belong", key, type(content).__name__)
        except Exception as error:
            if not isinstance(error, BacalhauError):
                _log.exception("a message of %s could not be handled", key)
            answer = self._refusal(key, error)
        else:
            self._failures.pop(key, None)
            answer = frames.ACK
        await self._answers.give(key, expected, answer)

    def _note_refused(self, message: Msg) -> None:
        if self._refused is not ignore_refusal:
            self._refused(seq_of(message.headers, message.data))

    def _refusal(self, key: str, error: Exception) -> bytes:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        delay_s = min(NACK_FIRST_S * 2 ** min(failures - 1, 10), NACK_LIMIT_S)
        return frames.nack(str(error) or type(error).__name__, delay_s)
