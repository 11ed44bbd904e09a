"""An unmodified official node whose reports are answered as we answer them; ``BACALHAU_STOCK_BINARY`` names it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from bacalhau_jupyter.models.jobs.spec import replace
from bacalhau_jupyter.models.records.execution import ComputeState, ExecutionStateType
from bacalhau_jupyter.models.wire.messages import (
    AskForBid,
    ControlRequest,
    ControlResponse,
    HandshakeRequest,
    HandshakeResponse,
    HeartbeatRequest,
    HeartbeatResponse,
    ShutdownNoticeRequest,
    ShutdownNoticeResponse,
    UpdateNodeInfoResponse,
)
from bacalhau_jupyter.transport.base import DeliveryError, Envelope
from bacalhau_jupyter.transport.wire import execution_of
from tests.compute.makers import make_execution
from tests.services.nats import PlainNatsServer
from tests.services.official_compute import guests_of
from tests.services.official_orchestrator import needs_official
from tests.transport.carriers import OverNats

pytestmark = needs_official

NODE = "n-official"
PATIENCE_S = 60.0


class RefusesTheFirst:
    """Lets an official node in, and refuses its first report once: when the second one is handled."""

    def __init__(self) -> None:
        self.joined = asyncio.Event()
        self.second = asyncio.Event()
        self.changed = asyncio.Event()
        self.seen = 0
        self.taken: list[str] = []

    async def control(self, node_id: str, request: ControlRequest) -> ControlResponse:
        if isinstance(request, HandshakeRequest):
            return HandshakeResponse(accepted=True, reason="welcome")
        if isinstance(request, HeartbeatRequest):
            self.joined.set()
            return HeartbeatResponse()
        if isinstance(request, ShutdownNoticeRequest):
            return ShutdownNoticeResponse()
        return UpdateNodeInfoResponse(accepted=True)

    async def message(self, node_id: str, envelope: Envelope) -> None:
        self.seen += 1
        if self.seen == 1:
            await self.second.wait()
            raise DeliveryError("no room for the first report")
        self.taken.append(execution_of(envelope.message))
        self.second.set()
        self.changed.set()

    async def until_taken(self, executions: set[str]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not executions <= set(self.taken):
                self.changed.clear()
                await self.changed.wait()


async def test_an_official_node_goes_on_after_a_refused_report_beside_an_acknowledged_one(
    nats_server: PlainNatsServer, tmp_path: Path
) -> None:
    orchestrator = RefusesTheFirst()
    carrier = OverNats(nats_server.url, nats_server.token, PATIENCE_S)
    await carrier.orchestrator_end.serve(orchestrator.control, orchestrator.message)

    async def offer(number: int) -> str:
        execution = replace(
            make_execution(node_id=NODE), compute_state=ComputeState(state_type=ExecutionStateType.NEW)
        )
        await carrier.orchestrator_end.send(
            NODE,
            Envelope(AskForBid(execution=execution), number, 1_700_000_000_000_000_000, "orchestrator-n"),
        )
        return execution.id

    try:
        with guests_of(tmp_path, nats_server.url, nats_server.token) as start:
            start(NODE)
            await asyncio.wait_for(orchestrator.joined.wait(), PATIENCE_S)
            offers = {await offer(1), await offer(2)}
            await orchestrator.until_taken(offers)
            await orchestrator.until_taken({await offer(3)})
    finally:
        await carrier.close()
