"""Messages for the orchestrator: in order, none lost, none kept for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bacalhau_jupyter.compute.execution.machine import admit
from bacalhau_jupyter.compute.link import outbox
from bacalhau_jupyter.compute.link.store import MIGRATIONS, Store
from bacalhau_jupyter.lib.database import Database
from bacalhau_jupyter.models.wire.messages import RunResult
from tests.compute.makers import full_task, make_execution


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(tmp_path / "state.db", MIGRATIONS)
    yield database
    await database.close()


async def report(store: Store, name: str) -> None:
    record = admit(make_execution(full_task()), False, 1).record
    await store.add(record, [(1, RunResult(execution_id=name))])


async def waiting(store: Store, limit: int = 100) -> list[str]:
    return [item.message.execution_id for item in await store.outbox.first(limit)]


async def on_disk(database: Database) -> int:
    row = await database.read(lambda c: c.execute("SELECT count(*) FROM outbox").fetchone())
    return int(row[0])


async def test_more_messages_than_are_kept_in_memory_come_in_order(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "KEPT", 3)
    store = Store(database)
    assert await waiting(store) == []
    names = [f"e-{number}" for number in range(10)]
    for name in names:
        await report(store, name)
    sent = []
    while items := await store.outbox.first(2):
        sent += [item.message.execution_id for item in items]
        store.outbox.delivered(items[-1].seq)
    assert sent == names


async def test_a_message_that_is_stored_during_the_first_look_is_not_overlooked(database: Database) -> None:
    store = Store(database)
    await report(store, "e-before")
    look = asyncio.create_task(waiting(store))
    await asyncio.sleep(0)
    await report(store, "e-meanwhile")
    await look
    assert await waiting(store) == ["e-before", "e-meanwhile"]


async def test_what_is_delivered_goes_from_the_disk_with_the_next_write(database: Database) -> None:
    store = Store(database)
    await report(store, "e-1")
    store.outbox.delivered((await store.outbox.first(1))[0].seq)
    assert store.is_behind
    await report(store, "e-2")
    assert await on_disk(database) == 1
    assert await waiting(Store(database)) == ["e-2"]


async def test_what_is_delivered_last_goes_from_the_disk_by_itself(database: Database) -> None:
    store = Store(database)
    await report(store, "e-1")
    store.outbox.delivered((await store.outbox.first(1))[0].seq)
    await store.flush()
    assert not store.is_behind
    assert await on_disk(database) == 0


async def test_an_execution_that_is_known_is_not_stored_again(database: Database) -> None:
    store, record = Store(database), admit(make_execution(full_task()), False, 1).record
    assert await store.add(record)
    assert not await store.add(record, [(1, RunResult(execution_id=record.id))])
    assert await on_disk(database) == 0


@pytest.mark.parametrize("kept", [100, 0])
async def test_what_was_taken_beside_a_refused_message_is_not_sent_again(
    database: Database, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setattr(outbox, "KEPT", kept)
    store = Store(database)
    await waiting(store)
    for number in range(6):
        await report(store, f"e-{number}")
    seqs = [item.seq for item in await store.outbox.first(4)]
    store.outbox.settled(seqs, [seqs[0], seqs[2], seqs[3]])
    assert await waiting(store, 2) == ["e-1", "e-4"]
    assert store.is_behind
    await store.flush()
    assert not store.is_behind
    assert await waiting(Store(database)) == await waiting(store) == ["e-1", "e-4", "e-5"]
    seqs = [item.seq for item in await store.outbox.first(1)]
    store.outbox.settled(seqs, seqs)
    assert await waiting(store) == ["e-4", "e-5"]
    await store.flush()
    assert await waiting(Store(database)) == ["e-4", "e-5"]


@pytest.mark.parametrize("kept", [100, 0])
async def test_what_is_delivered_beside_a_message_that_is_refused_for_ever_leaves_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setattr(outbox, "KEPT", kept)
    store = Store(database)
    for number in range(20):
        await report(store, f"e-{number}")
        seqs = [item.seq for item in await store.outbox.first(100)]
        store.outbox.settled(seqs, seqs[1:])
    assert len(store.outbox.delivered_beyond) <= 1
    await store.flush()
    assert await on_disk(database) == 1
    assert await waiting(store) == ["e-0"]
