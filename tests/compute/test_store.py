from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from bacalhau_jupyter.compute.execution.events import Accepted, BidMade
from bacalhau_jupyter.compute.execution.machine import admit, step
from bacalhau_jupyter.compute.execution.record import ExecutionRecord, Phase, StoredInput
from bacalhau_jupyter.compute.link.store import MIGRATIONS, Store
from bacalhau_jupyter.lib.database import Database
from bacalhau_jupyter.models.codec import decode_exact, encode
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.wire.messages import BidResult, RunResult
from bacalhau_jupyter.plugins.contract import InputMount
from tests.compute.makers import full_task, make_execution


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(tmp_path / "state.db", MIGRATIONS)
    yield database
    await database.close()


def new_record(created_ns: int = 1) -> ExecutionRecord:
    return admit(make_execution(full_task(9)), False, created_ns).record


def ended(record: ExecutionRecord, at: int) -> ExecutionRecord:
    return msgspec.structs.replace(record, phase=Phase.COMPLETED, ended_ns=at)


async def test_a_record_comes_back_as_it_was_stored(database: Database) -> None:
    store, record = Store(database), new_record()
    await store.add(record)
    for event in (BidMade(Resources(cpu=0.5)), Accepted()):
        record = step(record, event, 5).record
        await store.save(record, [])
    assert await Store(database).load() == [record]
    assert await store.get(record.id) == record
    assert await store.get("e-unknown") is None


async def test_only_live_executions_are_loaded_oldest_first(database: Database) -> None:
    store = Store(database)
    records = [new_record(created) for created in (3, 1, 2)]
    for record in records:
        await store.add(record)
    await store.save(ended(records[2], 9), [])
    assert [record.created_ns for record in await store.load()] == [1, 3]


async def test_messages_wait_in_order_until_they_are_delivered(database: Database) -> None:
    store, record = Store(database), new_record()
    first, second = BidResult(execution_id=record.id, accepted=True), RunResult(execution_id=record.id)
    await store.add(record, [(10, first)])
    await store.save(step(record, BidMade(Resources(cpu=1)), 1).record, [(20, second)])
    waiting = await Store(database).outbox.first(100)
    assert [(item.time_ns, item.message) for item in waiting] == [(10, first), (20, second)]
    assert waiting[0].seq < waiting[1].seq
    store.outbox.delivered(waiting[0].seq)
    assert [item.message for item in await store.outbox.first(100)] == [second]
    store.outbox.delivered(waiting[1].seq)
    await store.save(record, [(30, first)])
    # A number that was used is never used again, even when the table is empty.
    assert (await store.outbox.first(100))[0].seq > waiting[1].seq


async def test_how_far_we_listened_is_remembered(database: Database) -> None:
    store = Store(database)
    await store.load()
    store.arrivals.begin(41)
    store.arrivals.end(41)
    await store.flush()
    store.arrivals.begin(42)
    store.arrivals.end(42)
    await store.add(new_record())
    again = Store(database)
    await again.load()
    assert again.incoming == 42


async def test_ended_executions_are_cleaned_and_forgotten_by_age_and_number(database: Database) -> None:
    store = Store(database)
    records = [new_record(number) for number in range(5)]
    for number, record in enumerate(records):
        await store.add(record)
        await store.save(ended(record, 100 + number), [])
    ids = [record.id for record in records]
    assert await store.to_clean(102) == ids[:2]
    assert await store.forget(102, 10) == []
    await store.cleaned(ids)
    assert await store.to_clean(1000) == []
    assert set(await store.forget(102, 10)) == set(ids[:2])
    assert set(await store.forget(0, 1)) == set(ids[2:4])
    assert await store.get(ids[4]) is not None


CHILD = """
import asyncio, sys
from pathlib import Path
from bacalhau_jupyter.compute.execution.events import BidMade
from bacalhau_jupyter.compute.execution.machine import admit, step
from bacalhau_jupyter.compute.link.store import MIGRATIONS, Store
from bacalhau_jupyter.lib.database import Database
from bacalhau_jupyter.models.wire.messages import BidResult
from bacalhau_jupyter.models.jobs.resources import Resources
from tests.compute.makers import full_task, make_execution

async def one(store):
    record = admit(make_execution(full_task()), False, 1).record
    await store.add(record)
    record = step(record, BidMade(Resources(cpu=1)), 2).record
    await store.save(record, [(1, BidResult(execution_id=record.id, accepted=True))])
    sys.stdout.write(record.id + "\\n")
    sys.stdout.flush()

async def main():
    store = Store(await Database.open(Path(sys.argv[1]), MIGRATIONS))
    while True:
        await asyncio.gather(*(one(store) for _ in range(8)))

asyncio.run(main())
"""


async def test_what_was_stored_before_a_kill_is_there_after_it(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    root = str(Path(__file__).parents[2])
    for round_number in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, cwd=root, text=True
        )
        assert child.stdout is not None
        stored = [child.stdout.readline().strip() for _ in range(10 + 7 * round_number)]
        os.kill(child.pid, signal.SIGKILL)
        stored += child.stdout.read().split("\n")[:-1]
        child.stdout.close()
        child.wait(30)
        database = await Database.open(path, MIGRATIONS)
        try:
            store = Store(database)
            live = {record.id: record for record in await store.load()}
            announced = {item.message.execution_id for item in await store.outbox.first(100_000)}
        finally:
            await database.close()
        assert len(stored) >= 10
        for identifier in stored:
            assert live[identifier].phase is Phase.OFFERED
            assert identifier in announced
        # A message and the state it tells of are stored together or not at all.
        assert announced == {record.id for record in live.values() if record.phase is Phase.OFFERED}


def test_an_input_keeps_a_path_that_is_not_utf_8() -> None:
    mount = InputMount(Path(os.fsdecode(b"/x/caf\xe9/%E9")), "/inputs")
    stored = decode_exact(encode(StoredInput.of(mount)), StoredInput)
    assert stored.mount() == mount
