"""Questions of nodes, and what the orchestrator answers: the response, or its error."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.models.errors import BacalhauError, NotFound, ResourceExhausted
from bacalhau_jupyter.models.wire.envelope import (
    ERROR_CODE,
    MESSAGE_ID,
    STATUS_CODE,
    data_metadata,
    decode,
    encode,
    full_metadata,
)
from bacalhau_jupyter.models.wire.messages import (
    TYPE_NAMES,
    BacError,
    ControlRequest,
    ControlResponse,
    Message,
)
from bacalhau_jupyter.transport.base import ControlHandler, DeliveryError
from bacalhau_jupyter.transport.nats import subjects
from bacalhau_jupyter.transport.nats.connection import Connection
from bacalhau_jupyter.transport.nats.lanes import Lanes

if TYPE_CHECKING:
    from nats.aio.msg import Msg

_log = logging.getLogger(__name__)

MOST_QUESTIONS = 256
MOST_BYTES = 8 << 20
"""What may wait of one node."""


class Answering:
    """Answers questions, one of a node after the other, nodes side by side.

    Parameters
    ----------
    connection, clock
        Carries and dates the answers.
    source
        Who they say sent them.
    """

    def __init__(self, connection: Connection, clock: Clock, source: str) -> None:
        self._connection = connection
        self._clock = clock
        self._source = source
        self._lanes = Lanes("questions of", MOST_QUESTIONS, MOST_BYTES)
        self._handler: ControlHandler | None = None
        self._is_question: Callable[[ControlRequest], bool] = lambda _: False

    def serve(self, handler: ControlHandler, *, is_question: Callable[[ControlRequest], bool]) -> None:
        """Let `handler` answer from now on; a request that is no question of this subject is not found."""
        self._handler, self._is_question = handler, is_question
        self._lanes.open()

    async def take(self, node_id: str, message: Msg) -> None:
        """Queue a question in the lane of its node."""
        if not subjects.is_reply(message.reply):
            _log.warning("node %s asks without a place to answer on", node_id)
            return
        if not self._lanes.put(node_id, len(message.data), partial(self._handle, node_id, message)):
            await self._fail(
                message, ResourceExhausted("too many requests of this node wait", retryable=True)
            )

    async def close(self) -> None:
        """Stop answering."""
        self._handler = None
        await self._lanes.close()

    async def _handle(self, node_id: str, message: Msg) -> None:
        handler = self._handler
        if handler is None:
            return
        try:
            request = self._understood(message.data)
            response: ControlResponse = await handler(node_id, request)
        except BacalhauError as error:
            await self._fail(message, error)
        except Exception:
            _log.exception("a request of node %s could not be answered", node_id)
            await self._fail(message, BacalhauError("the orchestrator could not answer", retryable=True))
        else:
            await self._reply(message, response, {})

    def _understood(self, data: bytes) -> ControlRequest:
        try:
            request = decode(data)[1]
        except BacalhauError as error:
            raise BacalhauError(
                f"failed to deserialize request: {error}", code="", component="Envelope"
            ) from error
        if not isinstance(request, ControlRequest) or not self._is_question(request):
            raise NotFound(
                f"no handler found for message type: {TYPE_NAMES[type(request)]}", component="NATS"
            )
        return request

    async def _fail(self, message: Msg, error: BacalhauError) -> None:
        facts = {STATUS_CODE: str(error.status), ERROR_CODE: error.code}
        await self._reply(message, BacError.of(error), facts)

    async def _reply(self, message: Msg, answer: Message, facts: dict[str, str]) -> None:
        metadata = data_metadata(self._source, self._clock.now_ns()) | facts
        message_id = (message.headers or {}).get(MESSAGE_ID)
        if message_id:
            metadata[MESSAGE_ID] = message_id
        with contextlib.suppress(DeliveryError):
            await self._connection.publish(
                message.reply, encode(answer, metadata), headers=full_metadata(answer, metadata)
            )
