"""The link between nodes: a message there and its acknowledgement back, and a log line at its reader."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from bacalhau_jupyter.lib.clock import SystemClock
from bacalhau_jupyter.models.wire.api import LogFrame, LogLine
from bacalhau_jupyter.models.wire.messages import (
    CancelExecution,
    ControlRequest,
    ControlResponse,
    ExecutionLogsRequest,
    HeartbeatResponse,
)
from bacalhau_jupyter.transport.base import ComputeTransport, Envelope, OrchestratorTransport
from bacalhau_jupyter.transport.memory import MemoryTransport
from bacalhau_jupyter.transport.nats.compute import NatsComputeEnd
from bacalhau_jupyter.transport.nats.orchestrator import NatsOrchestratorEnd
from bacalhau_jupyter.transport.nats.settings import NatsSettings
from benchmarks.harness import Row, needing_services
from tests.services.nats import PlainNatsServer

NODE = "n-bench"
LINE_PAUSE_S = 0.002


def measure(quick: bool) -> list[Row]:
    """Both ends in this process, so each figure holds the work of both."""
    rounds = 300 if quick else 3000
    memory = asyncio.run(_over_memory(rounds))
    with needing_services(), tempfile.TemporaryDirectory(prefix="bacalhau-bench-") as directory:
        server = PlainNatsServer(Path(directory))
        try:
            nats = asyncio.run(_over_nats(server, rounds))
        finally:
            server.close()
    return [
        Row("message acknowledged over NATS, p50", nats[0], "ms", raw=memory[0], raw_name="in memory"),
        Row("log line at its reader over NATS, p50", nats[1], "ms", memory[1], "in memory", target=15),
    ]


async def _over_memory(rounds: int) -> tuple[float, float]:
    transport = MemoryTransport(wire=True)
    return await _figures(transport.orchestrator_end, transport.compute_end(NODE), rounds)


async def _over_nats(server: PlainNatsServer, rounds: int) -> tuple[float, float]:
    settings = NatsSettings(servers=(server.url,), name=NODE, token=server.token)
    clock = SystemClock()
    return await _figures(NatsOrchestratorEnd(settings, clock), NatsComputeEnd(NODE, settings, clock), rounds)


async def _figures(
    orchestrator: OrchestratorTransport, node: ComputeTransport, rounds: int
) -> tuple[float, float]:
    """Return milliseconds of a message and its acknowledgement, and of a log line, each the median."""
    await orchestrator.serve(_control, _take)
    await node.connect(NODE, _nothing, lambda request: _lines(rounds // 3))
    acknowledged = []
    for number in range(rounds):
        started = time.perf_counter()
        message = CancelExecution(execution_id=f"e-{number}")
        await orchestrator.send(NODE, Envelope(message, number + 1, time.time_ns(), "orchestrator"))
        acknowledged.append((time.perf_counter() - started) * 1e3)
    frames = orchestrator.logs(ExecutionLogsRequest(execution_id="e", node_id=NODE))
    read = [(time.perf_counter_ns() - int(frame.value.line)) / 1e6 async for frame in frames]
    await node.close()
    await orchestrator.close()
    return statistics.median(acknowledged), statistics.median(read)


async def _control(node_id: str, request: ControlRequest) -> ControlResponse:
    return HeartbeatResponse()


async def _take(node_id: str, envelope: Envelope) -> None:
    return


async def _nothing(envelope: Envelope) -> None:
    return


async def _lines(count: int) -> AsyncIterator[LogFrame]:
    for _ in range(count):
        await asyncio.sleep(LINE_PAUSE_S)
        yield LogFrame(value=LogLine(type=1, line=str(time.perf_counter_ns())))
