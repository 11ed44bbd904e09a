"""The outcome of a job is in its state and in the event that ends it; the official history stays as it is."""

from __future__ import annotations

from bacalhau_jupyter.models.records.execution import RunCommandResult
from bacalhau_jupyter.models.records.history import StreamEvent
from bacalhau_jupyter.models.records.outcome import ERROR, EXIT_CODE, NODE, OUTCOME, START_TIME
from bacalhau_jupyter.orchestrator.base import HistoryQuery
from bacalhau_jupyter.orchestrator.service import Orchestrator
from tests.orchestrator.support import Peer, ended, noop_job, orchestrator

FAILED = RunCommandResult(exit_code=3, stderr="first\nValueError: no such column\n")
EXPECTED = {OUTCOME: "failed", EXIT_CODE: "3", ERROR: "ValueError: no such column", NODE: "n-1"}


async def last_event(service: Orchestrator, job_id: str, since: int | None) -> StreamEvent:
    """Return the event that ends a job."""
    async for event in service.events(since, job_id):
        if event.message == "Completed" and not event.execution:
            return event
    raise AssertionError("the stream ended")


async def test_state_of_a_failed_program_says_so_beside_the_official_word() -> None:
    async with orchestrator() as (service, transport):
        peer = Peer(transport)
        peer.output = FAILED
        await peer.join()
        job = await ended(service, (await service.submit(noop_job("failing"))).job_id)
        assert job.state.state_type.value == "Completed"
        details = dict(job.state.details)
        assert int(details.pop(START_TIME)) >= job.create_time
        assert details == EXPECTED


async def test_replayed_event_carries_the_outcome_and_stored_history_does_not() -> None:
    async with orchestrator() as (service, transport):
        peer = Peer(transport)
        peer.output = FAILED
        await peer.join()
        job_id = (await service.submit(noop_job("failing"))).job_id
        await ended(service, job_id)
        event = await last_event(service, job_id, 0)
        assert EXPECTED.items() <= event.details.items()
        rows = (await service.history(job_id, HistoryQuery())).items
        assert not any(OUTCOME in row.event.details for row in rows)


async def test_second_run_starts_without_the_outcome_of_the_first() -> None:
    async with orchestrator() as (service, transport):
        peer = Peer(transport)
        peer.output = FAILED
        await peer.join()
        job_id = (await service.submit(noop_job("again"))).job_id
        await ended(service, job_id)
        peer.hold = True
        await service.rerun(job_id)
        await peer.until(lambda: len(peer.running) == 1)
        state = (await service.get_job(job_id)).state
        assert not {OUTCOME, EXIT_CODE, ERROR} & state.details.keys()
