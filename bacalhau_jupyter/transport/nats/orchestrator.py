"""The orchestrator's end of the link."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.lib.ids import IdSource, uuid4
from bacalhau_jupyter.models.codec import encode
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.wire.api import LogFrame
from bacalhau_jupyter.models.wire.messages import (
    ControlRequest,
    ControlResponse,
    ExecutionLogsRequest,
    HandshakeRequest,
    PreSignURLRequest,
)
from bacalhau_jupyter.transport.base import (
    ComputeMessageHandler,
    ControlHandler,
    DeliveryError,
    Envelope,
    LinkState,
    Way,
)
from bacalhau_jupyter.transport.nats import frames, subjects
from bacalhau_jupyter.transport.nats.answering import Answering
from bacalhau_jupyter.transport.nats.connection import Connection
from bacalhau_jupyter.transport.nats.delivery import Receiving, Sending
from bacalhau_jupyter.transport.nats.inbox import Inbox
from bacalhau_jupyter.transport.nats.log_readers import LogReaders
from bacalhau_jupyter.transport.nats.settings import NatsSettings
from bacalhau_jupyter.transport.node_ids import is_node_id

if TYPE_CHECKING:
    from nats.aio.msg import Msg

_log = logging.getLogger(__name__)

Taker = Callable[[str, "Msg"], Awaitable[None]]

CONTROL_SOURCE = "orchestrator-control"
NCL = "ncl/v1"
MOST_TOLD = 1000
"""Nodes of too old a version of which the log tells, once each."""

REQUESTS_SOURCE = "orchestrator-data-plane-responder"


class NatsOrchestratorEnd:
    """The orchestrator's end (`transport.base.OrchestratorTransport`).

    What a node says counts only on the subjects of its own ID; answers go to inboxes and nowhere else.

    Parameters
    ----------
    settings
        How to reach the NATS server.
    clock
        Dates states and messages.
    ids
        Makes names of subjects that nobody guesses.
    cutter
        Ends the connections of a node, where the server lets us.
    is_here
        Whether a node connects from this machine, as far as the server tells.
    """

    def __init__(
        self,
        settings: NatsSettings,
        clock: Clock,
        ids: IdSource = uuid4,
        cutter: Callable[[str], Awaitable[None]] | None = None,
        is_here: Callable[[str], bool] = lambda node_id: False,
    ) -> None:
        self._settings = settings
        self._cutter = cutter
        self._is_here = is_here
        self._connection = Connection(settings, clock)
        self._readers = LogReaders(self._connection, clock, ids)
        self._sending = Sending(self._connection, Inbox(self._connection, ids), settings.ack_timeout_s)
        self._receiving = Receiving(self._connection)
        self._control = Answering(self._connection, clock, CONTROL_SOURCE)
        self._requests = Answering(self._connection, clock, REQUESTS_SOURCE)
        self._too_old: set[str] = set()
        self._connection.subscribe(subjects.CONTROL, partial(self._take, self._control.take))
        self._connection.subscribe(subjects.REQUESTS, partial(self._take, self._requests.take))
        self._connection.subscribe(subjects.MESSAGES, partial(self._take, self._receiving.take))
        self._connection.subscribe(subjects.REGISTRATIONS, self._refuse_legacy)

    @property
    def state(self) -> LinkState:
        return self._connection.state

    def way_to(self, node_id: str) -> Way:
        return Way("nats", self._connection.max_payload or None, is_here=self._is_here(node_id))

    async def serve(self, control: ControlHandler, messages: ComputeMessageHandler) -> None:
        """Start to answer nodes. Where the server can't be reached, `state` says so, and it is tried for ever."""

        async def answered(node_id: str, request: ControlRequest) -> ControlResponse:
            if isinstance(request, HandshakeRequest):
                self._readers.restarted(node_id)
            return await control(node_id, request)

        self._control.serve(answered, is_question=lambda request: not isinstance(request, PreSignURLRequest))
        self._requests.serve(control, is_question=lambda request: isinstance(request, PreSignURLRequest))
        self._receiving.serve(messages)
        await self._connection.open()

    async def send(self, node_id: str, envelope: Envelope) -> None:
        await self._sending.send(subjects.orders(node_id), envelope, f"node {node_id}", names_subject=True)

    def logs(self, request: ExecutionLogsRequest) -> AsyncIterator[LogFrame]:
        return self._readers.read(request)

    async def cut(self, node_id: str) -> None:
        if self._cutter is not None:
            await self._cutter(node_id)

    async def close(self) -> None:
        await self._readers.close()
        for part in (self._control, self._requests, self._receiving):
            await part.close()
        await self._connection.close()

    async def _take(self, take: Taker, message: Msg) -> None:
        node_id = subjects.sender(message.subject)
        if not is_node_id(node_id):
            _log.warning("a message comes from %r, which is no node's ID", node_id[:100])
            return
        self._readers.heard(node_id)
        await take(node_id, message)

    async def _refuse_legacy(self, message: Msg) -> None:
        try:
            info = frames.read(message.data, frames.RegisterNodeRequest).info
        except BadRequest as error:
            _log.warning("a registration by the legacy protocol can't be read: %s", error)
            return
        reason = frames.NO_LEGACY
        if NCL not in (info.supported_protocols or ()):
            reason = frames.TOO_OLD
            node_id = subjects.sender(message.subject)
            if node_id not in self._too_old and len(self._too_old) < MOST_TOLD:
                self._too_old.add(node_id)
                _log.warning("node %s can't join: %s", node_id, reason)
        answer = frames.RegisterNodeResponse(value=frames.RegisterNodeResult(accepted=False, reason=reason))
        if subjects.is_reply(message.reply):
            with contextlib.suppress(DeliveryError):
                await self._connection.publish(message.reply, encode(answer))
