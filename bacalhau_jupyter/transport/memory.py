"""Both ends of the message contract inside one process.

Each node and direction has a lane (`lanes`). With ``wire=True`` every message passes through the bytes that a remote
carrier would send.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TypeVar, cast

from bacalhau_jupyter.models.codec import decode, encode
from bacalhau_jupyter.models.errors import BacalhauError, NetworkFailure
from bacalhau_jupyter.models.wire.api import LogFrame
from bacalhau_jupyter.models.wire.envelope import data_metadata
from bacalhau_jupyter.models.wire.envelope import decode as wire_decode
from bacalhau_jupyter.models.wire.envelope import encode as wire_encode
from bacalhau_jupyter.models.wire.messages import (
    BacError,
    ControlRequest,
    ControlResponse,
    ExecutionLogsRequest,
)
from bacalhau_jupyter.transport.base import (
    ComputeMessageHandler,
    ControlHandler,
    DeliveryError,
    Envelope,
    LinkState,
    LogHandler,
    NodeMessageHandler,
    RefusalHandler,
    Way,
    ignore_refusal,
)
from bacalhau_jupyter.transport.lanes import Lane
from bacalhau_jupyter.transport.log_stream import LogStream
from bacalhau_jupyter.transport.wire import error_of, pack, unpack

C = TypeVar("C", bound=ControlRequest | ControlResponse)

LOG_QUEUE = 64
"""Frames that wait between a node's log handler and the reader; a full queue holds the handler back."""


class MemoryTransport:
    """A carrier without a network: one orchestrator, any number of nodes.

    Parameters
    ----------
    wire
        Encode and decode every message as a remote carrier does.
    ack_timeout_s
        Seconds a sender waits for the receiver's handler.
    request_timeout_s
        Seconds a control request waits for its answer.
    log_queue
        Log frames buffered per stream.
    ways
        How far some nodes are, by their ID, as on a carrier with a network.
    """

    def __init__(
        self,
        *,
        wire: bool = False,
        ack_timeout_s: float = 30.0,
        request_timeout_s: float = 10.0,
        log_queue: int = LOG_QUEUE,
        ways: dict[str, Way] | None = None,
    ) -> None:
        self.wire = wire
        self.ack_timeout_s = ack_timeout_s
        self.request_timeout_s = request_timeout_s
        self.log_queue = log_queue
        self.orchestrator_end = OrchestratorEnd(self)
        self.nodes: dict[str, ComputeEnd] = {}
        self.ways = ways or {}

    def compute_end(self, node_id: str) -> ComputeEnd:
        """Return a fresh end for the compute node ``node_id``."""
        return ComputeEnd(self, node_id)

    def carry(self, envelope: Envelope) -> Envelope:
        """Return what the receiver gets of a data-plane message."""
        if not self.wire:
            return envelope
        received = unpack(pack(envelope)[1])
        assert isinstance(received, Envelope)
        return received

    def carry_control(self, message: C, source: str) -> C:
        """Return what the receiver gets of a control message."""
        if not self.wire:
            return message
        return cast("C", wire_decode(wire_encode(message, data_metadata(source, time.time_ns())))[1])

    def carry_frame(self, frame: LogFrame) -> LogFrame:
        """Return what the reader gets of a log frame."""
        return decode(encode(frame), LogFrame) if self.wire else frame


def _carry_error(error: BacalhauError) -> BacalhauError:
    metadata = data_metadata("orchestrator-control", time.time_ns())
    decoded_error = wire_decode(wire_encode(BacError.of(error), metadata))[1]
    assert isinstance(decoded_error, BacError)
    return error_of(decoded_error)


class OrchestratorEnd:
    """The orchestrator's end (`transport.base.OrchestratorTransport`)."""

    def __init__(self, carrier: MemoryTransport) -> None:
        self._carrier = carrier
        self._control: ControlHandler | None = None
        self._messages: ComputeMessageHandler | None = None
        self._lanes: dict[str, Lane] = {}

    @property
    def state(self) -> LinkState:
        return LinkState(is_up=True)

    def way_to(self, node_id: str) -> Way:
        return self._carrier.ways.get(node_id, Way())

    async def serve(self, control: ControlHandler, messages: ComputeMessageHandler) -> None:
        self._control = control
        self._messages = messages

    async def send(self, node_id: str, envelope: Envelope) -> None:
        node = self._carrier.nodes.get(node_id)
        if node is None:
            raise DeliveryError(f"node {node_id} does not listen", component="Transport", retryable=True)
        await node.take(self._carrier.carry(envelope))

    async def cut(self, node_id: str) -> None:
        """There is nobody here whom one would cut off: near nodes are of this process."""

    def logs(self, request: ExecutionLogsRequest) -> AsyncIterator[LogFrame]:
        return self._logs(request)

    async def _logs(self, request: ExecutionLogsRequest) -> AsyncIterator[LogFrame]:
        node = self._carrier.nodes.get(request.node_id)
        if node is None:
            raise NetworkFailure(
                f"node {request.node_id} is not connected, so its logs can't be read",
                retryable=True,
            )
        stream = node.open_stream(request)
        try:
            while (frame := await stream.next()) is not None:
                yield self._carrier.carry_frame(frame)
        finally:
            await stream.close()

    async def close(self) -> None:
        self._control = self._messages = None
        lanes, self._lanes = list(self._lanes.values()), {}
        for lane in lanes:
            await lane.close()

    async def answer(self, node_id: str, message: ControlRequest) -> ControlResponse:
        """Answer a node's control request (called by the node's end)."""
        if self._control is None:
            raise DeliveryError("the orchestrator does not listen", component="Transport", retryable=True)
        return await self._control(node_id, message)

    async def take(self, node_id: str, envelope: Envelope) -> None:
        """Take a node's message (called by the node's end)."""
        handler = self._messages
        if handler is None:
            raise DeliveryError("the orchestrator does not listen", component="Transport", retryable=True)
        lane = self._lanes.get(node_id)
        if lane is None:
            lane = self._lanes[node_id] = Lane(lambda it: handler(node_id, it), f"transport {node_id} out")
        await lane.send(envelope, self._carrier.ack_timeout_s)

    async def forget(self, node_id: str) -> None:
        """End the lane of a node that went away."""
        lane = self._lanes.pop(node_id, None)
        if lane is not None:
            await lane.close()


class ComputeEnd:
    """A compute node's end (`transport.base.ComputeTransport`)."""

    def __init__(self, carrier: MemoryTransport, node_id: str) -> None:
        self._carrier = carrier
        self._node_id = node_id
        self._lane: Lane | None = None
        self._logs: LogHandler | None = None
        self._streams: set[LogStream] = set()

    @property
    def max_payload(self) -> int:
        return 0

    @property
    def state(self) -> LinkState:
        return LinkState(is_up=True)

    async def connect(
        self,
        node_id: str,
        messages: NodeMessageHandler,
        logs: LogHandler,
        refused: RefusalHandler = ignore_refusal,
    ) -> None:
        if node_id != self._node_id:
            raise DeliveryError(
                f"this end belongs to node {self._node_id}, not {node_id}", component="Transport"
            )
        await self.close()
        # The last to connect is the node, as with a restarted process behind a network.
        before = self._carrier.nodes.get(node_id)
        if before is not None:
            await before.close()
        self._logs = logs
        self._lane = Lane(messages, f"transport {node_id} in")
        self._carrier.nodes[node_id] = self

    async def request(self, message: ControlRequest) -> ControlResponse:
        end = self._carrier.orchestrator_end
        message = self._carrier.carry_control(message, self._node_id)
        try:
            async with asyncio.timeout(self._carrier.request_timeout_s):
                response = await end.answer(self._node_id, message)
        except TimeoutError as error:
            raise DeliveryError(
                f"the orchestrator did not answer within {self._carrier.request_timeout_s:g}s",
                component="Transport",
                retryable=True,
            ) from error
        except BacalhauError as error:
            if not self._carrier.wire or isinstance(error, DeliveryError):
                raise
            raise _carry_error(error) from error
        return self._carrier.carry_control(response, "orchestrator-control")

    async def send(self, envelope: Envelope) -> None:
        await self._carrier.orchestrator_end.take(self._node_id, self._carrier.carry(envelope))

    async def close(self) -> None:
        if self._carrier.nodes.get(self._node_id) is self:
            del self._carrier.nodes[self._node_id]
            await self._carrier.orchestrator_end.forget(self._node_id)
        lane, self._lane = self._lane, None
        if lane is not None:
            await lane.close()
        for stream in list(self._streams):
            await stream.abandon()

    async def take(self, envelope: Envelope) -> None:
        """Take a message of the orchestrator (called by its end)."""
        if self._lane is None:
            raise DeliveryError(
                f"node {self._node_id} does not listen", component="Transport", retryable=True
            )
        await self._lane.send(envelope, self._carrier.ack_timeout_s)

    def open_stream(self, request: ExecutionLogsRequest) -> LogStream:
        """Start a log stream (called by the orchestrator's end)."""
        if self._logs is None:
            raise NetworkFailure(f"node {self._node_id} is not connected")
        stream = LogStream(self._logs(request), self._carrier.log_queue, self._streams)
        self._streams.add(stream)
        return stream
