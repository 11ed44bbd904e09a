"""The same over a real NATS server, with a link that is really cut."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import cast

from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.lib.database import Database
from bacalhau_jupyter.models.jobs.job import JobStateType
from bacalhau_jupyter.models.jobs.spec import Timeouts
from bacalhau_jupyter.orchestrator.base import ExecutionQuery, NodeQuery
from bacalhau_jupyter.orchestrator.service import Orchestrator
from bacalhau_jupyter.orchestrator.settings import OrchestratorSettings
from bacalhau_jupyter.orchestrator.store.schema import MIGRATIONS
from bacalhau_jupyter.transport.memory import MemoryTransport
from tests.clock import ManualClock
from tests.orchestrator.support import Peer, ended, noop_job
from tests.services.cuttable import CuttableLink
from tests.services.nats import PlainNatsServer
from tests.services.waiting import until
from tests.transport.carriers import OverNats

WAIT_S = 60.0


@contextlib.asynccontextmanager
async def cluster(server: PlainNatsServer, clock: Clock) -> AsyncIterator[tuple[Orchestrator, OverNats]]:
    carrier = OverNats(server.url, server.token)
    database = await Database.open(None, MIGRATIONS)
    service = Orchestrator(
        OrchestratorSettings(node_id="n-o"), database, carrier.orchestrator_end, clock=clock
    )
    await service.start()
    try:
        yield service, carrier
    finally:
        await service.close()
        await carrier.close()
        await database.close()


def node(carrier: OverNats, name: str) -> Peer:
    # It only asks the carrier for its end.
    return Peer(cast("MemoryTransport", carrier), name, hold=True)


async def test_a_result_that_was_ready_while_the_link_was_cut_counts_and_the_replacement_stops(
    nats_server: PlainNatsServer, cuttable_link: CuttableLink
) -> None:
    clock = ManualClock()
    async with cluster(nats_server, clock) as (service, direct):
        through_link = OverNats(f"nats://127.0.0.1:{cuttable_link.port}", nats_server.token)
        far, other = node(through_link, "n-far"), node(direct, "n-other")
        await far.join()
        job = noop_job("a", timeouts=Timeouts(queue_timeout=100_000))
        job_id = (await service.submit(job)).job_id
        await far.until(lambda: bool(far.started), WAIT_S)
        await other.join()
        cuttable_link.cut()
        await until(lambda: not far.end.state.is_up)
        clock.advance(50)
        await other.heartbeat()
        clock.advance(11)
        service.wake()
        await other.until(lambda: bool(other.started), WAIT_S)
        cuttable_link.restore()
        await until(lambda: far.end.state.is_up)
        # As every node does, it sends what it has before anything else.
        await far.finish(far.started[0])
        done = await ended(service, job_id, WAIT_S)
        assert done.state.state_type is JobStateType.COMPLETED
        await other.until(lambda: not other.running, WAIT_S)
        assert len((await service.executions(job_id, ExecutionQuery())).items) == 2
        await through_link.close()


async def test_a_node_over_nats_is_told_by_its_link_and_its_limit(nats_server: PlainNatsServer) -> None:
    async with cluster(nats_server, ManualClock()) as (service, carrier):
        await node(carrier, "n-far").join()
        (state,) = await service.nodes(NodeQuery())
        assert state.link == "nats"
        limit = carrier.orchestrator_end.way_to("n-far").payload_limit
        assert limit == 8 << 20
