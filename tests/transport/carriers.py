"""Both carriers behind one face, so that a test runs on each of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Protocol

from bacalhau_jupyter.lib.clock import SystemClock
from bacalhau_jupyter.models.errors import HandshakeRequired
from bacalhau_jupyter.models.wire.api import LogFrame
from bacalhau_jupyter.models.wire.messages import (
    BidResult,
    CancelExecution,
    ControlRequest,
    ControlResponse,
    ExecutionLogsRequest,
)
from bacalhau_jupyter.transport.base import ComputeTransport, Envelope, OrchestratorTransport
from bacalhau_jupyter.transport.memory import MemoryTransport
from bacalhau_jupyter.transport.nats.compute import NatsComputeEnd
from bacalhau_jupyter.transport.nats.orchestrator import NatsOrchestratorEnd
from bacalhau_jupyter.transport.nats.settings import NatsSettings
from bacalhau_jupyter.transport.nats.subjects import node_inbox

WAIT_S = 60.0
WINDOW = 8


class Carrier(Protocol):
    """An orchestrator's end, and as many nodes' ends as a test asks for."""

    @property
    def orchestrator_end(self) -> OrchestratorTransport:
        """The orchestrator's end."""
        ...

    def compute_end(self, node_id: str) -> ComputeTransport:
        """Return a fresh end for a node."""
        ...

    async def close(self) -> None:
        """End what the test has not ended."""
        ...


class InMemory:
    """Both ends in one process."""

    def __init__(self, *, wire: bool, timeout_s: float) -> None:
        self._transport = MemoryTransport(
            wire=wire, ack_timeout_s=timeout_s, request_timeout_s=timeout_s, log_queue=WINDOW
        )

    @property
    def orchestrator_end(self) -> OrchestratorTransport:
        return self._transport.orchestrator_end

    def compute_end(self, node_id: str) -> ComputeTransport:
        return self._transport.compute_end(node_id)

    async def close(self) -> None:
        return


def nats_settings(url: str, token: str, name: str, timeout_s: float = WAIT_S) -> NatsSettings:
    """Return the settings of an end named `name`."""
    return NatsSettings(
        servers=(url,),
        name=name,
        token=token,
        inbox_prefix=node_inbox(name),
        connect_timeout_s=WAIT_S,
        ack_timeout_s=timeout_s,
        request_timeout_s=timeout_s,
        log_queue=WINDOW,
    )


class OverNats:
    """Both ends as clients of a NATS server."""

    def __init__(self, url: str, token: str, timeout_s: float = WAIT_S, **changes: float) -> None:
        self._settings = replace(nats_settings(url, token, "orchestrator", timeout_s), **changes)  # type: ignore[arg-type]
        self._nodes: list[NatsComputeEnd] = []
        self.orchestrator_end = NatsOrchestratorEnd(self._settings, SystemClock())

    def compute_end(self, node_id: str) -> NatsComputeEnd:
        settings = replace(self._settings, name=node_id, inbox_prefix=node_inbox(node_id))
        end = NatsComputeEnd(node_id, settings, SystemClock())
        self._nodes.append(end)
        return end

    async def close(self) -> None:
        for node in self._nodes:
            await node.close()
        await self.orchestrator_end.close()


# ---- handlers and messages that tests share


async def nothing(envelope: Envelope) -> None:
    """Take a message."""


async def no_logs(request: ExecutionLogsRequest) -> AsyncIterator[LogFrame]:
    """Have no log."""
    return
    yield


async def refuse_control(node_id: str, request: ControlRequest) -> ControlResponse:
    """Know no node."""
    raise HandshakeRequired(
        f"node {node_id} not connected - handshake required", component="ConnectionManager"
    )


async def take_message(node_id: str, envelope: Envelope) -> None:
    """Take a message of a node."""


def cancel(number: int) -> Envelope:
    """Return a message to a node."""
    return Envelope(
        CancelExecution(execution_id=f"e-{number}"), number, 1_700_000_000_000_000_000, "orchestrator-n"
    )


def bid(number: int) -> Envelope:
    """Return a message to the orchestrator."""
    return Envelope(BidResult(execution_id=f"e-{number}", accepted=True), number, 5, "n")


async def soon(event: asyncio.Event) -> None:
    """Wait for an event."""
    await asyncio.wait_for(event.wait(), WAIT_S)
