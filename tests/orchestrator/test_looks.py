"""A change of a job and the look that follows from it: stored together, and not lost by one another."""

from __future__ import annotations

import pytest

from bacalhau_jupyter.models.jobs.job import JobStateType
from bacalhau_jupyter.orchestrator.base import ExecutionQuery
from bacalhau_jupyter.orchestrator.planner import Planner
from tests.orchestrator.support import Peer, noop_job, orchestrator


async def test_a_job_that_is_submitted_is_placed_in_the_same_transaction() -> None:
    async with orchestrator() as (service, transport):
        await Peer(transport, hold=True).join()
        put = await service.submit(noop_job("a"))
        assert (await service.executions(put.job_id, ExecutionQuery())).items


async def test_a_look_that_fails_does_not_take_the_submission_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with orchestrator() as (service, transport):
        await Peer(transport, hold=True).join()

        def fails(*_: object) -> object:
            raise RuntimeError("a mistake of ours")

        monkeypatch.setattr(Planner, "evaluate", fails)
        put = await service.submit(noop_job("a"))
        assert (await service.get_job(put.job_id)).state.state_type is JobStateType.PENDING
