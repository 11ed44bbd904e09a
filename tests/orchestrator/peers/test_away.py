"""An orchestrator that was away for longer than it lets nodes be silent: nodes had no chance to be heard."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, cast

import pytest

from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.models.jobs.job import JobStateType
from bacalhau_jupyter.models.jobs.spec import Timeouts
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.models.wire.messages import RunResult
from bacalhau_jupyter.orchestrator.base import ExecutionQuery
from bacalhau_jupyter.orchestrator.service import Orchestrator
from bacalhau_jupyter.transport.base import Envelope
from bacalhau_jupyter.transport.memory import MemoryTransport
from tests.clock import ManualClock
from tests.orchestrator.support import Peer, ended, noop_job, orchestrator, reached
from tests.services.nats import PlainNatsServer
from tests.transport.carriers import WAIT_S, InMemory, OverNats, no_logs, nothing

Cluster = Callable[..., AbstractAsyncContextManager[tuple[Orchestrator, MemoryTransport]]]

LIMITED = Timeouts(execution_timeout=10, queue_timeout=100_000)


@pytest.fixture(params=["memory", "nats"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    """Open an orchestrator with a carrier of its own: ``cluster(path, clock, **settings)``."""

    def carrier() -> InMemory | OverNats:
        if request.param == "memory":
            return InMemory(wire=True, timeout_s=WAIT_S)
        server: PlainNatsServer = request.getfixturevalue("nats_server")
        return OverNats(server.url, server.token)

    @contextlib.asynccontextmanager
    async def opened(
        path: Path, clock: Clock, **settings: Any
    ) -> AsyncIterator[tuple[Orchestrator, MemoryTransport]]:
        # Orchestrators and peers ask it for its ends only.
        own = carrier()
        try:
            async with orchestrator(path, clock, cast("MemoryTransport", own), **settings) as pair:
                yield pair
        finally:
            await own.close()

    return opened


async def attempts(service: Orchestrator, job_id: str) -> int:
    return len((await service.executions(job_id, ExecutionQuery())).items)


async def running(peer: Peer, service: Orchestrator) -> tuple[str, Execution]:
    job_id = (await service.submit(noop_job("a", timeouts=LIMITED))).job_id
    await peer.until(lambda: bool(peer.running))
    return job_id, peer.running[peer.started[0]]


async def test_work_that_ended_while_the_orchestrator_was_away_is_not_done_again(
    cluster: Cluster, tmp_path: Path
) -> None:
    path, clock = tmp_path / "o.db", ManualClock()
    async with cluster(path, clock) as (service, transport):
        peer = Peer(transport, hold=True)
        await peer.join()
        job_id, _ = await running(peer, service)
    # Longer than the disconnect time-out, and than the execution may take.
    clock.advance(3600)
    async with cluster(path, clock) as (service, transport):
        peer.transport = transport
        await peer.join()
        await peer.finish(peer.started[0])
        assert (await ended(service, job_id)).state.state_type is JobStateType.COMPLETED
        assert await attempts(service, job_id) == 1


async def test_a_result_that_comes_before_the_handshake_counts(cluster: Cluster, tmp_path: Path) -> None:
    path, clock = tmp_path / "o.db", ManualClock()
    async with cluster(path, clock) as (service, transport):
        peer = Peer(transport, hold=True)
        await peer.join()
        job_id, execution = await running(peer, service)
    clock.advance(3600)
    async with cluster(path, clock) as (service, transport):
        message = RunResult(execution_id=execution.id, job_id=job_id, run_command_result=peer.output)
        end = transport.compute_end("n-1")
        await end.connect("n-1", nothing, no_logs)
        await end.send(Envelope(message, 9, clock.now_ns(), "n-1"))
        assert (await ended(service, job_id)).state.state_type is JobStateType.COMPLETED


async def test_a_node_has_its_time_to_come_back_and_only_then_is_its_work_given_up(
    cluster: Cluster, tmp_path: Path
) -> None:
    path, clock = tmp_path / "o.db", ManualClock()
    async with cluster(path, clock, disconnect_timeout_s=60.0) as (service, transport):
        peer = Peer(transport, hold=True)
        await peer.join()
        job_id, execution = await running(peer, service)
    clock.advance(3600)
    async with cluster(path, clock, disconnect_timeout_s=60.0) as (service, transport):
        other = Peer(transport, "n-2", hold=True)
        await other.join()
        # The first one is still waited for: nothing is placed on the other one.
        assert not other.offered and await attempts(service, job_id) == 1
        clock.advance(50)
        await other.heartbeat()
        clock.advance(11)
        service.wake()
        await other.until(lambda: bool(other.started))
        # Now it is back, with the result: the first one counts, and the other one is told to stop.
        peer.transport = transport
        await peer.join()
        # It had ended when the order to stop it came.
        peer.running.setdefault(execution.id, execution)
        await peer.finish(execution.id)
        assert (await ended(service, job_id)).state.state_type is JobStateType.COMPLETED
        await other.until(lambda: not other.running)
        assert await attempts(service, job_id) == 2


async def test_a_job_without_a_node_ends_with_the_late_result(cluster: Cluster, tmp_path: Path) -> None:
    path, clock = tmp_path / "o.db", ManualClock()
    async with cluster(path, clock, disconnect_timeout_s=60.0) as (service, transport):
        peer = Peer(transport, hold=True)
        await peer.join()
        job_id, execution = await running(peer, service)
        clock.advance(61)
        service.wake()
        await reached(service, job_id, lambda job: job.state.state_type is JobStateType.QUEUED)
        # Its messages pass before it shakes hands again, as they do over NATS.
        peer.running.setdefault(execution.id, execution)
        await peer.finish(execution.id)
        assert (await ended(service, job_id)).state.state_type is JobStateType.COMPLETED
        assert await attempts(service, job_id) == 1
