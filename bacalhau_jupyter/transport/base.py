"""The message contract between orchestrator and compute, free of any carrier.

Delivery is at least once: a sender keeps a message in its outbox until `send` returns, the receiver's handler returns
only after it has stored what the message changed, and handlers are idempotent per execution ID. Messages of one node
and direction are begun in order and may be handled side by side, those about one execution one after the other.
Sequence numbers rise but may have gaps.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.wire.api import LogFrame
from bacalhau_jupyter.models.wire.messages import (
    ControlRequest,
    ControlResponse,
    ExecutionLogsRequest,
    ToCompute,
    ToOrchestrator,
)


@dataclass(frozen=True)
class LinkState:
    """How a way to the other side is.

    Attributes
    ----------
    is_up
        Whether messages pass now.
    reason
        Why they do not, one sentence for people; empty while they do.
    since_ns
        Since when it is so, Unix nanoseconds; 0 where it never was otherwise.
    place
        Where it leads, as the person named it (``nats://gpu-box:4222``); empty inside a process.
    """

    is_up: bool
    reason: str = ""
    since_ns: int = 0
    place: str = ""


@dataclass(frozen=True)
class Way:
    """How messages get to one node.

    Attributes
    ----------
    kind
        ``memory`` inside this process, ``nats`` otherwise.
    payload_limit
        Largest size of a message in bytes, including its envelope; None if there is no limit.
    is_here
        Whether the node is known to run on this machine: it reaches what listens at loopback.
    """

    kind: str = "memory"
    payload_limit: int | None = None
    is_here: bool = False

    @property
    def is_far(self) -> bool:
        """Whether the node is another process, perhaps on another machine."""
        return self.kind != "memory"


@dataclass(frozen=True)
class Envelope:
    """A data-plane message with the sender's sequence number and event time (Unix nanoseconds)."""

    message: ToCompute | ToOrchestrator
    seq: int
    event_time_ns: int
    source: str


class DeliveryError(BacalhauError):
    """The other side did not take a message (no listener, refused, no answer in time): send it again later."""

    default_code = "NetworkFailure"


class NotTaken(DeliveryError):
    """The other side listens, and refused a message or did not answer in time."""


ControlHandler = Callable[[str, ControlRequest], Awaitable[ControlResponse]]
"""Answers a control request of a node; raises BacalhauError (`HandshakeRequired` among them) to refuse."""

ComputeMessageHandler = Callable[[str, Envelope], Awaitable[None]]
"""Takes a message of a node (node ID, envelope); returns after the change is stored."""

NodeMessageHandler = Callable[[Envelope], Awaitable[None]]
"""Takes a message of the orchestrator; returns after the change is stored."""

RefusalHandler = Callable[[int], None]
"""Hears of a message that was refused before it could be handled, by its sequence number; 0 where that is unknown."""

LogHandler = Callable[[ExecutionLogsRequest], AsyncIterator[LogFrame]]
"""Streams an execution's output; many at a time."""


def ignore_refusal(seq: int) -> None:
    """Do nothing about a message that was refused: its sender sends it again."""


class OrchestratorTransport(Protocol):
    """The orchestrator's end."""

    @property
    def state(self) -> LinkState:
        """How the way to the nodes is."""
        ...

    def way_to(self, node_id: str) -> Way:
        """Return how messages get to a node, whether it listens or not."""
        ...

    async def serve(self, control: ControlHandler, messages: ComputeMessageHandler) -> None:
        """Start to answer nodes."""
        ...

    async def send(self, node_id: str, envelope: Envelope) -> None:
        """Deliver a message; returns once the node has stored it.

        Raises
        ------
        DeliveryError
            It was not taken.
        """
        ...

    async def cut(self, node_id: str) -> None:
        """End the connections of a node, where that can be done: it is not welcome, or somebody else has its ID."""
        ...

    def logs(self, request: ExecutionLogsRequest) -> AsyncIterator[LogFrame]:
        """Stream an execution's output from its node; raises BacalhauError when the node is gone."""
        ...

    async def close(self) -> None:
        """Stop answering; nothing of it is left running."""
        ...


class ComputeTransport(Protocol):
    """A compute node's end."""

    @property
    def state(self) -> LinkState:
        """How the way to the orchestrator is; being up says nothing of the handshake."""
        ...

    @property
    def max_payload(self) -> int:
        """Bytes that one message may have; 0 where that is not known, or there is no limit."""
        ...

    async def connect(
        self,
        node_id: str,
        messages: NodeMessageHandler,
        logs: LogHandler,
        refused: RefusalHandler = ignore_refusal,
    ) -> None:
        """Start to receive; must be done before the handshake, since messages may arrive during it.

        Raises
        ------
        DeliveryError
            The orchestrator's carrier can't be reached.
        """
        ...

    async def request(self, message: ControlRequest) -> ControlResponse:
        """Ask the orchestrator.

        Raises
        ------
        BacalhauError
            The orchestrator refused (`HandshakeRequired` among others) or did not answer.
        """
        ...

    async def send(self, envelope: Envelope) -> None:
        """Deliver a message; returns once the orchestrator has stored it.

        Raises
        ------
        DeliveryError
            It was not taken.
        """
        ...

    async def close(self) -> None:
        """Stop receiving."""
        ...
