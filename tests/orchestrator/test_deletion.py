from __future__ import annotations

import pytest

from bacalhau_jupyter.models.errors import Conflict, NotFound
from bacalhau_jupyter.models.jobs.job import JobStateType
from bacalhau_jupyter.orchestrator.base import JobQuery
from tests.orchestrator.support import Peer, ended, in_state, noop_job, orchestrator, reached


async def test_a_job_that_is_over_is_deleted_with_all_its_versions() -> None:
    async with orchestrator() as (service, transport):
        await Peer(transport).join()
        put = await service.submit(noop_job("a"))
        await ended(service, put.job_id)
        await service.rerun(put.job_id)
        await ended(service, put.job_id)
        assert len(await service.delete(put.job_id)) == 2
        with pytest.raises(NotFound):
            await service.get_job(put.job_id)
        with pytest.raises(NotFound):
            await service.versions(put.job_id)
        assert (await service.list_jobs(JobQuery())).items == []


async def test_a_name_is_free_again_after_its_job_was_deleted() -> None:
    async with orchestrator() as (service, transport):
        await Peer(transport).join()
        first = await service.submit(noop_job("a"))
        await ended(service, first.job_id)
        await service.delete("a")
        second = await service.submit(noop_job("a"))
        assert (await ended(service, second.job_id)).version == 1
        assert second.job_id != first.job_id


async def test_a_job_under_way_is_not_deleted() -> None:
    async with orchestrator() as (service, transport):
        await Peer(transport, hold=True).join()
        put = await service.submit(noop_job("a"))
        with pytest.raises(Conflict, match="can't be deleted"):
            await service.delete(put.job_id)
        assert (await service.get_job(put.job_id)).state.state_type is not JobStateType.STOPPED


async def test_a_stopped_job_is_deleted() -> None:
    async with orchestrator() as (service, transport):
        peer = Peer(transport, hold=True)
        await peer.join()
        put = await service.submit(noop_job("a"))
        await reached(service, put.job_id, in_state(JobStateType.RUNNING))
        await service.stop(put.job_id)
        await ended(service, put.job_id)
        assert len(await service.delete(put.job_id)) == 1


async def test_the_event_stream_tells_of_a_deletion_and_goes_on_behind_it() -> None:
    async with orchestrator() as (service, transport):
        await Peer(transport).join()
        first = await service.submit(noop_job("a"))
        await ended(service, first.job_id)
        await service.delete(first.job_id)
        second = await service.submit(noop_job("b"))
        await ended(service, second.job_id)
        seen = []
        async for event in service.events(0):
            seen.append((event.seq, event.job, event.topic))
            if event.job == second.job_id and event.state == "Completed":
                break
        numbers = [number for number, _, _ in seen]
        # Were numbers of deleted events given out again, whoever had read further would miss the next job.
        assert numbers == sorted(set(numbers))
        assert [topic for _, job, topic in seen if job == first.job_id] == ["Deletion"]
        assert min(number for number, job, _ in seen if job == second.job_id) > numbers[0]
