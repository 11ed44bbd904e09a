from __future__ import annotations

import asyncio

import pytest

from bacalhau_jupyter.models.job import JobStateType
from tests.orchestrator.support import Peer, ended, noop_job, orchestrator, topics


async def test_a_batch_job_leaves_the_official_history() -> None:
    async with orchestrator() as (service, transport):
        await Peer(transport).join()
        put = await service.submit(noop_job("a"))
        job = await ended(service, put.job_id)
        assert job.state.state_type is JobStateType.COMPLETED
        assert await topics(service, put.job_id) == [
            ("J", "Submission", "Job submitted"),
            ("E", "Scheduling", "Requested execution on n-1"),
            ("J", "State Update", "Running"),
            ("E", "Execution", "Running"),
            ("E", "Execution", "Completed successfully"),
            ("J", "State Update", "Completed"),
        ]


async def test_fifty_detached_jobs_on_a_two_core_node_all_complete() -> None:
    async with orchestrator(job_defaults={"batch": {"Task": {"Timeouts": {"QueueTimeout": 3600}}}}) as (
        service,
        transport,
    ):
        peer = Peer(transport)
        await peer.join()
        puts = await asyncio.gather(*(service.submit(noop_job(f"j{number}")) for number in range(50)))
        jobs = await asyncio.gather(*(ended(service, put.job_id, 30) for put in puts))
        assert {job.state.state_type for job in jobs} == {JobStateType.COMPLETED}
        assert len(peer.started) == 50
        assert peer.most <= 2.0
        assert await service.active_jobs() == 0


@pytest.mark.parametrize("kind", ["service", "ops", "daemon"])
async def test_other_job_types_are_refused_in_one_sentence(kind: str) -> None:
    from bacalhau_jupyter.models.errors import NotImplementedHere

    async with orchestrator() as (service, _):
        with pytest.raises(NotImplementedHere, match=kind):
            await service.submit(noop_job("x", type=kind))
