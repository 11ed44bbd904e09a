from __future__ import annotations

import asyncio
import sqlite3

import pytest

from bacalhau_jupyter.models.errors import IOFailure
from bacalhau_jupyter.models.jobs.job import JobStateType
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import Timeouts
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.models.wire.messages import CancelExecution, RunResult
from bacalhau_jupyter.orchestrator.base import JobQuery
from tests.clock import ManualClock
from tests.orchestrator.support import (
    Peer,
    ended,
    in_state,
    noop_job,
    orchestrator,
    reached,
    topics,
)


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
        jobs = await asyncio.gather(*(ended(service, put.job_id) for put in puts))
        assert {job.state.state_type for job in jobs} == {JobStateType.COMPLETED}
        assert len(peer.started) == 50
        assert peer.most <= 2.0
        assert await service.active_jobs() == 0


async def test_a_disk_that_fails_fails_that_request_and_the_service_lives() -> None:
    broken = False

    def fault(point: str) -> None:
        if broken and point == "commit":
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorname = "SQLITE_FULL"
            raise error

    async with orchestrator(fault=fault) as (service, transport):
        await Peer(transport).join()
        broken = True
        with pytest.raises(IOFailure, match="the disk is full") as caught:
            await service.submit(noop_job("a"))
        assert caught.value.hint and caught.value.retryable
        broken = False
        assert (await service.list_jobs(JobQuery())).items == []
        job = await ended(service, (await service.submit(noop_job("a"))).job_id)
        assert job.state.state_type is JobStateType.COMPLETED


async def test_higher_priority_goes_first_when_capacity_is_freed() -> None:
    async with orchestrator() as (service, transport):
        peer = Peer(transport, hold=True)
        await peer.join()
        limits = Timeouts(queue_timeout=1000)
        await service.submit(noop_job("first", cpu="2"))
        await peer.until(lambda: bool(peer.running))
        for name, priority in (("low", 0), ("high", 9), ("middle", 5)):
            job = noop_job(name, cpu="2", timeouts=limits, priority=priority)
            job_id = (await service.submit(job)).job_id
            await reached(service, job_id, in_state(JobStateType.QUEUED))
        for number in range(2, 5):
            await peer.finish(next(iter(peer.running)))
            await peer.until(lambda number=number: len(peer.started) == number)  # type: ignore[misc]
        names = [execution.job.name for execution in peer.offered.values() if execution.job]
        assert names == ["first", "high", "middle", "low"]


async def test_a_bid_turned_down_for_capacity_is_asked_for_again() -> None:
    refused: list[str] = []

    def busy_twice(execution: Execution) -> str | None:
        if len(refused) < 2:
            refused.append(execution.id)
            return "not enough capacity to run job"
        return None

    async with orchestrator() as (service, transport):
        await Peer(transport, bid=busy_twice).join()
        job = await ended(service, (await service.submit(noop_job("a"))).job_id)
        assert job.state.state_type is JobStateType.COMPLETED
        assert len(refused) == 2


async def test_a_heartbeat_with_more_free_capacity_ends_the_pause_after_a_rejection() -> None:
    clock = ManualClock()
    refused: list[str] = []

    def busy_once(execution: Execution) -> str | None:
        refused.append(execution.id)
        return "not enough capacity to run job" if len(refused) == 1 else None

    async with orchestrator(clock=clock) as (service, transport):
        peer = Peer(transport, bid=busy_once)
        await peer.join()
        await peer.heartbeat(Resources(cpu=0.1))
        job_id = (await service.submit(noop_job("a"))).job_id
        async with asyncio.timeout(60):
            async for event in service.events(0, job_id):
                if event.topic == "Exec Scanning":
                    break
        clock.advance(0.001)
        await peer.heartbeat(Resources(cpu=2.0))
        assert (await ended(service, job_id)).state.state_type is JobStateType.COMPLETED
        assert len(refused) == 2


async def test_a_failing_execution_is_tried_again_and_its_reason_is_in_the_history() -> None:
    async with orchestrator() as (service, transport):
        peer = Peer(transport, run=lambda execution: "image not available")
        await peer.join()
        job = await ended(service, (await service.submit(noop_job("a"))).job_id)
        assert job.state.state_type is JobStateType.FAILED
        assert len(peer.started) == 2
        messages = [message for _, _, message in await topics(service, job.id)]
        assert messages.count("image not available") == 2


async def test_a_message_that_is_not_for_an_orchestrator_is_ignored() -> None:
    async with orchestrator() as (service, transport):
        peer = Peer(transport)
        await peer.join()
        await peer.report(CancelExecution(execution_id="e-1"))  # type: ignore[arg-type]
        await peer.report(RunResult(execution_id="e-unknown", job_id="j-unknown"))
        assert (await service.node("n-1")).connection_state.last_compute_seq_num == 2
