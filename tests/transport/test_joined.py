"""Near and far nodes of one orchestrator."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bacalhau_jupyter.models.errors import Conflict, NetworkFailure
from bacalhau_jupyter.models.wire.api import LogFrame, LogLine
from bacalhau_jupyter.models.wire.messages import (
    ControlRequest,
    ControlResponse,
    ExecutionLogsRequest,
    HeartbeatRequest,
    HeartbeatResponse,
)
from bacalhau_jupyter.transport.base import DeliveryError, Envelope, Way
from bacalhau_jupyter.transport.joined import JoinedOrchestratorEnd
from bacalhau_jupyter.transport.memory import MemoryTransport
from tests.services.nats import PlainNatsServer
from tests.transport.carriers import OverNats, bid, cancel, no_logs, nothing

NEAR = "n-near"


class Orchestrator:
    """Notices who sent what."""

    def __init__(self) -> None:
        self.senders: list[str] = []

    async def control(self, node_id: str, request: ControlRequest) -> ControlResponse:
        return HeartbeatResponse(last_compute_seq_num=1)

    async def message(self, node_id: str, message: Envelope) -> None:
        self.senders.append(node_id)


@pytest.fixture
async def far(nats_server: PlainNatsServer) -> AsyncIterator[OverNats]:
    carrier = OverNats(nats_server.url, nats_server.token)
    yield carrier
    await carrier.close()


async def logs(request: ExecutionLogsRequest) -> AsyncIterator[LogFrame]:
    yield LogFrame(value=LogLine(type=1, line=f"{request.node_id}\n"))


async def read(joined: JoinedOrchestratorEnd, node_id: str) -> list[str]:
    request = ExecutionLogsRequest(execution_id="e", node_id=node_id)
    return [frame.value.line async for frame in joined.logs(request)]


async def test_an_orchestrator_opens_to_far_nodes_and_shuts_again_while_near_ones_notice_nothing(
    far: OverNats,
) -> None:
    memory, orchestrator = MemoryTransport(), Orchestrator()
    joined = JoinedOrchestratorEnd(memory.orchestrator_end, {NEAR}.__contains__)
    await joined.serve(orchestrator.control, orchestrator.message)
    near = memory.compute_end(NEAR)
    await near.connect(NEAR, nothing, logs)
    node = far.compute_end("n-far")
    await node.connect("n-far", nothing, logs)
    assert joined.state.is_up
    assert joined.way_to("n-far") == Way("nats")
    with pytest.raises(DeliveryError, match="the orchestrator does not listen"):
        await node.request(HeartbeatRequest(node_id="n-far"))
    with pytest.raises(
        DeliveryError, match="node n-far is on another machine, and the orchestrator is not open"
    ):
        await joined.send("n-far", cancel(1))

    await joined.open(far.orchestrator_end)
    assert joined.far is far.orchestrator_end
    assert joined.state == far.orchestrator_end.state
    assert joined.way_to(NEAR) == Way()
    assert joined.way_to("n-far") == Way("nats", 8 << 20)
    for node_id, end in ((NEAR, near), ("n-far", node)):
        await joined.send(node_id, cancel(1))
        await end.send(bid(1))
        assert await end.request(HeartbeatRequest(node_id=node_id)) == HeartbeatResponse(
            last_compute_seq_num=1
        )
        assert await read(joined, node_id) == [f"{node_id}\n"]
    assert orchestrator.senders == [NEAR, "n-far"]
    with pytest.raises(Conflict, match="already open to other nodes at nats://"):
        await joined.open(far.orchestrator_end)

    await joined.shut()
    await joined.shut()
    await joined.send(NEAR, cancel(2))
    with pytest.raises(DeliveryError, match="is not open"):
        await joined.send("n-far", cancel(2))
    with pytest.raises(DeliveryError, match="the orchestrator does not listen"):
        await node.send(bid(2))
    with pytest.raises(NetworkFailure, match="node n-far is not connected"):
        await read(joined, "n-far")
    await joined.close()


async def test_a_far_node_can_not_use_the_id_of_a_near_one(far: OverNats) -> None:
    memory, orchestrator = MemoryTransport(), Orchestrator()
    joined = JoinedOrchestratorEnd(memory.orchestrator_end, {NEAR}.__contains__)
    await joined.open(far.orchestrator_end)
    await joined.serve(orchestrator.control, orchestrator.message)
    impostor = far.compute_end(NEAR)
    received: list[Envelope] = []

    async def take(envelope: Envelope) -> None:
        received.append(envelope)

    await impostor.connect(NEAR, take, logs)
    with pytest.raises(Conflict, match=f"node ID {NEAR} belongs to the orchestrator's own machine"):
        await impostor.request(HeartbeatRequest(node_id=NEAR))
    with pytest.raises(DeliveryError, match="belongs to the orchestrator's own machine"):
        await impostor.send(bid(1))
    near = memory.compute_end(NEAR)
    await near.connect(NEAR, nothing, no_logs)
    await joined.send(NEAR, cancel(1))
    assert received == []
    assert await read(joined, NEAR) == []
    assert orchestrator.senders == []
    await joined.close()


async def test_a_link_that_can_not_be_served_leaves_the_orchestrator_as_it_was() -> None:
    async def fail(control: object, messages: object) -> None:
        raise NetworkFailure("no")

    memory, broken, orchestrator = MemoryTransport(), MemoryTransport().orchestrator_end, Orchestrator()
    broken.serve = fail  # type: ignore[method-assign]
    joined = JoinedOrchestratorEnd(memory.orchestrator_end, {NEAR}.__contains__)
    await joined.serve(orchestrator.control, orchestrator.message)
    with pytest.raises(NetworkFailure):
        await joined.open(broken)
    assert joined.far is None
    await joined.close()
