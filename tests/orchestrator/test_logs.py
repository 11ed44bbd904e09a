from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from bacalhau_jupyter.models.errors import NetworkFailure
from bacalhau_jupyter.models.jobs.spec import Timeouts
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.models.wire.api import LogFrame
from bacalhau_jupyter.models.wire.messages import ExecutionLogsRequest
from bacalhau_jupyter.orchestrator.base import ExecutionQuery, LogQuery
from bacalhau_jupyter.orchestrator.logs import _Source
from bacalhau_jupyter.orchestrator.service import Orchestrator
from tests.orchestrator.support import Peer, ended, noop_job, orchestrator
from tests.services.waiting import lasts


async def read(service: Orchestrator, job: str, **query: object) -> list[LogFrame]:
    async with asyncio.timeout(60):
        return [frame async for frame in service.logs(job, LogQuery(**query))]  # type: ignore[arg-type]


async def test_a_reader_right_after_submit_waits_for_the_execution() -> None:
    async with orchestrator() as (service, transport):
        job_id = (await service.submit(noop_job("a", timeouts=Timeouts(queue_timeout=1000)))).job_id
        reader = asyncio.create_task(read(service, job_id, follow=True))
        peer = Peer(transport, hold=True)
        await peer.join()
        frames = await reader
        assert frames[0].value.line == f"log of {next(iter(peer.offered))}\n"


async def test_an_unknown_job_or_execution_is_an_error_frame() -> None:
    async with orchestrator() as (service, transport):
        assert (await read(service, "nope"))[0].error == "job not found: nope"
        await Peer(transport).join()
        job_id = (await service.submit(noop_job("a"))).job_id
        await ended(service, job_id)
        assert (await read(service, job_id, execution_id="e-x"))[0].error == (
            f"failed to open log stream for job {job_id}: unable to find execution e-x in job {job_id} "
            "and job version 1"
        )
        execution = (await service.executions(job_id, ExecutionQuery())).items[0]
        frames = await read(service, "a", execution_id=execution.id[:10])
        assert frames[0].value.line == f"log of {execution.id}\n"


async def test_a_job_that_ended_without_an_execution_just_ends() -> None:
    async with orchestrator() as (service, _):
        job_id = (await service.submit(noop_job("a"))).job_id
        await ended(service, job_id)
        assert await read(service, job_id, follow=True) == []


async def test_a_waiting_reader_ends_when_the_job_is_stopped() -> None:
    async with orchestrator() as (service, _):
        job_id = (await service.submit(noop_job("a", timeouts=Timeouts(queue_timeout=1000)))).job_id
        reader = asyncio.create_task(read(service, job_id, follow=True))
        await asyncio.sleep(0)
        await service.stop(job_id)
        assert await reader == []


async def test_when_the_node_is_gone_the_record_still_has_the_beginning_of_the_output() -> None:
    async with orchestrator() as (service, transport):
        peer = Peer(transport)
        await peer.join()
        job_id = (await service.submit(noop_job("a"))).job_id
        await ended(service, job_id)
        await peer.leave()
        assert [frame.value.line for frame in await read(service, job_id)] == ["hi\n"]


async def test_a_node_that_goes_away_in_the_middle_is_reported() -> None:
    async with orchestrator() as (service, transport):
        peer = Peer(transport, hold=True)

        async def logs(request: ExecutionLogsRequest) -> AsyncIterator[LogFrame]:
            yield LogFrame()
            raise NetworkFailure("gone")

        peer.logs = logs  # type: ignore[method-assign]
        await peer.join()
        job_id = (await service.submit(noop_job("a"))).job_id
        await peer.until(lambda: bool(peer.running))
        assert [frame.error for frame in await read(service, job_id, follow=True)] == ["", "gone"]


class _SlowToLearn(Peer):
    """A node that is asked for output before the execution has reached it."""

    asked = 0

    async def logs(self, request: ExecutionLogsRequest) -> AsyncIterator[LogFrame]:
        self.asked += 1
        if self.asked < 3:
            yield LogFrame(error=f"execution not found: {request.execution_id}")
            return
        async for frame in super().logs(request):
            yield frame


async def test_a_reader_waits_for_an_execution_that_starts_without_a_bid_to_reach_its_node() -> None:
    async with orchestrator() as (service, transport):
        peer = _SlowToLearn(transport, hold=True)
        await peer.join()
        job_id = (await service.submit(noop_job("a", type="daemon", count=None))).job_id
        frames = await read(service, job_id, follow=True)
        assert frames[0].value.line == f"log of {next(iter(peer.offered))}\n"
        assert peer.asked == 3


async def test_the_output_of_a_module_that_ends_before_the_reader_watches_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with orchestrator() as (service, transport):
        peer = Peer(transport, hold=True)
        await peer.join()
        job_id = (await service.submit(noop_job("a"))).job_id
        await peer.until(lambda: bool(peer.running))
        logs = service._parts.logs

        async def late(execution: Execution, query: LogQuery) -> _Source:
            await peer.finish(execution.id)
            await ended(service, job_id)
            return logs._record

        # As for a module at an official node, whose type is read meanwhile.
        monkeypatch.setattr(logs, "_is_official", lambda node_id: True)
        monkeypatch.setattr(logs, "_official_source", late)
        assert [frame.value.line for frame in await read(service, job_id, follow=True)] == ["hi\n"]


@pytest.mark.parametrize("turns", range(5))
async def test_a_reader_who_goes_while_the_job_changes_is_gone(
    monkeypatch: pytest.MonkeyPatch, turns: int
) -> None:
    async with orchestrator() as (service, transport):
        peer = Peer(transport, hold=True)
        await peer.join()
        job_id = (await service.submit(noop_job("a"))).job_id
        await peer.until(lambda: bool(peer.running))
        logs, has_read = service._parts.logs, asyncio.Event()
        monkeypatch.setattr(logs, "_is_official", lambda node_id: True)

        async def follow() -> None:
            async for _ in service.logs(job_id, LogQuery(follow=True)):
                has_read.set()

        reading = asyncio.create_task(follow())
        async with asyncio.timeout(60):
            await has_read.wait()
        # It waits for the next look at what an official node has.
        await lasts(0.1)
        logs._watch.changed(job_id)
        for _ in range(turns):
            await asyncio.sleep(0)
        reading.cancel()
        assert await asyncio.wait([reading], timeout=60) == ({reading}, set())
