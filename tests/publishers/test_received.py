"""Archives that nodes elsewhere send: what is taken, what is refused, and what is left of it on the disk."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator, Collection
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from bacalhau_jupyter.models.errors import BacalhauError, BadRequest, Conflict, Forbidden, NotFound
from bacalhau_jupyter.models.records.node import DiskUsage
from bacalhau_jupyter.publishers.received import ReceivedResults
from bacalhau_jupyter.publishers.retention import Rules
from bacalhau_jupyter.publishers.shelf import removal, result_path
from bacalhau_jupyter.transfer.core.signing import local_reference, signed_reference
from tests.clock import ManualClock
from tests.transfer.helpers import names

KEY = b"k" * 32
KB = 1000
HOUR = 3600.0
EXPIRY_S = 600.0


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


class Store:
    """A store with a clock of its own, and an orchestrator that expects the results of some executions."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = ManualClock()
        self.free = 1_000_000 * KB
        self.over: set[str] = set()
        self.received = self.make()

    def make(self) -> ReceivedResults:
        async def needed() -> Collection[str]:
            return ()

        async def expected(execution_id: str) -> None:
            if execution_id in self.over:
                raise NotFound("its job was deleted")

        received = ReceivedResults(
            self.root / "received",
            KEY,
            EXPIRY_S,
            Rules(quota=25 * KB, max_age_s=0.0, min_age_s=HOUR),
            min_free=KB,
            clock=self.clock,
            free=lambda path: self.free,
        )
        received.needed, received.expected = needed, expected
        return received

    async def take(self, execution_id: str, *parts: bytes, size: int | None = None) -> None:
        announced = sum(map(len, parts)) if size is None else size
        await self.received.take(execution_id, announced, chunks(*parts))

    def files(self) -> list[str]:
        return names(self.root / "received/results/local-publisher")

    def path(self, execution_id: str) -> Path:
        return result_path(self.root / "received", execution_id)


@pytest.fixture
async def store(tmp_path: Path) -> Store:
    store = Store(tmp_path)
    await store.received.start()
    return store


async def test_an_archive_gets_its_name_when_it_is_whole(store: Store) -> None:
    await store.take("e-1", b"a" * KB, b"b" * KB)
    assert store.files() == ["e-1.tar.gz"]
    assert store.path("e-1").read_bytes() == b"a" * KB + b"b" * KB
    assert stat.S_IMODE(store.path("e-1").stat().st_mode) == 0o600
    assert store.received.usage() == DiskUsage(bytes=2 * KB, count=1, limit=25 * KB)


async def test_a_repetition_is_no_second_result(store: Store) -> None:
    await store.take("e-1", b"first")
    await store.take("e-1", b"fi", b"rst")
    for other in (b"other", b"longer than before"):
        with pytest.raises(Conflict, match="e-1 has published other results already"):
            await store.take("e-1", other)
    assert store.path("e-1").read_bytes() == b"first"
    assert store.files() == ["e-1.tar.gz"]
    assert store.received.usage().count == 1


@pytest.mark.parametrize(("sent", "announced"), [(b"abc", 4), (b"abcde", 4)])
async def test_other_bytes_than_were_announced_leave_nothing(
    store: Store, sent: bytes, announced: int
) -> None:
    with pytest.raises(BadRequest, match=r"4 (were|that were) announced"):
        await store.take("e-1", sent, size=announced)
    assert store.files() == []


async def test_a_sender_that_is_cut_off_leaves_nothing_and_may_come_again(store: Store) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"a" * KB
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await store.received.take("e-1", 2 * KB, broken())
    assert store.files() == []
    await store.take("e-1", b"a" * 2 * KB)
    assert store.files() == ["e-1.tar.gz"]


async def test_what_is_larger_than_the_quota_is_refused_before_its_first_byte(store: Store) -> None:
    for size, status in ((26 * KB, 413), (20 * KB, 429)):
        if status == 429:
            waiting = asyncio.create_task(
                store.received.take("e-2", 10 * KB, _silent(started := asyncio.Event()))
            )
            await started.wait()
        with pytest.raises(BacalhauError, match="no room for a result") as caught:
            await store.received.take("e-1", size, _untouched())
        assert (caught.value.status, caught.value.retryable) == (status, status == 429)
        assert "Publishers.Types.Local.Quota" in caught.value.hint
    waiting.cancel()
    await asyncio.wait([waiting])
    await store.take("e-1", b"a" * 20 * KB)
    assert store.files() == ["e-1.tar.gz"]


async def test_old_results_make_room_and_young_ones_do_not(store: Store) -> None:
    await store.take("e-1", b"a" * 20 * KB)
    with pytest.raises(BacalhauError, match="do not fit into the quota"):
        await store.take("e-2", b"b" * 20 * KB)
    assert store.files() == ["e-1.tar.gz"]
    store.clock.advance(2 * HOUR)
    await store.take("e-2", b"b" * 20 * KB)
    assert store.files() == ["e-2.tar.gz", "removed.jsonl"]
    record = removal(store.root / "received", "e-1")
    assert record is not None
    assert "Publishers.Types.Local.Quota" in record.reason


async def test_room_is_left_on_the_disk(store: Store) -> None:
    store.free = 3 * KB - 1
    with pytest.raises(BacalhauError, match="no room on the orchestrator's disk") as caught:
        await store.received.take("e-1", 2 * KB, _untouched())
    assert caught.value.status == 507
    store.free += 1
    await store.take("e-1", b"a" * 2 * KB)


async def test_nothing_is_taken_for_what_is_over_nor_kept_where_it_ended_meanwhile(store: Store) -> None:
    store.over.add("e-1")
    with pytest.raises(NotFound):
        await store.received.take("e-1", KB, _untouched())

    async def deleted_meanwhile() -> AsyncIterator[bytes]:
        yield b"a" * KB
        store.over.add("e-2")

    with pytest.raises(NotFound):
        await store.received.take("e-2", KB, deleted_meanwhile())
    assert store.files() == []
    assert store.received.usage().bytes == 0


async def test_a_sender_that_begins_anew_lets_go_of_its_first_try(store: Store) -> None:
    goes_on = asyncio.Event()

    async def hanging() -> AsyncIterator[bytes]:
        yield b"a" * KB
        began.set()
        await goes_on.wait()
        yield b"a" * KB

    began = asyncio.Event()
    first = asyncio.create_task(store.received.take("e-1", 15 * KB, hanging()))
    await began.wait()
    # Both together would be too much.
    await store.take("e-1", b"b" * 15 * KB)
    goes_on.set()
    with pytest.raises(Conflict, match="another upload"):
        await first
    assert store.path("e-1").read_bytes() == b"b" * 15 * KB
    assert store.files() == ["e-1.tar.gz"]


async def test_a_deleted_job_takes_its_results_along_and_a_crash_leaves_no_half_ones(store: Store) -> None:
    for name in ("e-1", "e-2"):
        await store.take(name, b"a" * KB)
    assert await store.received.remove(["e-1", "e-9"]) == DiskUsage(bytes=KB, count=1)
    (store.path("e-2").parent / ".e-3-0123.part").write_bytes(b"half")
    again = store.make()
    await again.start()
    assert store.files() == ["e-2.tar.gz", "removed.jsonl"]
    assert again.usage().bytes == KB
    assert await again.clear(0.0) == DiskUsage(bytes=KB, count=1)


def test_a_link_opens_for_one_execution_for_a_while_and_for_sending_only(tmp_path: Path) -> None:
    store = Store(tmp_path)
    link = urlsplit(store.received.url("e-1", "http://here.example:1234/"))
    assert link.netloc == "here.example:1234"
    name, query = link.path.rpartition("/")[2], parse_qs(link.query)
    (expires,), (signature,) = query["expires"], query["signature"]
    assert store.received.admit(name, expires, signature) == "e-1"
    reading = urlsplit(
        str(signed_reference(local_reference("e-1", "n"), "http://h", KEY, store.clock.now_ns()).param("URL"))
    )
    reading_query = {key: values[0] for key, values in parse_qs(reading.query).items()}
    for bad in (
        ("e-2.tar.gz", expires, signature),
        ("e-1.tar.gz", str(int(expires) + 1), signature),
        ("e-1.tar.gz", expires, ""),
        (name, reading_query["expires"], reading_query["signature"]),
        (f"{name}\n{expires}", "", signature),
        (f"../{name}", expires, signature),
    ):
        with pytest.raises(Forbidden, match="not signed by this node"):
            store.received.admit(*bad)
    store.clock.advance(EXPIRY_S)
    with pytest.raises(Forbidden, match="this result upload link expired"):
        store.received.admit(name, expires, signature)
    with pytest.raises(BadRequest):
        store.received.url("../../e-1", "http://here.example")


async def _silent(started: asyncio.Event) -> AsyncIterator[bytes]:
    started.set()
    await asyncio.Event().wait()
    yield b""


async def _untouched() -> AsyncIterator[bytes]:
    pytest.fail("a byte was asked for")
    yield b""
