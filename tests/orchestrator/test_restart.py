"""What the next process finds when the last one ended between two of its steps."""

from __future__ import annotations

from pathlib import Path

from bacalhau_jupyter.lib.clock import SystemClock
from bacalhau_jupyter.lib.database import Database
from bacalhau_jupyter.models.jobs.job import JobStateType
from bacalhau_jupyter.models.wire.messages import CancelExecution
from bacalhau_jupyter.orchestrator.store.schema import MIGRATIONS
from bacalhau_jupyter.orchestrator.store.store import Store
from bacalhau_jupyter.orchestrator.submitting import submission
from tests.orchestrator.support import Peer, in_state, noop_job, orchestrator, reached


async def test_a_stop_that_was_stored_just_before_a_crash_still_ends_the_execution(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    async with orchestrator(path) as (service, transport):
        peer = Peer(transport, hold=True)
        await peer.join()
        put = await service.submit(noop_job())
        await peer.until(lambda: bool(peer.running))
        await reached(service, put.job_id, in_state(JobStateType.RUNNING))
        await peer.leave()
    await _stop_and_die(path, put.job_id)
    async with orchestrator(path) as (service, transport):
        again = Peer(transport, hold=True)
        await again.join()
        await again.until(lambda: any(isinstance(message, CancelExecution) for message in again.received))
        assert (await service.get_job(put.job_id)).state.state_type is JobStateType.STOPPED


async def _stop_and_die(path: Path, job_id: str) -> None:
    """Store what the stop request stores, and nothing that comes after it."""
    database = await Database.open(path, MIGRATIONS)
    try:
        store = Store(database, SystemClock(), lambda changes: None)
        await store.transact(lambda transaction: submission.stop(transaction, job_id, "", ""))
    finally:
        await database.close()
