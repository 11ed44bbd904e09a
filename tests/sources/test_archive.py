"""Archives behind URLs, as files."""

from __future__ import annotations

import asyncio
import io
import os
import tarfile
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.jobs.spec import InputSource, SpecConfig
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.plugins.options import PluginOptions, StoredFile
from bacalhau_jupyter.plugins.publisher import PublishRequest
from bacalhau_jupyter.plugins.source import FetchRequest, identity_of
from bacalhau_jupyter.sources import archive as archive_module
from bacalhau_jupyter.sources import url as url_module
from bacalhau_jupyter.sources.archive import UrlArchiveSource
from bacalhau_jupyter.sources.url import UrlDownloadSource
from bacalhau_jupyter.transfer.archive.held import HeldArchive, open_archive
from bacalhau_jupyter.transfer.archive.keeping import MIN_SIZE, pack_result
from bacalhau_jupyter.transfer.archive.packing import pack_into
from bacalhau_jupyter.transfer.archive.ranges import OpenFileRanges
from bacalhau_jupyter.transfer.archive.tar_gz import unpack
from tests.services.node import TEST_SERVERS
from tests.services.waiting import until
from tests.transfer.helpers import names, tree

OWN = "http://node.example/own"
FILES = {
    "outputs/d/x.txt": b"deep",
    "outputs/run.sh": b"#!/bin/sh\n",
    "outputs/.bacalhau/df": b"value",
    "stdout": b"hi",
}


def packed(place: Path, files: dict[str, bytes]) -> Path:
    """An archive of ours, with its index."""
    top = place / "tree"
    for name, data in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(data)
    (top / "outputs" / "run.sh").chmod(0o700)
    with (place / "own.tar.gz").open("wb") as file:
        pack_into(top, file)
    return place / "own.tar.gz"


def foreign(*members: tuple[str, bytes]) -> bytes:
    """An archive of somebody else."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, data in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    place = tmp_path / "made"
    place.mkdir()
    return packed(place, FILES)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    made = tmp_path / "place"
    made.mkdir()
    return made


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[bytes], Any]]:
    servers: list[TestServer] = []

    async def start(data: bytes) -> str:
        async def answer(_: web.Request) -> web.Response:
            return web.Response(body=data)

        app = web.Application()
        app.router.add_get("/{name}", answer)
        servers.append(TestServer(app))
        await servers[-1].start_server()
        return str(servers[-1].make_url("/x.tar.gz"))

    yield start
    for server in servers:
        await server.close()


def maker_options(tmp_path: Path, archive: Path | None = None) -> PluginOptions:
    def stored(url: str) -> StoredFile | None:
        return StoredFile(archive, "own.tar.gz", "own") if archive is not None and url == OWN else None

    keys = {"Compute.AllowListedAddresses": list(TEST_SERVERS)}
    return PluginOptions(node_id="n-1", data_dir=tmp_path, settings=keys.get, stored=stored)


def make(tmp_path: Path, archive: Path | None = None) -> UrlArchiveSource:
    return UrlArchiveSource(maker_options(tmp_path, archive))


def open_files() -> list[str]:
    return [each.path for each in psutil.Process().open_files()]


def source(url: str, **params: Any) -> InputSource:
    return InputSource(source=SpecConfig(type="urlArchive", params={"URL": url, **params}), target="/inputs")


async def test_all_of_an_archive_of_this_node_appears_with_its_modes(
    tmp_path: Path, place: Path, archive: Path
) -> None:
    mount = await make(tmp_path, archive).fetch(FetchRequest(Execution(), source(OWN), place))
    assert (mount.path / "outputs" / "d" / "x.txt").read_bytes() == b"deep"
    assert (mount.path / "outputs" / "run.sh").stat().st_mode & 0o777 == 0o755
    assert (mount.path / "outputs").stat().st_mode & 0o777 == 0o755
    assert names(place) == ["content"]


async def test_a_directory_of_it_is_the_target_and_a_name_can_be_left_out(
    tmp_path: Path, place: Path, archive: Path
) -> None:
    part = source(OWN, Path="outputs", LeaveOut=".bacalhau")
    mount = await make(tmp_path, archive).fetch(FetchRequest(Execution(), part, place))
    assert sorted(tree(mount.path)) == ["d", "d/x.txt", "run.sh"]
    assert names(place) == ["content"]


async def test_a_file_of_it_is_the_target(tmp_path: Path, place: Path, archive: Path) -> None:
    part = source(OWN, Path="outputs/d/x.txt")
    mount = await make(tmp_path, archive).fetch(FetchRequest(Execution(), part, place))
    assert mount.path.read_bytes() == b"deep" and mount.path.stat().st_mode & 0o444 == 0o444


async def test_only_what_is_wanted_counts(tmp_path: Path, archive: Path) -> None:
    sizes = [
        await make(tmp_path, archive).size(Execution(), source(OWN, Path=path))
        for path in ("outputs/d", "stdout", "")
    ]
    assert sizes == [4, 2, sum(map(len, FILES.values()))]


async def test_equal_parts_of_one_archive_are_one_identity(tmp_path: Path, archive: Path) -> None:
    made = make(tmp_path, archive)
    identities = [
        await identity_of(made, Execution(), source(OWN, **params))
        for params in ({"Path": "a"}, {"Path": "./a/"}, {"Path": "b"}, {"Path": "a", "LeaveOut": "c"})
    ]
    assert identities[0] == identities[1] and len(set(identities)) == 3


async def test_an_archive_of_somebody_else_is_downloaded_and_unpacked(
    tmp_path: Path, place: Path, serve: Callable[[bytes], Any]
) -> None:
    url = await serve(foreign(("d/x", b"1"), ("y", b"2")))
    mount = await make(tmp_path).fetch(FetchRequest(Execution(), source(url, Path="d"), place))
    assert sorted(tree(mount.path)) == ["x"]
    assert names(place) == ["content"]


@pytest.mark.parametrize(
    "data",
    [foreign(("../out", b"1")), foreign(("/abs", b"1")), b"no archive", b"", foreign(("a", b"1"))[:-20]],
)
async def test_a_hostile_or_broken_archive_leaves_nothing_behind(
    tmp_path: Path, place: Path, serve: Callable[[bytes], Any], data: bytes
) -> None:
    url = await serve(data)
    with pytest.raises(BacalhauError):
        await make(tmp_path).fetch(FetchRequest(Execution(), source(url), place))
    assert not (place / "content").exists() and not (tmp_path / "out").exists()


@pytest.mark.parametrize("path", ["../x", "/etc", "a/../../b", "a\0b", 3])
async def test_a_path_that_leads_out_is_no_bid(tmp_path: Path, archive: Path, path: object) -> None:
    bid = await make(tmp_path, archive).bid(Execution(), source(OWN, Path=path))
    assert not bid.accepted and "this node can't bring an input" in bid.reason


async def test_a_path_that_is_not_there_is_an_error_that_names_it(
    tmp_path: Path, place: Path, archive: Path
) -> None:
    with pytest.raises(BacalhauError, match="nope"):
        await make(tmp_path, archive).fetch(FetchRequest(Execution(), source(OWN, Path="nope"), place))


@pytest.mark.parametrize("url", ["http://169.254.169.254/x", "file:///etc/passwd", "", "http://0/x"])
async def test_a_url_that_leads_inward_is_no_bid(tmp_path: Path, url: str) -> None:
    keys: dict[str, Any] = {}
    made = UrlArchiveSource(PluginOptions(node_id="n-1", data_dir=tmp_path, settings=keys.get))
    assert not (await made.bid(Execution(), source(url))).accepted


@pytest.fixture
def held(tmp_path: Path) -> Path:
    """A result of this node, with a large file beside its archive."""
    left = tmp_path / "left"
    (left / "outputs").mkdir(parents=True)
    (left / "outputs/big.bin").write_bytes(os.urandom(MIN_SIZE + 1))
    (left / "stdout").write_bytes(b"said")
    gathering = PublishRequest(Execution(id="e-1"), left).gathering("test")
    result = tmp_path / "data-e-1.tar.gz"
    assert not pack_result(gathering, result)
    return result


async def test_a_large_file_of_a_result_of_this_node_is_linked_into_the_job_not_copied(
    tmp_path: Path, place: Path, held: Path
) -> None:
    maker = make(tmp_path, held)
    assert await maker.size(Execution(), source(OWN, Path="outputs")) == MIN_SIZE + 1
    mount = await maker.fetch(FetchRequest(Execution(), source(OWN), place))
    file = mount.path / "outputs/big.bin"
    assert file.stat().st_ino == (held / "0").stat().st_ino
    assert file.stat().st_mode & 0o777 == 0o444
    assert (mount.path / "stdout").read_bytes() == b"said"
    assert names(place) == ["content"]


async def test_the_archive_itself_is_put_together_for_a_job_that_wants_it(
    tmp_path: Path, place: Path, held: Path
) -> None:
    settings = {"Compute.AllowListedAddresses": list(TEST_SERVERS)}
    options = PluginOptions(
        node_id="n-1",
        data_dir=tmp_path,
        settings=settings.get,
        stored=lambda url: StoredFile(held, "e-1.tar.gz", "own"),
    )
    asked_for = InputSource(
        source=SpecConfig(type="urlDownload", params={"URL": OWN, "File": True}), target="/x"
    )
    downloads = UrlDownloadSource(options)
    mount = await downloads.fetch(FetchRequest(Execution(), asked_for, place))
    assert mount.path.stat().st_size == await downloads.size(Execution(), asked_for)
    await unpack(mount.path, tmp_path / "out")
    assert (tmp_path / "out/outputs/big.bin").read_bytes() == (held / "0").read_bytes()


async def test_a_result_that_is_opened_as_its_reader_is_cancelled_does_not_stay_open(
    tmp_path: Path, held: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_open, may_go_on = threading.Event(), threading.Event()

    def slow(path: Path) -> OpenFileRanges | HeldArchive:
        opened = open_archive(path)
        is_open.set()
        assert may_go_on.wait(60)
        return opened

    def in_use() -> list[str]:
        return [place for place in open_files() if place.startswith(str(held))]

    monkeypatch.setattr(archive_module, "open_archive", slow)
    asking = asyncio.create_task(make(tmp_path, held).size(Execution(), source(OWN)))
    await until(is_open.is_set)
    assert in_use()
    asking.cancel()
    asyncio.get_running_loop().call_later(0.05, may_go_on.set)
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert not in_use()


@pytest.mark.parametrize(
    ("module", "name", "kind"), [(archive_module, "_settle", "urlArchive"), (url_module, "_move_in", "url")]
)
async def test_a_fetch_that_is_cancelled_moves_nothing_any_more(
    module: ModuleType,
    name: str,
    kind: str,
    tmp_path: Path,
    place: Path,
    archive: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    is_moving, may_go_on, has_moved = threading.Event(), threading.Event(), threading.Event()
    move = getattr(module, name)

    def slow(*arguments: object) -> None:
        is_moving.set()
        assert may_go_on.wait(60)
        move(*arguments)
        has_moved.set()

    monkeypatch.setattr(module, name, slow)
    asked_for, maker = source(OWN), make(tmp_path, archive)
    fetcher = maker if kind == "urlArchive" else UrlDownloadSource(maker_options(tmp_path, archive))
    fetching = asyncio.create_task(fetcher.fetch(FetchRequest(Execution(), asked_for, place)))
    await until(is_moving.is_set)
    fetching.cancel()
    asyncio.get_running_loop().call_later(0.05, may_go_on.set)
    with pytest.raises(asyncio.CancelledError):
        await fetching
    # Who asked for it removes the directory now.
    assert has_moved.is_set()
