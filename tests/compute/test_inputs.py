"""Inputs of executions on a whole compute node: sharing, sums, reports."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.compute.execution.progress import ProgressBoard, SharedProgress
from bacalhau_jupyter.lib.clock import SystemClock
from bacalhau_jupyter.models.errors import IOFailure
from bacalhau_jupyter.models.jobs.spec import InputSource
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.models.records.progress import Reading
from bacalhau_jupyter.models.wire.messages import ComputeError, RunResult
from bacalhau_jupyter.plugins.contract import InputMount, Progress
from bacalhau_jupyter.plugins.engine import EndReason, Outcome
from bacalhau_jupyter.plugins.options import PluginOptions
from bacalhau_jupyter.plugins.source import FetchRequest
from bacalhau_jupyter.sources.url import UrlDownloadSource
from bacalhau_jupyter.transfer.core.files import io_failure
from bacalhau_jupyter.transfer.core.reach import KEY as ADDRESSES
from tests.compute.makers import an_input, make_execution, make_task
from tests.compute.peer import WAIT_S, Bench, StubSource
from tests.services.http_server import BadHttpServer
from tests.services.node import TEST_SERVERS
from tests.transfer.helpers import small_disk

DATA = b"0123456789"


class NamedSource(StubSource):
    """Brings ten bytes in two files, and knows beforehand which."""

    types: tuple[str, ...] = ("named",)

    def __init__(self) -> None:
        super().__init__()
        self.fetches = 0
        self.names: list[str] = []
        self.nameless: Exception | None = None

    async def identity(self, execution: Execution, input_source: InputSource) -> str | None:
        if self.nameless is not None:
            raise self.nameless
        return f"named {input_source.source.params['Which']}"

    async def fetch(self, request: FetchRequest) -> InputMount:
        self.fetches += 1
        content = request.directory / "content"
        content.mkdir()
        (content / "one").write_bytes(DATA[:4])
        request.progress(Reading("downloading", 4, 10, 1, 2))
        (content / "two").write_bytes(DATA[4:])
        request.progress(Reading("downloading", 10, 10, 2, 2))
        if self.error is not None:
            raise self.error
        return InputMount(content, request.input.target)


class Shared(Bench):
    """A bench with a source whose inputs are shared."""

    def __init__(self, directory: Path, **settings: object) -> None:
        super().__init__(directory, input_cache_min_free=0, **settings)
        self.named = NamedSource()
        self.extra_sources["named"] = self.named

    async def run(self, *inputs: InputSource) -> RunResult | ComputeError:
        execution = make_execution(make_task("world", input_sources=list(inputs)))
        assert (await self.peer.bid(execution)).accepted
        await self.peer.accept(execution)
        waiting = asyncio.create_task(self.peer.next())
        started = asyncio.create_task(self.world.running.wait())
        await asyncio.wait([waiting, started], return_when=asyncio.FIRST_COMPLETED, timeout=WAIT_S)
        started.cancel()
        if not waiting.done():
            self.seen = {
                file.name: file.read_bytes()
                for mount in self.world.requests[execution.id].inputs
                for file in mount.path.iterdir()
            }
            self.world.running.clear()
            self.world.end(execution, Outcome(EndReason.EXITED))
        answer = await asyncio.wait_for(waiting, WAIT_S)
        assert isinstance(answer, RunResult | ComputeError)
        await self.idle()
        return answer


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Shared]:
    it = Shared(tmp_path)
    await it.peer.serve()
    await it.start()
    yield it
    await it.stop()


def named(which: str = "a", target: str = "/inputs") -> InputSource:
    return an_input("named", target, Which=which)


def told(answer: RunResult | ComputeError) -> list[tuple[str, str]]:
    return [(event.topic, event.message) for event in answer.events or []]


async def test_a_second_execution_takes_its_input_from_the_cache_and_history_shows_it(node: Shared) -> None:
    first, second = await node.run(named()), await node.run(named())
    assert node.named.fetches == 1
    assert node.seen == {"one": DATA[:4], "two": DATA[4:]}
    assert told(first) == [
        ("Downloading Inputs", "fetched inputs: 10 B in 2 files"),
        ("Execution", "Completed successfully"),
    ]
    assert told(second)[0] == ("Downloading Inputs", "fetched inputs: 10 B in 2 files from the cache")
    assert second.events is not None
    assert second.events[0].details == {"Bytes": "10", "Files": "2", "CachedBytes": "10"}
    assert Reading("fetching inputs", 10, 10, 2, 2, "10 B from the cache") in node.readings
    usage = node.node.info().compute_node_info.input_cache
    assert usage is not None
    assert (usage.count, usage.hits, usage.misses, usage.hit_bytes) == (1, 1, 1, 10)
    assert not list((node.settings.data_dir / "executions").glob("*/inputs"))


async def test_the_cache_outlives_a_restart(node: Shared) -> None:
    await node.run(named())
    await node.stop()
    await node.start()
    await node.run(named())
    assert node.named.fetches == 1


async def test_without_a_cache_everything_is_fetched(tmp_path: Path) -> None:
    node = Shared(tmp_path, input_cache_size=0)
    await node.peer.serve()
    await node.start()
    for _ in range(2):
        await node.run(named())
    assert node.named.fetches == 2
    assert node.node.info().compute_node_info.input_cache is None
    await node.stop()


async def test_a_source_that_can_not_name_its_bytes_is_asked_for_them_all_the_same(node: Shared) -> None:
    node.named.nameless = IOFailure("can't list the bucket")
    for _ in range(2):
        assert isinstance(await node.run(named()), RunResult)
    assert node.named.fetches == 2


async def test_a_fetch_that_fails_leaves_nothing_in_the_cache(node: Shared) -> None:
    node.named.error = IOFailure("the disk is full: could not write x (3 B free)")
    answer = await node.run(named())
    assert isinstance(answer, ComputeError)
    assert told(answer) == [("Downloading Inputs", "the disk is full: could not write x (3 B free)")]
    cache = node.settings.data_dir / "cache"
    assert [*(cache / "incoming").iterdir(), *(cache / "entries").iterdir()] == []


async def test_progress_is_the_sum_of_all_inputs_of_an_execution(node: Shared) -> None:
    await node.run(named("a", "/inputs/a"), named("b", "/inputs/b"), an_input(target="/inputs/c"))
    readings = [it for it in node.readings if it.phase == "fetching inputs"]
    assert readings[-1] == Reading("fetching inputs", 25, 25, 4, 4)
    assert [it.done for it in readings] == sorted(it.done for it in readings)


# ---- adding up


def record(readings: list[Any]) -> Progress:
    return readings.append


def test_a_sum_knows_its_total_once_every_part_does() -> None:
    seen: list[Any] = []
    shared = SharedProgress(record(seen), "fetching inputs", 3)
    first, second, third = (shared.part(index) for index in range(3))
    first(Reading("downloading", 10, 100, 0, 1))
    second(Reading("unpacking", 5, None))
    assert seen[-1] == Reading("fetching inputs", 15, None, 0, None)
    shared.finish(1)
    third(Reading("downloading", 1, 7, 3, 9))
    assert seen[-1] == Reading("fetching inputs", 16, 112, 3, 10)
    shared.finish(0, 100, 1)
    shared.finish(2, 7, 9)
    assert seen[-1] == Reading("fetching inputs", 112, 112, 10, 10)


def test_a_part_that_says_nothing_does_not_hide_the_total() -> None:
    seen: list[Any] = []
    shared = SharedProgress(record(seen), "fetching inputs", 2)
    shared.finish(0)  # a directory that is mounted where it is
    shared.part(1)(Reading("downloading", 3, 10))
    assert seen[-1] == Reading("fetching inputs", 3, 10, None, None)


async def test_readings_without_files_and_steps_under_another_name_reach_the_board() -> None:
    board = ProgressBoard(SystemClock())
    board.phase("e-1", "publishing")
    report = board.reporter("e-1", "publishing")
    report(Reading("packing", 1, None))
    assert board.reading("e-1") == Reading("publishing", 1)
    await asyncio.to_thread(report, Reading("uploading", 2, 4, 1, 3))
    await asyncio.sleep(0)
    assert board.reading("e-1") == Reading("publishing", 2, 4, 1, 3)
    board.remark("e-1", "half of it")
    report(Reading("uploading", 3, 4))
    assert board.reading("e-1") == Reading("publishing", 3, 4, note="half of it")
    board.phase("e-1", "done")
    assert board.reading("e-1") == Reading("done")


# ---- real servers and real disks


def web_input(url: str, target: str) -> InputSource:
    return an_input("urlDownload", target, URL=url)


async def test_inputs_of_a_web_server_come_together_in_spite_of_it_and_once_only(
    tmp_path: Path, http_server: BadHttpServer
) -> None:
    node = Shared(tmp_path)
    options = PluginOptions("n-test", node.settings.data_dir, settings={ADDRESSES: TEST_SERVERS}.get)
    node.extra_sources["urldownload"] = UrlDownloadSource(options)
    await node.peer.serve()
    await node.start()
    paths = ("/file/a.csv", "/cut/b.csv", "/redirect", "/chunked")
    for _ in range(2):
        inputs = [web_input(http_server.url + path, f"/inputs/{n}") for n, path in enumerate(paths)]
        answer = await node.run(*inputs)
        assert isinstance(answer, RunResult), answer
        assert node.seen == dict.fromkeys(
            ("a.csv", "b.csv", "report 2026.csv", "chunked"), http_server.content
        )
    # What has no strong ETag is fetched each time; the cut one took two requests, once.
    fetched = Counter(path for method, path, _ in http_server.requests if method == "GET")
    assert fetched == {"/file/a.csv": 1, "/cut/b.csv": 2, "/redirect": 1, "/named": 1, "/chunked": 2}
    size = len(http_server.content)
    last = next(it for it in reversed(node.readings) if it.phase == "fetching inputs")
    assert (last.done, last.total, last.files, last.files_total) == (4 * size, 4 * size, 4, 4)
    await node.stop()


class SizedSource(NamedSource):
    """Brings as many bytes as it is asked for."""

    types: tuple[str, ...] = ("sized",)

    async def size(self, execution: Execution, input_source: InputSource) -> int:
        return int(input_source.source.params["Size"])

    async def fetch(self, request: FetchRequest) -> InputMount:
        self.fetches += 1
        size = int(request.input.source.params["Size"])
        path = request.directory / "content" / "data"
        path.parent.mkdir()
        try:
            await asyncio.to_thread(path.write_bytes, os.urandom(size))
        except OSError as error:
            raise io_failure(error, "write", path, "Sized") from error
        return InputMount(path.parent, request.input.target)


def sized(which: str, size: int) -> InputSource:
    return an_input("sized", "/inputs/data", Which=which, Size=size)


async def test_kept_inputs_give_way_on_a_small_disk_and_one_that_does_not_fit_leaves_nothing(
    tmp_path: Path,
) -> None:
    with small_disk(tmp_path / "disk", "5m") as disk:
        node = Shared(disk)
        source = node.extra_sources["sized"] = SizedSource()
        await node.peer.serve()
        await node.start()
        before = node.node.capacity.limit.disk
        for which in "abab":
            answer = await node.run(sized(which, 3_000_000))
            assert isinstance(answer, RunResult), answer
        # Only one of them fits at a time.
        assert source.fetches == 4
        answer = await node.run(sized("b", 3_000_000))
        assert source.fetches == 4
        await node.stop()
        await node.start()
        # What is kept does not make the node smaller.
        assert node.node.capacity.limit.disk > before - 500_000
        # More than it said it would be.
        source.bytes = 0
        node.extra_sources["sized"].size = _no_size  # type: ignore[method-assign]
        answer = await node.run(sized("c", 8_000_000))
        assert isinstance(answer, ComputeError)
        [(topic, message)] = told(answer)
        assert topic == "Downloading Inputs"
        assert message.startswith("the disk is full: could not write ")
        cache = node.settings.data_dir / "cache"
        assert list((cache / "incoming").iterdir()) == []
        assert not list((node.settings.data_dir / "executions").glob("*/inputs"))
        await node.stop()


async def _no_size(execution: Execution, input_source: InputSource) -> int:
    return 0
