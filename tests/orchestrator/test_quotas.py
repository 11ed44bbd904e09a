"""Quotas over a running orchestrator: who is woken when, after restarts too, and what a job's events say of people."""

from __future__ import annotations

import asyncio
import itertools
import random
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from bacalhau_jupyter.lib.database import Database
from bacalhau_jupyter.models.errors import IOFailure, ResourceExhausted
from bacalhau_jupyter.models.jobs.job import JobStateType
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import Timeouts
from bacalhau_jupyter.models.jobs.units import resources_of
from bacalhau_jupyter.models.records.history import PRINCIPAL
from bacalhau_jupyter.models.records.quotas import Quota, Quotas
from bacalhau_jupyter.orchestrator.base import HistoryQuery
from bacalhau_jupyter.orchestrator.quotas.queue import Claim, QuotaQueue
from bacalhau_jupyter.orchestrator.scheduler.allowance import Share
from bacalhau_jupyter.orchestrator.service import Orchestrator
from bacalhau_jupyter.orchestrator.store import jobs
from bacalhau_jupyter.orchestrator.store.schema import MIGRATIONS
from tests.orchestrator.scheduler.test_quotas import ROOM
from tests.orchestrator.support import Peer, ended, in_state, noop_job, orchestrator, reached

ADA, BOB = "user:ada", "key:bob"
WAITS = Timeouts(queue_timeout=1000)
QUEUED = in_state(JobStateType.QUEUED)


async def callers(service: Orchestrator, job_id: str) -> list[tuple[str, str]]:
    """Who caused which event of a job."""
    history = await service.history(job_id, HistoryQuery(all_versions=True))
    return [
        (item.event.message, item.event.details[PRINCIPAL])
        for item in history.items
        if PRINCIPAL in item.event.details
    ]


async def test_every_job_of_a_long_queue_gets_its_turn_and_no_quota_is_exceeded() -> None:
    chance = random.Random(1)
    quotas = Quotas(own={ADA: Quota(jobs=2), BOB: Quota(cpu=1.0)})
    async with orchestrator(quotas=quotas) as (service, transport):
        peer = Peer(transport, capacity=ROOM, hold=True)
        await peer.join()
        owners: dict[str, str] = {}
        for _ in range(60):
            who = chance.choice([ADA, BOB, BOB, "owner"])
            cpu = chance.choice(["100m", "400m", "1"])
            put = await service.submit(noop_job(cpu=cpu, timeouts=WAITS), principal=who)
            owners[put.job_id] = who
        waiting = set(owners)
        while waiting:
            await peer.until(lambda: bool(peer.running))
            running = list(peer.running.values())
            hers = [each for each in running if owners[each.job_id] == ADA]
            his = [each for each in running if owners[each.job_id] == BOB]
            assert len(hers) <= 2
            used = [resources_of(each.job.task.resources) for each in his if each.job is not None]
            assert sum(each.cpu for each in used) <= 1.0
            done = chance.choice(running)
            await peer.finish(done.id)
            await ended(service, done.job_id)
            waiting.discard(done.job_id)


async def test_a_job_that_left_its_place_for_want_of_a_node_lets_the_next_one_run() -> None:
    async with orchestrator(quotas=Quotas(own={ADA: Quota(jobs=1)})) as (service, transport):
        peer = Peer(transport, hold=True)
        await peer.join()
        first = await service.submit(noop_job(timeouts=WAITS), principal=ADA)
        await reached(service, first.job_id, in_state(JobStateType.RUNNING))
        # The node has two cores: once the first job is over, bob's leaves no room for ada's large one.
        large = await service.submit(noop_job(cpu="2", timeouts=WAITS), principal=ADA)
        small = await service.submit(noop_job(cpu="100m", timeouts=WAITS), principal=ADA)
        for job in (large, small):
            await reached(service, job.job_id, QUEUED)
        other = await service.submit(noop_job(cpu="1", timeouts=WAITS), principal=BOB)
        await reached(service, other.job_id, in_state(JobStateType.RUNNING))
        await peer.finish(next(key for key, each in peer.running.items() if each.job_id == first.job_id))
        await reached(service, small.job_id, in_state(JobStateType.RUNNING))
        explanation = await service.explain(large.job_id, "", lambda _: True, principal=ADA)
        assert explanation.outcome == "waiting"


async def test_who_waits_is_woken_also_where_the_first_look_fails() -> None:
    woken, looks = asyncio.Queue[str](), itertools.count()

    async def read(
        look: Callable[[sqlite3.Connection], Mapping[str, Sequence[Share]]],
    ) -> Mapping[str, Sequence[Share]]:
        if next(looks) == 0:
            raise IOFailure("the disk did not answer")
        return {ADA: ()}

    queue = QuotaQueue(
        Quotas(own={ADA: Quota(jobs=1)}), read, lambda job_id, priority: woken.put_nowait(job_id)
    )
    queue.add(noop_job("a", id="j-1"), Claim(ADA, Resources(cpu=0.5)))
    with pytest.raises(IOFailure):
        await queue.run()
    # It is begun again, and nothing has changed since.
    again = asyncio.create_task(queue.run())
    async with asyncio.timeout(60):
        assert await woken.get() == "j-1"
    again.cancel()


async def test_who_waits_still_waits_after_a_restart_and_is_woken_then(tmp_path: Path) -> None:
    path, quotas = tmp_path / "state.sqlite", Quotas(own={ADA: Quota(jobs=1)})
    async with orchestrator(path, quotas=quotas) as (service, transport):
        peer = Peer(transport, hold=True)
        await peer.join()
        first = await service.submit(noop_job("first", timeouts=WAITS), principal=ADA)
        await reached(service, first.job_id, in_state(JobStateType.RUNNING))
        second = await service.submit(noop_job("second", timeouts=WAITS), principal=ADA)
        await reached(service, second.job_id, QUEUED)
        await peer.leave()
    async with orchestrator(path, quotas=quotas) as (service, transport):
        again = Peer(transport, hold=True)
        again.running, again.offered = peer.running, peer.offered
        await again.join()
        third = await service.submit(noop_job("third", timeouts=WAITS), principal=ADA)
        await reached(service, third.job_id, QUEUED)
        explanation = await service.explain(second.job_id, "", lambda _: True, principal=ADA)
        assert explanation.summary == "your quota of 1 running job is used by first"
        again.seq = peer.seq
        for job in (first, second, third):
            await again.until(lambda job=job: any(e.job_id == job.job_id for e in again.running.values()))  # type: ignore[misc]
            (execution_id,) = again.running
            await again.finish(execution_id)
            await ended(service, job.job_id)


async def test_a_job_larger_than_the_quota_is_refused_when_it_is_submitted() -> None:
    quotas = Quotas(own={ADA: Quota(cpu=1.0), BOB: Quota(jobs=0)})
    async with orchestrator(quotas=quotas) as (service, transport):
        await Peer(transport, hold=True).join()
        with pytest.raises(ResourceExhausted) as caught:
            await service.submit(noop_job(cpu="2"), principal=ADA)
        assert caught.value.message == "the job asks for 2 CPU, and the quota of user:ada is 1 CPU"
        assert caught.value.status == 403
        with pytest.raises(ResourceExhausted, match="the quota of key:bob allows no jobs"):
            await service.submit(noop_job(), principal=BOB)
        hers = await service.submit(noop_job(cpu="2"), principal="owner")
        await service.stop(hers.job_id, principal="owner")
        with pytest.raises(ResourceExhausted, match="asks for 2 CPU"):
            await service.rerun(hers.job_id, principal=ADA)


async def test_the_history_says_who_submitted_stopped_and_ran_again() -> None:
    async with orchestrator() as (service, transport):
        await Peer(transport, hold=True).join()
        put = await service.submit(noop_job("mine"), principal=ADA)
        await reached(service, put.job_id, in_state(JobStateType.RUNNING))
        await service.stop(put.job_id, principal=BOB)
        await service.rerun(put.job_id, principal="owner")
        assert await callers(service, put.job_id) == [
            ("Job submitted", ADA),
            ("Job requested to stop before completion", BOB),
            ("Job rerun requested", "owner"),
        ]


async def test_a_database_of_an_earlier_version_keeps_its_jobs(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    old = await Database.open(path, MIGRATIONS[:1])
    await old.write(
        lambda c: c.execute("INSERT INTO jobs VALUES ('j-1','default','n','batch',0,1,1,'{}',0,NULL,1,1,1)")
    )
    await old.close()
    new = await Database.open(path, MIGRATIONS)
    try:
        assert await new.read(lambda c: jobs.principal(c, "j-1")) == ""
    finally:
        await new.close()


async def test_a_crowd_that_waits_costs_no_evaluation_of_its_own() -> None:
    """What ends wakes as many jobs as have room then, not all that wait."""
    async with orchestrator(quotas=Quotas(own={ADA: Quota(jobs=1)})) as (service, transport):
        peer = Peer(transport, capacity=ROOM, hold=True)
        await peer.join()
        puts = [await service.submit(noop_job(timeouts=WAITS), principal=ADA) for _ in range(30)]
        await asyncio.gather(*(reached(service, put.job_id, QUEUED) for put in puts[1:]))
        woken: list[str] = []
        enqueue = service._parts.evaluations.broker.enqueue

        def counted(job_id: str, priority: int = 0, at_ns: int | None = None) -> None:
            if at_ns is None:
                woken.append(job_id)
            enqueue(job_id, priority, at_ns)

        service._parts.evaluations.for_quota._wake = counted
        await peer.finish(next(iter(peer.running)))
        await reached(service, puts[1].job_id, in_state(JobStateType.RUNNING))
        assert woken == [puts[1].job_id]
