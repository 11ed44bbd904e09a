"""The content cache: shared without harm, fetched once, bounded, whole after a crash."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.compute.inputs.cache import Brought, ContentCache
from bacalhau_jupyter.compute.inputs.cache_index import CacheIndex, Entry
from bacalhau_jupyter.models.errors import IOFailure
from bacalhau_jupyter.models.records.progress import Reading
from bacalhau_jupyter.plugins.contract import InputMount, Progress, no_progress

WAIT_S = 60.0
PLENTY = 1 << 40
BLOCK = 4096


class Origin:
    """Where inputs come from: counts fetches, and holds them back on request."""

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        self.files = {"a.txt": b"alpha", "sub/b.txt": b"beta"} if files is None else files
        self.fetches = 0
        self.started = asyncio.Event()
        self.go = asyncio.Event()
        self.go.set()
        self.error: Exception | None = None
        self.identity = ""

    async def fetch(self, directory: Path, progress: Progress) -> InputMount:
        self.fetches += 1
        self.started.set()
        content = directory / "content"
        content.mkdir()
        for name, data in self.files.items():
            (content / name).parent.mkdir(exist_ok=True)
            (content / name).write_bytes(data)
        progress(Reading("downloading", 1, 9, 0, 2))
        await self.go.wait()
        progress(Reading("downloading", 9, 9, 2, 2))
        if self.error is not None:
            raise self.error
        return InputMount(content, "/inputs", identity=self.identity)


class Host:
    """A cache and directories of executions, as a compute node has them."""

    def __init__(self, root: Path, limit: int = PLENTY, min_free: int = 0, free: int = PLENTY) -> None:
        self.root = root
        self.free = free
        self.cache = ContentCache(root / "cache", limit, min_free, lambda _: self.free)
        self.count = 0

    def place(self) -> Path:
        self.count += 1
        place = self.root / "executions" / str(self.count) / "inputs" / "0"
        place.mkdir(parents=True, mode=0o700)
        return place

    async def bring(self, identity: str, origin: Origin, progress: Progress = no_progress) -> Brought:
        return await self.cache.bring(identity, self.place(), origin.fetch, progress)

    def kept(self) -> list[str]:
        return sorted(path.name for path in (self.root / "cache" / "entries").iterdir())

    def half_done(self) -> list[Path]:
        return list((self.root / "cache" / "incoming").iterdir())


@pytest.fixture
async def host(tmp_path: Path) -> Host:
    host = Host(tmp_path)
    await host.cache.start()
    return host


def contents(mount: InputMount) -> dict[str, bytes]:
    files = (path for path in mount.path.rglob("*") if path.is_file())
    return {str(path.relative_to(mount.path)): path.read_bytes() for path in files}


# ---- sharing


async def test_the_second_execution_gets_links_of_its_own_and_nothing_is_fetched(host: Host) -> None:
    origin = Origin()
    first, second = await host.bring("x", origin), await host.bring("x", origin)
    assert origin.fetches == 1
    assert (first.from_cache, second.from_cache) == (False, True)
    assert contents(first.mount) == contents(second.mount) == origin.files
    assert first.mount.path != second.mount.path
    one, other = (it.mount.path / "a.txt" for it in (first, second))
    assert one.samefile(other)
    assert (second.size, second.files) == (9, 2)
    usage = host.cache.usage()
    assert (usage.count, usage.hits, usage.misses, usage.hit_bytes) == (1, 1, 1, 9)
    # Two executions and the cache hold each file: one inode, counted once.
    assert one.stat().st_nlink == 3
    assert usage.bytes == sum(
        os.lstat(path).st_blocks * 512 for path in (second.mount.path, *second.mount.path.rglob("*"))
    )


async def test_the_files_that_are_shared_can_be_written_by_no_other_user_and_keep_the_permission_to_run(
    host: Host,
) -> None:
    origin = Origin({"run.sh": b"#!/bin/sh\n"})

    async def fetch(directory: Path, progress: Progress) -> InputMount:
        mount = await origin.fetch(directory, progress)
        (mount.path / "run.sh").chmod(0o775)
        (mount.path / "link").symlink_to("run.sh")
        return mount

    for _ in range(2):
        mount = (await host.cache.bring("x", host.place(), fetch, no_progress)).mount
        assert stat.S_IMODE((mount.path / "run.sh").stat().st_mode) == 0o755
        assert str((mount.path / "link").readlink()) == "run.sh"


async def test_evicting_an_entry_does_not_hurt_the_execution_that_uses_it(host: Host) -> None:
    origin = Origin()
    mount = (await host.bring("x", origin)).mount
    for key in host.kept():
        host.cache._files.remove(key)
    assert not host.kept()
    assert contents(mount) == origin.files


async def test_an_input_that_the_task_may_write_to_is_moved_and_not_shared(host: Host) -> None:
    origin = Origin()

    async def fetch(directory: Path, progress: Progress) -> InputMount:
        return InputMount((await origin.fetch(directory, progress)).path, "/inputs", read_only=False)

    place = host.place()
    brought = await host.cache.bring("x", place, fetch, no_progress)
    assert brought.mount.path == place / "content"
    assert contents(brought.mount) == origin.files
    assert not brought.mount.read_only
    assert (host.kept(), host.half_done()) == ([], [])


async def test_an_input_in_the_very_directory_that_the_source_was_given_is_shared_too(host: Host) -> None:
    async def fetch(directory: Path, _: Progress) -> InputMount:
        (directory / "data.txt").write_text("hello")
        return InputMount(directory, "/inputs")

    for _ in range(2):
        place = host.place()
        brought = await host.cache.bring("x", place, fetch, no_progress)
        assert contents(brought.mount) == {"data.txt": b"hello"}
        assert brought.mount.path == place


async def test_a_single_file_is_shared_too(host: Host) -> None:
    async def fetch(directory: Path, _: Progress) -> InputMount:
        (directory / "content").write_text("hello")
        return InputMount(directory / "content", "/inputs/data.txt")

    mounts = [(await host.cache.bring("x", host.place(), fetch, no_progress)).mount for _ in range(2)]
    assert [mount.path.read_text() for mount in mounts] == ["hello", "hello"]
    assert mounts[0].path.samefile(mounts[1].path)


async def test_what_is_neither_file_directory_nor_link_goes_to_its_execution_alone(host: Host) -> None:
    async def fetch(directory: Path, _: Progress) -> InputMount:
        (directory / "content").mkdir()
        os.mkfifo(directory / "content" / "pipe")
        return InputMount(directory / "content", "/inputs")

    brought = await host.cache.bring("x", host.place(), fetch, no_progress)
    assert (brought.mount.path / "pipe").is_fifo()
    assert (host.kept(), host.half_done()) == ([], [])


async def test_where_links_run_out_the_file_is_copied(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_link(*_: object, **__: object) -> None:
        raise OSError(31, "Too many links")

    monkeypatch.setattr(os, "link", no_link)
    origin = Origin()
    brought = [(await host.bring("x", origin)) for _ in range(2)]
    assert origin.fetches == 1
    assert contents(brought[1].mount) == origin.files
    assert (brought[1].mount.path / "a.txt").stat().st_nlink == 1


async def test_an_entry_whose_bytes_were_changed_is_fetched_again(host: Host) -> None:
    origin = Origin()
    shared = (await host.bring("x", origin)).mount.path / "a.txt"
    shared.write_bytes(b"ALPHA")
    again = await host.bring("x", origin)
    assert origin.fetches == 2
    assert contents(again.mount) == origin.files


async def test_what_changed_while_it_was_fetched_is_kept_under_its_own_name(host: Host) -> None:
    origin = Origin()
    origin.identity = "new"
    await host.bring("old", origin)
    assert (await host.bring("new", origin)).from_cache
    assert not (await host.bring("old", origin)).from_cache


# ---- one fetch at a time


async def test_two_that_want_the_same_at_once_fetch_it_once_and_both_see_how_far_it_is(host: Host) -> None:
    origin = Origin()
    origin.go.clear()
    seen: list[Reading] = []
    first = asyncio.create_task(host.bring("x", origin))
    await origin.started.wait()
    second = asyncio.create_task(host.bring("x", origin, seen.append))
    other = await asyncio.wait_for(host.bring("y", Origin()), WAIT_S)
    assert not other.from_cache
    origin.go.set()
    brought = await asyncio.wait_for(asyncio.gather(first, second), WAIT_S)
    assert origin.fetches == 1
    assert [it.from_cache for it in brought] == [False, True]
    assert seen[-1] == Reading("downloading", 9, 9, 2, 2)


@pytest.mark.parametrize("how", ["fails", "is cancelled"])
async def test_when_the_one_that_fetches_comes_to_nothing_the_next_one_fetches(host: Host, how: str) -> None:
    broken, good = Origin(), Origin()
    broken.go.clear()
    broken.error = IOFailure("no")
    first = asyncio.create_task(host.bring("x", broken))
    await broken.started.wait()
    second = asyncio.create_task(host.bring("x", good))
    await asyncio.sleep(0)
    if how == "fails":
        broken.go.set()
    else:
        first.cancel()
    with pytest.raises((IOFailure, asyncio.CancelledError)):
        await asyncio.wait_for(first, WAIT_S)
    brought = await asyncio.wait_for(second, WAIT_S)
    assert contents(brought.mount) == good.files
    assert (broken.fetches, good.fetches) == (1, 1)
    assert not host.half_done()
    assert len(host.kept()) == 1


# ---- limits


async def test_an_input_that_can_not_be_kept_for_want_of_room_still_serves_its_execution(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> Entry:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(host.cache._files, "seal", full)
    origin = Origin()
    brought = await host.bring("x", origin)
    assert contents(brought.mount) == origin.files
    assert (host.kept(), host.half_done()) == ([], [])


async def test_the_longest_unused_goes_when_there_is_too_much(tmp_path: Path) -> None:
    host = Host(tmp_path, limit=7 * BLOCK)
    await host.cache.start()
    # A block for the file and one for its directory each.
    origins = {name: Origin({"data": os.urandom(BLOCK)}) for name in "abcd"}
    for name in "abc":
        await host.bring(name, origins[name])
    await host.bring("a", origins["a"])
    await host.bring("d", origins["d"])
    assert host.cache.usage().bytes <= 7 * BLOCK
    assert len(host.kept()) == 3
    for name in "acd":
        await host.bring(name, origins[name])
    assert {name: origin.fetches for name, origin in origins.items()} == {"a": 1, "b": 1, "c": 1, "d": 1}


async def test_what_is_larger_than_the_cache_serves_its_execution_and_drives_nothing_out(
    tmp_path: Path,
) -> None:
    host = Host(tmp_path, limit=4 * BLOCK)
    await host.cache.start()
    small, large = Origin({"data": b"1"}), Origin({"data": os.urandom(9 * BLOCK)})
    await host.bring("small", small)
    brought = await host.bring("large", large)
    assert contents(brought.mount) == large.files
    assert (await host.bring("small", small)).from_cache
    assert not (await host.bring("large", large)).from_cache


async def test_what_nobody_uses_gives_way_when_the_disk_is_short(tmp_path: Path) -> None:
    host = Host(tmp_path, min_free=100)
    await host.cache.start()
    used, unused = Origin(), Origin()
    await host.bring("used", used)
    mount = (await host.bring("unused", unused)).mount
    for path in [path for path in mount.path.rglob("*") if path.is_file()]:
        path.unlink()
    host.free = 99
    await host.cache.tidy()
    # Removing what an execution still holds would free nothing.
    assert len(host.kept()) == 1
    assert (await host.bring("used", used)).from_cache


# ---- across restarts


async def test_entries_outlive_the_node_in_their_order_and_half_fetched_ones_do_not(tmp_path: Path) -> None:
    host = Host(tmp_path)
    await host.cache.start()
    origin = Origin()
    await host.bring("x", origin)
    stuck = Origin()
    stuck.go.clear()
    fetching = asyncio.create_task(host.bring("y", stuck))
    await stuck.started.wait()
    assert host.half_done()
    (tmp_path / "cache" / "entries" / "broken").mkdir()
    again = Host(tmp_path)
    again.count = 10
    await again.cache.start()
    assert (again.half_done(), len(again.kept())) == ([], 1)
    assert (await again.bring("x", origin)).from_cache
    assert again.cache.usage().bytes == host.cache.usage().bytes
    fetching.cancel()
    await asyncio.gather(fetching, return_exceptions=True)


async def test_a_secret_in_an_identity_is_not_written_down(host: Host) -> None:
    await host.bring("https://example.org/?token=hunter2", Origin())
    written = [path for path in (host.root / "cache").rglob("*") if path.is_file()]
    assert written
    assert not any("hunter2" in str(path) or b"hunter2" in path.read_bytes() for path in written)


# ---- the bookkeeping


_STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "use", "pin", "unpin"]), st.sampled_from("abcdef"), st.integers(0, 50))
)


@given(_STEPS, st.integers(1, 100))
def test_after_evicting_the_surplus_the_limit_holds_but_for_what_is_pinned(
    steps: list[tuple[str, str, int]], limit: int
) -> None:
    index, pins = CacheIndex(limit), dict.fromkeys("abcdef", 0)
    for what, key, size in steps:
        if what == "add":
            index.add(Entry(key, size, 1, size, 0, "."))
        elif what == "use" and index.get(key):
            index.used(key)
        elif what == "pin":
            index.pin(key)
            pins[key] += 1
        elif what == "unpin" and pins[key]:
            index.unpin(key)
            pins[key] -= 1
        gone = index.surplus()
        for entry in gone:
            assert not pins[entry.key]
            index.drop(entry.key)
        left = sum(1 for key in pins if index.get(key) and not pins[key])
        assert index.disk <= limit or left == 0
