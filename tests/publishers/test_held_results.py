"""Large result files are not packed: they lie beside the archive, which the node makes from them during a download."""

from __future__ import annotations

import asyncio
import mmap
import os
import random
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bacalhau_jupyter.models.errors import IOFailure, NotFound
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.plugins.options import PluginOptions
from bacalhau_jupyter.plugins.publisher import PublishRequest
from bacalhau_jupyter.publishers import shelf
from bacalhau_jupyter.publishers.keeper import QUOTA
from bacalhau_jupyter.publishers.local import LocalPublisher
from bacalhau_jupyter.publishers.shelf import removal, result_path
from bacalhau_jupyter.transfer.archive.held import HeldArchive, archive_size, write_archive
from bacalhau_jupyter.transfer.archive.keeping import MIN_SIZE
from bacalhau_jupyter.transfer.archive.ranges import FileRanges
from bacalhau_jupyter.transfer.archive.reader import ArchiveReader
from bacalhau_jupyter.transfer.archive.tar_gz import unpack
from tests.transfer.helpers import names, small_disk, tree

ID = "e-6b1d1d9e-0000-4000-8000-000000000000"
LARGE = os.urandom(MIN_SIZE + 12_345)


def publisher(root: Path, quota: int = 0) -> LocalPublisher:
    return LocalPublisher(PluginOptions("n-1", root / "data", {QUOTA: quota}.get))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    directory = tmp_path / "results"
    (directory / "outputs").mkdir(parents=True)
    (directory / "stdout").write_bytes(b"hi\n")
    (directory / "outputs/a.bin").write_bytes(LARGE)
    (directory / "outputs/b.txt").write_bytes(b"small")
    (directory / "outputs/c.bin").write_bytes(LARGE[::-1])
    (directory / "outputs/zeros.csv").write_bytes(bytes(MIN_SIZE))
    return directory


async def publish(root: Path, directory: Path, name: str = ID) -> Path:
    await publisher(root).publish(PublishRequest(Execution(id=name), directory))
    return result_path(root / "data", name)


def held(result: Path) -> list[str]:
    """Return which files lie beside an archive."""
    return [name for name in names(result) if name.isdigit()] if result.is_dir() else []


async def test_a_large_file_gets_a_second_name_and_small_or_compressible_ones_are_packed(
    tmp_path: Path, results: Path
) -> None:
    before = (results / "outputs/a.bin").stat().st_ino
    result = await publish(tmp_path, results)
    assert held(result) == ["0", "1"]
    assert (result / "0").stat().st_ino == before
    assert (result / "0").stat().st_mode & 0o777 == 0o444
    assert (result / "archive").stat().st_size < 3 * (1 << 20) + MIN_SIZE // 10
    assert result.stat().st_mode & 0o777 == 0o700
    assert names(result.parent) == [result.name]


async def test_any_gzip_and_tar_reads_the_archive_that_the_directory_stands_for(
    tmp_path: Path, results: Path
) -> None:
    result = await publish(tmp_path, results)
    write_archive(result, tmp_path / "whole.tar.gz")
    assert (tmp_path / "whole.tar.gz").stat().st_size == archive_size(result)
    subprocess.run(["gzip", "-t", tmp_path / "whole.tar.gz"], check=True, timeout=60)
    with tarfile.open(tmp_path / "whole.tar.gz") as archive:
        extracted = archive.extractfile("outputs/a.bin")
        assert extracted is not None and extracted.read() == LARGE
    await unpack(tmp_path / "whole.tar.gz", tmp_path / "out")
    unpacked, left = tree(tmp_path / "out"), tree(results)
    assert {name: entry[:2] for name, entry in unpacked.items()} == {
        name: entry[:2] for name, entry in left.items()
    }
    assert unpacked["outputs/a.bin"][2] == 0o644  # what the job gave it


async def test_every_range_is_the_one_of_the_whole_archive_also_for_two_readers_at_once(
    tmp_path: Path, results: Path
) -> None:
    result = await publish(tmp_path, results)
    write_archive(result, tmp_path / "whole.tar.gz")
    whole = (tmp_path / "whole.tar.gz").read_bytes()
    readers = [HeldArchive.open(result) for _ in range(2)]
    places = random.Random(1)

    async def look(reader: HeldArchive) -> None:
        for _ in range(20):
            start = places.randrange(len(whole))
            stop = min(len(whole), start + places.randrange(1, 3 << 20))
            assert b"".join([chunk async for chunk in reader.read(start, stop)]) == whole[start:stop]

    await asyncio.gather(*map(look, readers))
    for reader in readers:
        await reader.close()


async def test_it_is_read_and_saved_like_the_archive_and_linked_only_where_that_is_allowed(
    tmp_path: Path, results: Path
) -> None:
    result = await publish(tmp_path, results)
    write_archive(result, tmp_path / "whole.tar.gz")
    plain, archive = ArchiveReader(FileRanges(tmp_path / "whole.tar.gz")), HeldArchive.open(result)
    reader = ArchiveReader(archive, close=archive.close)
    assert await reader.entries() == await plain.entries()
    assert b"".join([c async for c in reader.read("outputs/a.bin", 5, 3_000_000)]) == LARGE[5:3_000_000]
    for name in ("copied", "plain", "linked"):
        (tmp_path / name).mkdir()
    await reader.save(tmp_path / "copied")
    await plain.save(tmp_path / "plain")
    await reader.save(tmp_path / "linked", "outputs", may_link=True)
    assert tree(tmp_path / "copied") == tree(tmp_path / "plain")
    copied, linked = tmp_path / "copied/outputs/a.bin", tmp_path / "linked/outputs/a.bin"
    assert copied.stat().st_ino != (result / "0").stat().st_ino
    assert linked.stat().st_ino == (result / "0").stat().st_ino
    copied.write_bytes(b"mine")
    assert (result / "0").read_bytes() == LARGE
    await reader.close()


@contextmanager
def held_open(path: Path, how: str) -> Iterator[None]:
    """Let another process have a file open, as a survivor of the job would."""
    code = f"import os,sys,mmap; f=open(sys.argv[1],{how!r}); print('open',flush=True); sys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"open\n"
    try:
        yield
    finally:
        process.communicate(timeout=30)


@pytest.mark.process
@pytest.mark.parametrize("how", ["r+b", "rb"])
async def test_a_file_that_somebody_has_open_is_packed(tmp_path: Path, results: Path, how: str) -> None:
    with held_open(results / "outputs/a.bin", how):
        result = await publish(tmp_path, results)
    assert held(result) == ["0"]
    assert (result / "0").read_bytes() == LARGE[::-1]
    assert (results / "outputs/a.bin").stat().st_mode & 0o777 == 0o644


async def test_a_file_that_is_mapped_for_writing_is_packed(tmp_path: Path, results: Path) -> None:
    with (results / "outputs/a.bin").open("r+b") as file:
        mapped = mmap.mmap(file.fileno(), 0)
    result = await publish(tmp_path, results)
    assert held(result) == ["0"]
    mapped.close()


async def test_hostile_files_are_packed_or_left_out_and_never_linked(tmp_path: Path, results: Path) -> None:
    outside = tmp_path / "outside.bin"
    outside.write_bytes(LARGE)
    outputs = results / "outputs"
    (outputs / "a.bin").unlink()
    (outputs / "a.bin").symlink_to(outside)
    os.link(outside, outputs / "other-name.bin")
    (outputs / "c.bin").chmod(0o755)
    with (outputs / "sparse.bin").open("wb") as file:
        file.truncate(50 * MIN_SIZE)
        file.write(LARGE[:1000])
    request = PublishRequest(Execution(id=ID), results)
    await publisher(tmp_path).publish(request)
    result = result_path(tmp_path / "data", ID)
    assert result.is_file()
    assert [left.name for left in request.left_out] == ["outputs/a.bin"]
    assert outside.stat().st_mode & 0o777 == 0o644


async def test_more_files_than_a_reader_should_open_are_packed(tmp_path: Path) -> None:
    directory = tmp_path / "results"
    directory.mkdir()
    for number in range(18):
        (directory / f"{number:02}").write_bytes(LARGE)
    result = await publish(tmp_path, directory)
    assert len(held(result)) == 16
    archive = HeldArchive.open(result)
    reader = ArchiveReader(archive, close=archive.close)
    assert b"".join([chunk async for chunk in reader.read("17")]) == LARGE
    await reader.close()


async def test_a_result_is_counted_once_with_all_its_files(tmp_path: Path, results: Path) -> None:
    keeper = publisher(tmp_path, quota=10**9)
    await keeper.probe()
    for _ in range(2):
        await keeper.publish(PublishRequest(Execution(id=ID), results))
        usage = keeper.usage()
        assert usage.count == 1
        assert 2 * len(LARGE) < usage.bytes < 2 * len(LARGE) + 4 * (1 << 20)
    again = publisher(tmp_path, quota=10**9)
    await again.probe()
    assert again.usage().bytes == usage.bytes
    gone = await again.remove([ID])
    assert (gone.count, gone.bytes, again.usage().bytes) == (1, usage.bytes, 0)
    await keeper.close()


async def test_what_does_not_fit_into_the_quota_leaves_nothing(tmp_path: Path, results: Path) -> None:
    keeper = publisher(tmp_path, quota=len(LARGE))
    await keeper.probe()
    with pytest.raises(IOFailure, match="do not fit into the quota"):
        await keeper.publish(PublishRequest(Execution(id=ID), results))
    assert names(result_path(tmp_path / "data", ID).parent) == []
    assert keeper.usage().bytes == 0
    assert (results / "outputs/a.bin").read_bytes() == LARGE


async def test_a_disk_that_fills_midway_leaves_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "24m") as disk:
        directory = disk / "results"
        directory.mkdir()
        (directory / "a.bin").write_bytes(LARGE)
        (directory / "b.bin").write_bytes(LARGE)
        (directory / "b.bin").chmod(0o755)  # packed, and there is no room for it
        (directory / "c.bin").write_bytes(os.urandom(4_000_000))
        keeper = LocalPublisher(PluginOptions("n-1", disk / "data"))
        await keeper.probe()
        with pytest.raises(IOFailure, match="the disk is full"):
            await keeper.publish(PublishRequest(Execution(id=ID), directory))
        assert names(result_path(disk / "data", ID).parent) == []
        assert (directory / "a.bin").read_bytes() == LARGE and (directory / "a.bin").stat().st_nlink == 1


async def test_who_has_it_open_reads_on_when_its_job_is_deleted(tmp_path: Path, results: Path) -> None:
    result = await publish(tmp_path, results)
    write_archive(result, tmp_path / "whole.tar.gz")
    archive = HeldArchive.open(result)
    chunks = archive.read(0, archive.length)
    parts = [await anext(chunks)]
    assert (await publisher(tmp_path).remove([ID])).count == 1
    assert names(result.parent) == ["removed.jsonl"]
    parts += [chunk async for chunk in chunks]
    assert b"".join(parts) == (tmp_path / "whole.tar.gz").read_bytes()
    # Its last name is gone, so it is copied where it would have been linked.
    reader = ArchiveReader(archive, close=archive.close)
    (tmp_path / "late").mkdir()
    await reader.save(tmp_path / "late", "outputs/a.bin", may_link=True)
    assert (tmp_path / "late/outputs/a.bin").read_bytes() == LARGE
    await reader.close()


_ENDLESS = """
import sys
from pathlib import Path
from bacalhau_jupyter.transfer.archive import keeping
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.plugins.publisher import PublishRequest
real = keeping.pack_into
def pack_into(*arguments, **options):
    report = real(*arguments, **options)
    print("packed", flush=True)
    sys.stdin.read()
    return report
keeping.pack_into = pack_into
request = PublishRequest(Execution(id="e-1"), Path(sys.argv[1]))
keeping.pack_result(request.gathering("x"), Path(sys.argv[2]))
"""


@pytest.mark.process
async def test_a_kill_midway_leaves_no_half_result_and_no_lost_bytes(tmp_path: Path, results: Path) -> None:
    keeper = publisher(tmp_path, quota=10**9)
    await keeper.probe()
    target = result_path(tmp_path / "data", "e-1")
    process = subprocess.Popen(
        [sys.executable, "-c", _ENDLESS, str(results), str(target)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stdout.readline() == b"packed\n"
    process.kill()
    process.communicate(timeout=30)
    assert len(names(target.parent)) == 1
    again = publisher(tmp_path, quota=10**9)
    await again.probe()
    assert names(target.parent) == []
    assert again.usage().bytes == 0
    assert (results / "outputs/a.bin").stat().st_nlink == 1
    await again.publish(PublishRequest(Execution(id="e-1"), results))
    assert held(target) == ["0", "1"]
    await again.close()


async def test_it_is_brought_to_the_disk_after_it_is_published_and_its_times_stay(
    tmp_path: Path, results: Path
) -> None:
    keeper = publisher(tmp_path)
    await keeper.publish(PublishRequest(Execution(id=ID), results))
    result = result_path(tmp_path / "data", ID)
    published_ns = result.stat().st_mtime_ns
    await keeper.close()
    assert (result / "synced").exists()
    assert result.stat().st_mtime_ns == published_ns


async def test_what_was_not_on_the_disk_when_the_machine_went_down_is_removed_with_the_reason(
    tmp_path: Path, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = publisher(tmp_path)
    for name in ("e-1", "e-2"):
        await keeper.publish(PublishRequest(Execution(id=name), results))
    await keeper.close()
    lost, whole = (result_path(tmp_path / "data", name) for name in ("e-1", "e-2"))
    (lost / "synced").unlink()
    again = publisher(tmp_path)
    await again.probe()  # killed: the machine still has it
    await again.close()
    assert (lost / "synced").exists()
    (lost / "synced").unlink()
    monkeypatch.setattr(shelf, "boot_id", lambda: "another")
    await publisher(tmp_path).probe()
    assert (lost.exists(), whole.exists()) == (False, True)
    record = removal(tmp_path / "data", "e-1")
    assert record is not None and "went down" in record.reason


@pytest.mark.parametrize("damage", ["write", "shorten", "link", "layout", "public", "gone"])
async def test_a_damaged_result_is_refused_not_served(tmp_path: Path, results: Path, damage: str) -> None:
    result = await publish(tmp_path, results)
    file = result / "0"
    if damage in ("write", "shorten"):
        file.chmod(0o644)
        os.truncate(file, 100) if damage == "shorten" else file.write_bytes(LARGE[:-1] + b"!")
        os.utime(file, ns=(time.time_ns(), time.time_ns()))
    elif damage == "link":
        file.unlink()
        file.symlink_to("/etc/passwd")
    elif damage == "layout":
        (result / "layout").write_bytes(b"\x00\xff")
    elif damage == "public":
        result.chmod(0o777)
    else:
        file.unlink()
    with pytest.raises((IOFailure, OSError, NotFound)):
        HeldArchive.open(result)
