from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from bacalhau_jupyter.models.errors import ResourceExhausted
from bacalhau_jupyter.models.jobs.spec import Timeouts
from bacalhau_jupyter.models.records.history import StreamEvent
from bacalhau_jupyter.orchestrator.store import history
from bacalhau_jupyter.orchestrator.stream import EventStream
from tests.orchestrator.support import Peer, ended, noop_job, orchestrator

WAIT = Timeouts(queue_timeout=1000)


async def following(stream: AsyncIterator[StreamEvent]) -> StreamEvent:
    async with asyncio.timeout(60):
        return await anext(stream)


async def test_replay_and_live_events_join_without_gap_or_repetition() -> None:
    async with orchestrator() as (service, transport):
        await Peer(transport).join()
        await ended(service, (await service.submit(noop_job("before"))).job_id)
        seen: list[StreamEvent] = []

        async def read() -> None:
            async for event in service.events(2):
                seen.append(event)
                if sum(event.message == "Completed" for event in seen) == 21:
                    return

        reader = asyncio.create_task(read())
        await asyncio.gather(*(service.submit(noop_job(f"j{n}", timeouts=WAIT)) for n in range(20)))
        await asyncio.wait_for(reader, 60)
        assert [event.seq for event in seen] == list(range(3, 3 + len(seen)))
        assert {event.state for event in seen if event.message == "Completed"} == {"Completed"}
        placed = next(event for event in seen if event.topic == "Scheduling" and event.execution)
        assert placed.node == "n-1"


async def test_only_the_jobs_and_topics_asked_for() -> None:
    async with orchestrator() as (service, transport):
        await Peer(transport).join()
        for name in ("a", "b"):
            await ended(service, (await service.submit(noop_job(name))).job_id)
        got = []
        async for event in service.events(0, "b", ["Submission", "State Update"]):
            got.append(event.message)
            if event.message == "Completed":
                break
        assert got == ["Job submitted", "Running", "Completed"]


async def test_a_position_of_another_database_does_not_silence_the_stream() -> None:
    async with orchestrator() as (service, _):
        stream = service.events(10_000)
        first = asyncio.create_task(following(stream))
        await asyncio.sleep(0)
        await service.active_jobs()  # reads come one after another, and the stream began with one
        await service.submit(noop_job("new", count=0))
        assert (await first).message == "Job submitted"


async def test_a_reader_from_now_on_sees_nothing_old() -> None:
    async with orchestrator() as (service, _):
        await ended(service, (await service.submit(noop_job("old", count=0))).job_id)
        stream = service.events(None)
        first = asyncio.create_task(following(stream))
        # Reads are answered in order: when this one is, the reader knows where "now" is.
        await asyncio.sleep(0)
        await service._store.read(lambda c: None)
        new = await service.submit(noop_job("new", count=0))
        assert (await first).job == new.job_id


async def test_a_reader_that_is_too_slow_gets_the_place_where_to_resume() -> None:
    async with orchestrator(stream_queue=10) as (service, _):
        await service.submit(noop_job("first", count=0))
        stream = service.events(0)
        got = [(await following(stream)).seq]
        last_job = ""
        for number in range(30):
            last_job = (await service.submit(noop_job(f"j{number}", count=0))).job_id
        await ended(service, last_job)
        # What overflowed during the replay is read from the database; the queue counts after that.
        newest = await service._store.read(history.last)
        while got[-1] < newest:
            got.append((await following(stream)).seq)
        waiting = asyncio.create_task(following(stream))
        await service._store.read(history.last)
        # One commit, so all of its events arrive before the reader gets a turn.
        await asyncio.gather(*(service.submit(noop_job(f"k{number}", count=0)) for number in range(30)))
        got.append((await waiting).seq)
        with pytest.raises(ResourceExhausted, match=r"events after (\d+) were dropped") as caught:
            while True:
                got.append((await following(stream)).seq)
        last = int(caught.value.details["LastSeq"])
        assert got == list(range(1, last + 1))
        assert (await following(service.events(last))).seq == last + 1


async def test_what_comes_after_a_dropped_event_is_dropped_too_so_that_resuming_misses_nothing() -> None:
    async with orchestrator() as (service, _):
        events = EventStream(service._store, limit=2)
        reader = events.read(None)
        first = asyncio.create_task(following(reader))
        await asyncio.sleep(0)
        events.publish([StreamEvent(seq=number) for number in (1, 2, 3)])
        assert (await first).seq == 1
        events.publish([StreamEvent(seq=4)])  # there is room again, but 3 is gone
        assert (await following(reader)).seq == 2
        with pytest.raises(ResourceExhausted) as caught:
            await following(reader)
        assert caught.value.details["LastSeq"] == "2"
