"""Archives that are read in place: by their index, in ranges, and never trusted."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import os
import shutil
import struct
import subprocess
import tarfile
import tempfile
import threading
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.models.errors import BacalhauError, IOFailure, NotFound
from bacalhau_jupyter.models.records.progress import Reading
from bacalhau_jupyter.transfer.archive import reader as reader_module
from bacalhau_jupyter.transfer.archive.blocks import BrokenBlock, deflate, inflate
from bacalhau_jupyter.transfer.archive.extract import RunWriter
from bacalhau_jupyter.transfer.archive.packing import pack_into
from bacalhau_jupyter.transfer.archive.ranges import TAIL, FileRanges
from bacalhau_jupyter.transfer.archive.reader import ArchiveReader
from bacalhau_jupyter.transfer.core.readers import EntryKind, ResultEntry
from tests.services.waiting import until
from tests.transfer.archive.reading import MemoryRanges, contents, made, packed, sample
from tests.transfer.archive.test_archives import NAMES, TREES, build
from tests.transfer.helpers import names, tree
from tests.transfer.http.test_http import resident

GO = """package main
import ("archive/tar"; "compress/gzip"; "fmt"; "io"; "os"; "crypto/sha256")
func main() {
	file, err := os.Open(os.Args[1]); check(err)
	unzipped, err := gzip.NewReader(file); check(err)
	reader := tar.NewReader(unzipped)
	for {
		header, err := reader.Next()
		if err == io.EOF { break }
		check(err)
		sum := sha256.New()
		_, err = io.Copy(sum, reader); check(err)
		fmt.Printf("%c %s %d %x\\n", header.Typeflag, header.Name, header.Size, sum.Sum(nil)[:4])
	}
	_, err = io.Copy(io.Discard, unzipped); check(err)
}
func check(err error) { if err != nil { panic(err) } }
"""


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(NAMES, TREES, max_size=4),
    st.integers(600, 40_000),
    st.data(),
)
def test_any_tree_is_read_back_by_its_index_at_any_block_size(
    shape: dict[str, object], block: int, data: st.DataObject
) -> None:
    async def check(source: Path, place: Path) -> None:
        archive = packed(source, block=block)
        reader = ArchiveReader(MemoryRanges(archive))
        listed = await reader.entries()
        expected = tree(source)
        assert {entry.path for entry in listed} == set(expected)
        for entry in listed:
            if entry.kind is EntryKind.FILE:
                whole = expected[entry.path][1]
                assert isinstance(whole, bytes)
                assert (await contents(reader, entry.path), entry.size) == (whole, len(whole))
                start = data.draw(st.integers(0, len(whole)))
                stop = data.draw(st.integers(start, len(whole)))
                assert await contents(reader, entry.path, start, stop) == whole[start:stop]
        await reader.save(place)
        saved = tree(place)
        assert {name: entry[:2] for name, entry in saved.items()} == {
            name: entry[:2] for name, entry in expected.items()
        }
        # To everybody else it is a tar: what an unpacker sees ends with two empty blocks.
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            assert {info.name for info in tar} - {"."} == set(expected)

    with tempfile.TemporaryDirectory() as root:
        source, place = Path(root, "source"), Path(root, "target")
        source.mkdir()
        place.mkdir()
        build(source, shape)
        asyncio.run(check(source, place))


async def test_what_is_saved_has_the_modes_times_and_links_of_what_was_packed(tmp_path: Path) -> None:
    source = sample(tmp_path / "source")
    os.utime(source / "stdout", (1_600_000_000, 1_600_000_000))
    (tmp_path / "x.tar.gz").write_bytes(packed(source))
    reader = ArchiveReader(FileRanges(tmp_path / "x.tar.gz"))
    (tmp_path / "out").mkdir()
    readings: list[Reading] = []
    await reader.save(tmp_path / "out", progress=readings.append)
    assert tree(tmp_path / "out") == tree(source)
    assert (tmp_path / "out/stdout").stat().st_mtime == 1_600_000_000
    total = sum(path.stat().st_size for path in source.rglob("*") if path.is_file() and not path.is_symlink())
    assert readings[-1] == Reading("downloading results", total, total, 6, 6)


async def test_what_a_cancelled_caller_has_written_is_removed_when_it_is_not_written_to_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_writing, may_end = threading.Event(), threading.Event()
    order: list[str] = []
    feed = RunWriter.feed

    def slow(writer: RunWriter, data: bytes) -> None:
        is_writing.set()
        assert may_end.wait(60)
        feed(writer, data)
        order.append("written")

    def remove(place: Path) -> OSError | None:
        order.append("removed")
        return remove_tree(place)

    monkeypatch.setattr(RunWriter, "feed", slow)
    monkeypatch.setattr(reader_module, "remove_tree", remove)
    reader = ArchiveReader(MemoryRanges(packed(sample(tmp_path / "source"))))
    (tmp_path / "out").mkdir()
    saving = asyncio.create_task(reader.save(tmp_path / "out"))
    await until(is_writing.is_set)
    saving.cancel()
    asyncio.get_running_loop().call_later(0.05, may_end.set)
    with pytest.raises(asyncio.CancelledError):
        await saving
    assert order == ["written", "removed"]
    assert names(tmp_path / "out") == []


async def test_a_cancelled_caller_leaves_no_half_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_creating, may_end, is_open = threading.Event(), threading.Event(), threading.Event()
    create = reader_module._create

    def slow(path: Path) -> BinaryIO:
        is_creating.set()
        assert may_end.wait(60)
        try:
            return create(path)
        finally:
            is_open.set()

    monkeypatch.setattr(reader_module, "_create", slow)
    reader = ArchiveReader(MemoryRanges(packed(sample(tmp_path / "source"))))
    (tmp_path / "out").mkdir()
    saving = asyncio.create_task(reader.save_archive(tmp_path / "out/x.tar.gz"))
    await until(is_creating.is_set)
    saving.cancel()
    asyncio.get_running_loop().call_later(0.05, may_end.set)
    with pytest.raises(asyncio.CancelledError):
        await saving
    await until(is_open.is_set)
    assert names(tmp_path / "out") == []


async def test_one_file_or_subtree_is_saved_and_what_is_there_is_never_overwritten(tmp_path: Path) -> None:
    source = sample(tmp_path / "source")
    reader = ArchiveReader(MemoryRanges(packed(source)), name="r-1")
    out = tmp_path / "out"
    out.mkdir()
    await reader.save(out, "outputs/deep")
    expected = {name for name in tree(source) if name.startswith("outputs/deep")}
    assert set(tree(out)) == {"outputs", *expected}
    assert (out / "outputs/deep/run.sh").stat().st_mode & 0o777 == 0o755
    assert not (out / "stdout").exists()
    await reader.save(out, "stdout")
    (out / "outputs/grüße.txt").write_text("mine")
    with pytest.raises(BacalhauError, match=r"output already exists: .*grüße\.txt"):
        await reader.save(out, "outputs/grüße.txt")
    assert (out / "outputs/grüße.txt").read_text() == "mine"
    with pytest.raises(NotFound, match="r-1 holds no file 'outputs/nope'"):
        await reader.save(out, "outputs/nope")
    with pytest.raises(NotFound):
        await contents(reader, "outputs")
    assert names(out) == ["outputs", "stdout"]


async def test_one_file_of_a_large_archive_costs_its_own_blocks_and_the_index(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(30):
        (source / f"{number:02d}.bin").write_bytes(os.urandom(1_000_000))
    ranges = MemoryRanges(packed(source), piece=1 << 20)
    reader = ArchiveReader(ranges)
    assert len(await reader.entries()) == 30
    assert ranges.read_bytes <= TAIL
    ranges.read_bytes = 0
    assert await contents(reader, "17.bin") == (source / "17.bin").read_bytes()
    assert ranges.read_bytes <= 2 * (1 << 20) + 2000
    ranges.read_bytes = 0
    assert (
        await contents(reader, "03.bin", 500_000, 500_010)
        == (source / "03.bin").read_bytes()[500_000:500_010]
    )
    assert ranges.read_bytes <= (1 << 20) + 1000
    # Whoever reads on does not fetch the block that both parts share again.
    ranges.read_bytes = 0
    assert len(await contents(reader, "03.bin", 500_010, 500_020)) == 10
    assert ranges.read_bytes == 0
    # Files side by side come with one request.
    ranges.asked.clear()
    await reader.save(made(tmp_path / "out"))
    assert len(ranges.asked) == 1


async def test_an_index_larger_than_the_tail_and_ten_thousand_names_work(tmp_path: Path) -> None:
    source = made(tmp_path / "source")
    for number in range(10_000):
        (source / f"{zlib.crc32(str(number).encode()):08x}-{number}").touch()
    archive = packed(source)
    reader = ArchiveReader(MemoryRanges(archive, piece=1 << 16))
    assert len(await reader.entries()) == 10_000
    assert len(reader._ranges.asked) == 2  # type: ignore[attr-defined]
    assert subprocess.run(["gzip", "-t"], input=archive, timeout=60, check=False).returncode == 0


async def test_an_official_archive_without_an_index_is_downloaded_once_and_read_from_disk(
    tmp_path: Path,
) -> None:
    plain = tmp_path / "plain"
    shutil.copytree(sample(tmp_path / "source"), plain, symlinks=True)
    subprocess.run(["tar", "czf", tmp_path / "x.tar.gz", "-C", plain, "."], check=True, timeout=60)
    ranges = MemoryRanges((tmp_path / "x.tar.gz").read_bytes(), piece=1 << 20)
    reader = ArchiveReader(ranges)
    listed = {entry.path: entry for entry in await reader.entries()}
    assert set(listed) == set(tree(plain))
    assert listed["outputs/link"] == ResultEntry("outputs/link", 0, EntryKind.LINK, "deep/table.csv")
    assert (
        await contents(reader, "outputs/big.bin", 10, 20) == (plain / "outputs/big.bin").read_bytes()[10:20]
    )
    await reader.save(made(tmp_path / "part"), "outputs/deep")
    assert (tmp_path / "part/outputs/deep/table.csv").read_bytes() == (
        plain / "outputs/deep/table.csv"
    ).read_bytes()
    with pytest.raises(NotFound):
        await contents(reader, "outputs/link")
    with pytest.raises(NotFound):
        await reader.save(tmp_path / "part", "nope")
    assert ranges.read_bytes <= len(ranges.data) + TAIL
    await reader.close()
    fresh = ArchiveReader(MemoryRanges(ranges.data, piece=1 << 20))
    await fresh.save(made(tmp_path / "out"))
    assert {name: entry[:2] for name, entry in tree(tmp_path / "out").items()} == {
        name: entry[:2] for name, entry in tree(plain).items()
    }
    await fresh.close()


@pytest.mark.skipif(shutil.which("go") is None, reason="needs a Go tool chain")
async def test_a_whole_archive_must_have_the_published_checksum(tmp_path: Path) -> None:
    """Both ways to read it whole: an archive without an index, and the archive as a file."""
    subprocess.run(["tar", "czf", tmp_path / "x.tar.gz", "-C", sample(tmp_path / "source"), "."], check=True)
    data = (tmp_path / "x.tar.gz").read_bytes()
    published = base64.b64encode(hashlib.sha256(data).digest()).decode()
    for place, checksum in enumerate((published, "", "hash-of-hashes-3")):
        reader = ArchiveReader(MemoryRanges(data, piece=1 << 20), sha256=checksum)
        await reader.save(made(tmp_path / str(place)))
        assert (tmp_path / str(place) / "stdout").read_text() == "hello\n"
        await reader.close()
    other = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    out = made(tmp_path / "out")
    for work in (
        lambda reader: reader.save(out),
        lambda reader: reader.save(out, "stdout"),
        lambda reader: reader.save_archive(out / "y.tar.gz"),
        lambda reader: reader.entries(),
    ):
        reader = ArchiveReader(MemoryRanges(data, piece=1 << 20), name="the result of e-1", sha256=other)
        with pytest.raises(IOFailure, match=r"the result of e-1 is damaged: its SHA-256 differs"):
            await work(reader)
        assert not list(out.iterdir())
        await reader.close()


@pytest.mark.slow
def test_gos_tar_and_gzip_read_our_archives_to_the_end(tmp_path: Path) -> None:
    source = sample(tmp_path / "source")
    (tmp_path / "x.tar.gz").write_bytes(packed(source, block=100_000))
    (tmp_path / "read.go").write_text(GO)
    env = {**os.environ, "GOFLAGS": "-mod=mod", "GO111MODULE": "off"}
    done = subprocess.run(
        ["go", "run", tmp_path / "read.go", tmp_path / "x.tar.gz"],
        capture_output=True,
        text=True,
        env=env,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(tree(source)) + 1
    assert "0 outputs/big.bin 5000000 " in done.stdout


def test_gnu_tar_and_python_unpack_what_was_packed_in_many_blocks(tmp_path: Path) -> None:
    source = sample(tmp_path / "source")
    (tmp_path / "x.tar.gz").write_bytes(packed(source, block=4096))
    for name, command in {
        "gnu": ["tar", "xzf", str(tmp_path / "x.tar.gz"), "-C"],
        "python": ["python3", "-m", "tarfile", "-e", str(tmp_path / "x.tar.gz")],
    }.items():
        (tmp_path / name).mkdir()
        done = subprocess.run([*command, str(tmp_path / name)], capture_output=True, timeout=60, check=True)
        assert done.stderr == b""
        assert {path: entry[:2] for path, entry in tree(tmp_path / name).items()} == {
            path: entry[:2] for path, entry in tree(source).items()
        }


@given(st.binary(max_size=5000) | st.just(bytes(40_000)) | st.just(os.urandom(140_000)))
def test_a_block_is_a_gzip_file_of_its_own_and_holds_exactly_what_it_should(data: bytes) -> None:
    block = deflate(data)
    assert zlib.decompress(block, 31) == data == inflate(block, len(data))
    assert len(block) <= len(data) + 18 + 5 * (1 + len(data) // 65_535)
    for wrong in (len(data) + 1, max(0, len(data) - 1)):
        if wrong != len(data):
            with pytest.raises(BrokenBlock):
                inflate(block, wrong)
    with pytest.raises(BrokenBlock):
        inflate(block[:-1], len(data))
    with pytest.raises(BrokenBlock):
        inflate(block[:-8] + struct.pack("<I", zlib.crc32(data) ^ 1) + block[-4:], len(data))


async def test_without_isa_l_zlib_packs_and_reads_the_same_archives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = sample(tmp_path / "source")
    fast = packed(source)
    monkeypatch.setattr("bacalhau_jupyter.transfer.archive.blocks._codec", zlib)
    for number, archive in enumerate((fast, packed(source))):
        place = made(tmp_path / str(number))
        await ArchiveReader(MemoryRanges(archive, piece=1 << 20)).save(place)
        assert tree(place) == tree(source)


def test_no_thread_continues_when_the_disk_is_full(tmp_path: Path) -> None:
    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            raise OSError(28, "No space left on device")

    source = sample(tmp_path / "source")
    with pytest.raises(OSError, match="No space"):
        pack_into(source, Full(), block=65_536)


async def test_saving_200_mb_keeps_memory_small(tmp_path: Path) -> None:
    source = made(tmp_path / "source")
    with (source / "big").open("wb") as file:
        file.truncate(200_000_000)
    with (tmp_path / "x.tar.gz").open("wb") as packed_file:
        pack_into(source, packed_file)
    before, peak = resident(), 0

    def progress(*_: object) -> None:
        nonlocal peak
        peak = max(peak, resident())

    await ArchiveReader(FileRanges(tmp_path / "x.tar.gz")).save(made(tmp_path / "out"), progress=progress)
    assert (tmp_path / "out/big").stat().st_size == 200_000_000
    assert peak - before < 40_000_000
