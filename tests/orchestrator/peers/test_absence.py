"""What nodes tell of executions whose machine is away becomes history at once, and once."""

from __future__ import annotations

import asyncio
from pathlib import Path

from bacalhau_jupyter.lib.clock import SystemClock
from bacalhau_jupyter.models.records.history import LINK, Event
from bacalhau_jupyter.models.wire.messages import (
    ExecutionNote,
    RunResult,
    UpdateNodeInfoRequest,
    UpdateNodeInfoResponse,
)
from bacalhau_jupyter.orchestrator.base import HistoryQuery
from bacalhau_jupyter.orchestrator.peers.absence import MOST_OF_EXECUTION
from bacalhau_jupyter.orchestrator.service import Orchestrator
from bacalhau_jupyter.transport.base import Envelope
from tests.orchestrator.support import Peer, ended, node_info, noop_job, orchestrator

AWAY = "host gpu1 does not answer; the task goes on there"
BACK = "its host answers again, after 3 s"


def event(text: str, topic: str = "Running Execution") -> Event:
    return Event(message=text, topic=topic, details={LINK: "true", "Outcome": "failed"})


async def tell(peer: Peer, *notes: tuple[str, str]) -> None:
    items = [ExecutionNote(execution_id=execution, event=event(text)) for execution, text in notes]
    request = UpdateNodeInfoRequest(node_info=node_info(peer.node_id), execution_notes=items)
    answer = await peer.end.request(request)
    assert isinstance(answer, UpdateNodeInfoResponse)
    assert answer.accepted


async def links(service: Orchestrator, job: str) -> list[tuple[str, str]]:
    rows = (await service.history(job, HistoryQuery())).items
    return [(row.execution_id, row.event.message) for row in rows if LINK in row.event.details]


async def test_notes_are_history_at_once_and_the_last_report_repeats_none(tmp_path: Path) -> None:
    async with orchestrator(tmp_path / "o.db", SystemClock()) as (service, transport):
        peer = Peer(transport, hold=True)
        await peer.join()
        job = (await service.submit(noop_job("a"))).job_id
        await peer.until(lambda: bool(peer.running))
        (execution,) = peer.started
        await tell(peer, (execution, AWAY))
        assert await links(service, job) == [(execution, AWAY)]
        # An answer that was lost: it is told again.
        await tell(peer, (execution, AWAY), (execution, BACK))
        assert await links(service, job) == [(execution, AWAY), (execution, BACK)]
        late = "the task ended at 14:03, while its host did not answer"
        events = [*map(event, (AWAY, BACK, late)), Event(message="Completed successfully", topic="Execution")]
        report = RunResult(execution_id=execution, job_id=job, events=events)
        await peer.end.send(Envelope(report, 1000, 5, peer.node_id))
        async with asyncio.timeout(60):
            await ended(service, job)
        assert [text for _, text in await links(service, job)] == [AWAY, BACK, late]


async def test_notes_of_other_nodes_of_what_is_over_and_without_end_are_ignored(tmp_path: Path) -> None:
    async with orchestrator(tmp_path / "o.db", SystemClock()) as (service, transport):
        peer, other = Peer(transport, hold=True), Peer(transport, "n-2", bid=lambda _: "no")
        await peer.join()
        job = (await service.submit(noop_job("a"))).job_id
        await peer.until(lambda: bool(peer.running))
        await other.join()
        (execution,) = peer.started
        await tell(other, (execution, AWAY), ("e-nowhere", AWAY))
        assert await links(service, job) == []
        await tell(peer, *((execution, f"{number}") for number in range(3 * MOST_OF_EXECUTION)))
        known = await links(service, job)
        assert len(known) == MOST_OF_EXECUTION
        await peer.finish(execution)
        async with asyncio.timeout(60):
            await ended(service, job)
        await tell(peer, (execution, AWAY))
        assert await links(service, job) == known
