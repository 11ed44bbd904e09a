"""A compute node's end of the link."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.lib.ids import IdSource, uuid4
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.wire.envelope import data_metadata, decode, encode, full_metadata
from bacalhau_jupyter.models.wire.messages import (
    BacError,
    ControlRequest,
    ControlResponse,
    PreSignURLRequest,
)
from bacalhau_jupyter.transport import node_ids
from bacalhau_jupyter.transport.base import (
    DeliveryError,
    Envelope,
    LinkState,
    LogHandler,
    NodeMessageHandler,
    RefusalHandler,
    ignore_refusal,
)
from bacalhau_jupyter.transport.nats import subjects
from bacalhau_jupyter.transport.nats.connection import Connection
from bacalhau_jupyter.transport.nats.delivery import Receiving, Sending
from bacalhau_jupyter.transport.nats.inbox import Inbox, Question
from bacalhau_jupyter.transport.nats.log_writers import LogWriters
from bacalhau_jupyter.transport.nats.settings import NatsSettings
from bacalhau_jupyter.transport.wire import error_of

if TYPE_CHECKING:
    from nats.aio.msg import Msg

THE_ORCHESTRATOR = "the orchestrator"


class NatsComputeEnd:
    """A compute node's end (`transport.base.ComputeTransport`).

    Parameters
    ----------
    node_id
        Whose end it is.
    settings
        How to reach the NATS server.
    clock
        Dates states and messages.
    ids
        Makes names of subjects that nobody guesses.
    """

    def __init__(self, node_id: str, settings: NatsSettings, clock: Clock, ids: IdSource = uuid4) -> None:
        if problem := node_ids.problem_of(node_id):
            raise BadRequest(problem, hint="letters, digits, - and _ are fine")
        self._node_id = node_id
        self._settings = settings
        self._clock = clock
        self._connection = Connection(settings, clock)
        self._inbox = Inbox(self._connection, ids)
        self._sending = Sending(self._connection, self._inbox, settings.ack_timeout_s)
        self._receiving = Receiving(self._connection)
        self._writers = LogWriters(node_id, self._connection, self._inbox)
        self._connection.subscribe(subjects.orders(node_id), self._take)

    @property
    def state(self) -> LinkState:
        return self._connection.state

    @property
    def max_payload(self) -> int:
        """Bytes that one message to the orchestrator may have; 0 while that is not known."""
        return self._connection.max_payload

    async def connect(
        self,
        node_id: str,
        messages: NodeMessageHandler,
        logs: LogHandler,
        refused: RefusalHandler = ignore_refusal,
    ) -> None:
        """Start to receive, or make the connection again; an attempt that fails goes on in the background.

        Raises
        ------
        DeliveryError
            The NATS server can't be reached, or refuses this node.
        """
        if node_id != self._node_id:
            raise DeliveryError(f"this end belongs to node {self._node_id}, not {node_id}", component="NATS")
        # Who introduces himself again has no streams, for the orchestrator.
        await self._writers.end_all()
        self._receiving.serve(lambda _, envelope: messages(envelope), refused)
        self._writers.serve(logs)
        await self._connection.open()
        if not self._connection.state.is_up:
            raise self._connection.down_error()

    async def request(self, message: ControlRequest) -> ControlResponse:
        metadata = data_metadata(self._node_id, self._clock.now_ns())
        is_upload = isinstance(message, PreSignURLRequest)
        question = Question(
            subjects.requests(self._node_id) if is_upload else subjects.control(self._node_id),
            encode(message, metadata),
            THE_ORCHESTRATOR,
            full_metadata(message, metadata),
        )
        try:
            data = await self._inbox.ask(question, self._settings.request_timeout_s)
        except TimeoutError as error:
            raise DeliveryError(
                f"the orchestrator did not answer within {self._settings.request_timeout_s:g}s",
                component="NATS",
                retryable=True,
            ) from error
        try:
            answer = decode(data)[1]
        except BadRequest as error:
            raise DeliveryError(
                f"the orchestrator's answer can't be read: {error}", component="NATS", retryable=True
            ) from error
        if isinstance(answer, BacError):
            raise error_of(answer)
        if not isinstance(answer, ControlResponse):
            raise DeliveryError(
                f"the orchestrator answered with a {type(answer).__name__}", component="NATS", retryable=True
            )
        return answer

    async def send(self, envelope: Envelope) -> None:
        await self._sending.send(
            subjects.reports(self._node_id), envelope, THE_ORCHESTRATOR, names_subject=False
        )

    async def close(self) -> None:
        await self._writers.close()
        await self._receiving.close()
        await self._connection.close()

    async def _take(self, message: Msg) -> None:
        await self._receiving.take(self._node_id, message)
