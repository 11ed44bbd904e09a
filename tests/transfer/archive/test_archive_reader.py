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
import zlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from bacalhau_jupyter.models.errors import BacalhauError, IOFailure, NetworkFailure, NotFound
from bacalhau_jupyter.models.progress import Reading
from bacalhau_jupyter.models.spec import SpecConfig
from bacalhau_jupyter.transfer.archive import index as layout
from bacalhau_jupyter.transfer.archive.blocks import BlockWriter, BrokenBlock, deflate, inflate
from bacalhau_jupyter.transfer.archive.http import HttpRanges, Link
from bacalhau_jupyter.transfer.archive.index import ArchiveEntry, trailer
from bacalhau_jupyter.transfer.archive.packing import pack_into
from bacalhau_jupyter.transfer.archive.ranges import TAIL, FileRanges
from bacalhau_jupyter.transfer.archive.reader import ArchiveReader
from bacalhau_jupyter.transfer.archive.unpacking import Limits
from bacalhau_jupyter.transfer.core.readers import EntryKind, ResultEntry
from bacalhau_jupyter.transfer.s3.presign import S3Presigner
from tests.services.s3 import S3Server, s3_credentials, s3_server
from tests.transfer.archive.test_archives import NAMES, TREES, build
from tests.transfer.conftest import Serve
from tests.transfer.helpers import member, names, tar_gz, tree
from tests.transfer.http.test_http import resident

__all__ = ["s3_credentials", "s3_server"]

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


@dataclass
class MemoryRanges:
    """Bytes in memory that count what is read of them."""

    data: bytes
    read_bytes: int = 0
    piece: int = 1000
    asked: list[tuple[int, int]] = field(default_factory=list)

    async def size(self) -> int:
        return len(self.data)

    async def read(self, start: int, stop: int) -> AsyncIterator[bytes]:
        assert 0 <= start <= stop <= len(self.data)
        self.asked.append((start, stop))
        for at in range(start, stop, self.piece):
            chunk = self.data[at : min(at + self.piece, stop)]
            self.read_bytes += len(chunk)
            yield chunk


def packed(directory: Path, **options: Any) -> bytes:
    out = io.BytesIO()
    pack_into(directory, out, **options)
    return out.getvalue()


async def contents(reader: ArchiveReader, path: str, start: int = 0, stop: int | None = None) -> bytes:
    return b"".join([chunk async for chunk in reader.read(path, start, stop)])


def sample(root: Path) -> Path:
    """A result with everything in it, incompressible for the most part, about 5 MB."""
    (root / "outputs/deep").mkdir(parents=True)
    (root / "stdout").write_text("hello\n")
    (root / "empty").touch()
    (root / "outputs/big.bin").write_bytes(os.urandom(5_000_000))
    (root / "outputs/deep/table.csv").write_bytes(b"a,b\n1,2\n" * 1000)
    (root / "outputs/deep" / ("long" * 40)).write_bytes(b"x" * 700)
    (root / "outputs/grüße.txt").write_text("ü")
    (root / "outputs/link").symlink_to("deep/table.csv")
    (root / "outputs/deep/run.sh").write_text("#!/bin/sh\n")
    (root / "outputs/deep/run.sh").chmod(0o755)
    return root


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


async def test_one_file_or_subtree_is_saved_and_what_is_there_is_never_overwritten(tmp_path: Path) -> None:
    source = sample(tmp_path / "source")
    reader = ArchiveReader(MemoryRanges(packed(source)), name="r-1")
    out = tmp_path / "out"
    out.mkdir()
    await reader.save(out, "outputs/deep")
    wanted = {name for name in tree(source) if name.startswith("outputs/deep")}
    assert set(tree(out)) == {"outputs", *wanted}
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
    await reader.save(_made(tmp_path / "out"))
    assert len(ranges.asked) == 1


def _made(path: Path) -> Path:
    path.mkdir()
    return path


async def test_an_index_larger_than_the_tail_and_ten_thousand_names_work(tmp_path: Path) -> None:
    source = _made(tmp_path / "source")
    for number in range(10_000):
        (source / f"{zlib.crc32(str(number).encode()):08x}-{number}").touch()
    archive = packed(source)
    reader = ArchiveReader(MemoryRanges(archive, piece=1 << 16))
    assert len(await reader.entries()) == 10_000
    assert len(reader._ranges.asked) == 2  # type: ignore[attr-defined]
    assert subprocess.run(["gzip", "-t"], input=archive, timeout=20, check=False).returncode == 0


async def test_an_official_archive_without_an_index_is_downloaded_once_and_read_from_disk(
    tmp_path: Path,
) -> None:
    plain = tmp_path / "plain"
    shutil.copytree(sample(tmp_path / "source"), plain, symlinks=True)
    subprocess.run(["tar", "czf", tmp_path / "x.tar.gz", "-C", plain, "."], check=True, timeout=20)
    ranges = MemoryRanges((tmp_path / "x.tar.gz").read_bytes(), piece=1 << 20)
    reader = ArchiveReader(ranges)
    listed = {entry.path: entry for entry in await reader.entries()}
    assert set(listed) == set(tree(plain))
    assert listed["outputs/link"] == ResultEntry("outputs/link", 0, EntryKind.LINK, "deep/table.csv")
    assert (
        await contents(reader, "outputs/big.bin", 10, 20) == (plain / "outputs/big.bin").read_bytes()[10:20]
    )
    await reader.save(_made(tmp_path / "part"), "outputs/deep")
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
    await fresh.save(_made(tmp_path / "out"))
    assert {name: entry[:2] for name, entry in tree(tmp_path / "out").items()} == {
        name: entry[:2] for name, entry in tree(plain).items()
    }
    await fresh.close()


@pytest.mark.skipif(shutil.which("go") is None, reason="needs a Go tool chain")
async def test_a_whole_archive_has_to_have_the_checksum_that_was_told(tmp_path: Path) -> None:
    """Both ways to read it whole: an archive without an index, and the archive as a file."""
    subprocess.run(["tar", "czf", tmp_path / "x.tar.gz", "-C", sample(tmp_path / "source"), "."], check=True)
    data = (tmp_path / "x.tar.gz").read_bytes()
    told = base64.b64encode(hashlib.sha256(data).digest()).decode()
    for place, checksum in enumerate((told, "", "hash-of-hashes-3")):
        reader = ArchiveReader(MemoryRanges(data, piece=1 << 20), sha256=checksum)
        await reader.save(_made(tmp_path / str(place)))
        assert (tmp_path / str(place) / "stdout").read_text() == "hello\n"
        await reader.close()
    other = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    out = _made(tmp_path / "out")
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


def test_gos_tar_and_gzip_read_our_archives_to_the_end(tmp_path: Path) -> None:
    source = sample(tmp_path / "source")
    (tmp_path / "x.tar.gz").write_bytes(packed(source, block=100_000))
    (tmp_path / "read.go").write_text(GO)
    env = {**os.environ, "GOFLAGS": "-mod=mod", "GO111MODULE": "off", "GOCACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        ["go", "run", tmp_path / "read.go", tmp_path / "x.tar.gz"],
        capture_output=True, text=True, env=env, timeout=110, check=False,
    )  # fmt: skip
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


# ---- what strangers may have made of it


@pytest.mark.parametrize("at", [20, 3_000_000, -30, -200])
async def test_a_flipped_bit_anywhere_is_found(tmp_path: Path, at: int) -> None:
    data = bytearray(packed(sample(tmp_path / "source")))
    data[at] ^= 0x10
    reader = ArchiveReader(MemoryRanges(bytes(data), piece=1 << 20))
    with pytest.raises(IOFailure):
        await reader.save(_made(tmp_path / "out"))
    assert names(tmp_path / "out") == []
    await reader.close()


def forged(entries: list[ArchiveEntry], plain: bytes = bytes(4096), **changes: Any) -> bytes:
    """Build an archive whose index says what a test wants it to say."""
    out = io.BytesIO()
    with BlockWriter(out, changes.pop("block", 4096)) as writer:
        writer.write(plain)
        writer.finish()
    for name, value in changes.items():
        setattr(writer, name, value)
    return out.getvalue() + trailer(writer, entries)


FILE, DIRECTORY, LINK = EntryKind.FILE, EntryKind.DIRECTORY, EntryKind.LINK
HOSTILE: dict[str, tuple[list[ArchiveEntry], dict[str, Any], str]] = {
    "climbs": ([ArchiveEntry("../x", FILE, size=1, offset=512)], {}, "leads outside"),
    "absolute": ([ArchiveEntry("/etc/x", FILE, size=1, offset=512)], {}, "not a relative path"),
    "dotted": ([ArchiveEntry("./a", FILE, size=1, offset=512)], {}, "wrong or second"),
    "empty name": ([ArchiveEntry("", FILE, size=1, offset=512)], {}, "wrong or second"),
    "twice": ([ArchiveEntry("a", DIRECTORY), ArchiveEntry("a", DIRECTORY)], {}, "wrong or second 'a'"),
    "link out": ([ArchiveEntry("a", LINK, target="../../etc")], {}, "points outside"),
    "through a link": ([ArchiveEntry("a", LINK, target="b"), ArchiveEntry("a/b", DIRECTORY)], {}, "written through"),
    "beyond the end": ([ArchiveEntry("a", FILE, size=9000, offset=512)], {}, "wrong place"),
    "negative size": ([ArchiveEntry("a", FILE, size=-1, offset=512)], {}, "wrong place"),
    "before its header": ([ArchiveEntry("a", FILE, size=1, offset=0)], {}, "wrong place"),
    "bytes counted twice": (
        [ArchiveEntry("a", FILE, size=2048, offset=512), ArchiveEntry("b", FILE, size=2048, offset=1024)],
        {},
        "wrong place",
    ),
    "too large": ([ArchiveEntry("a", FILE, size=1 << 40, offset=512)], {"position": 1 << 41}, "contradicts"),
    "blocks that are not there": ([], {"packed": [10**9]}, "not where it should be"),
    "too few blocks": ([], {"position": 10**9}, "contradicts the file"),
    "no block size": ([], {"block": 4096, "position": 0}, "contradicts the file"),
    "contents of something else": ([ArchiveEntry("a", FILE, size=10, offset=512)], {}, "disagree about 'a'"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
async def test_an_index_that_lies_is_refused_in_a_sentence(tmp_path: Path, name: str) -> None:
    entries, changes, says = HOSTILE[name]
    reader = ArchiveReader(MemoryRanges(forged(entries, **changes)))
    with pytest.raises(IOFailure, match=says):
        await reader.save(_made(tmp_path / "out"))
    assert names(tmp_path / "out") == []


async def test_indexes_and_archives_beyond_the_limits_are_refused(tmp_path: Path) -> None:
    source = sample(tmp_path / "source")
    for limits, says in (
        (Limits(max_bytes=1000), "more than 1000 bytes"),
        (Limits(max_members=3), "more than 3"),
    ):
        with pytest.raises(IOFailure, match=says):
            await ArchiveReader(MemoryRanges(packed(source)), limits=limits).entries()
    # An index that unpacks to far more than it says.
    bomb = zlib.compress(bytes(50_000_000))
    out = layout._member(layout._CHUNK_ID, bomb)
    footer = layout._FOOTER.pack(layout._MAGIC, 1, 0, len(bomb), 1000, zlib.crc32(bomb))
    with pytest.raises(IOFailure, match="index is damaged"):
        await ArchiveReader(MemoryRanges(out + layout._member(layout._FOOTER_ID, footer))).entries()
    # A version of tomorrow is an archive without an index to us.
    footer = layout._FOOTER.pack(layout._MAGIC, 2, 0, 0, 0, 0)
    later = tar_gz((member("a"), b"x")) + layout._member(layout._FOOTER_ID, footer)
    reader = ArchiveReader(MemoryRanges(later))
    assert [entry.path for entry in await reader.entries()] == ["a"]
    await reader.close()


async def test_a_hostile_archive_without_an_index_leaves_nothing(tmp_path: Path) -> None:
    for hostile in (tar_gz((member("../x"), b"x")), b"nonsense", b""):
        reader = ArchiveReader(MemoryRanges(hostile), name="the result of j-1")
        with pytest.raises(IOFailure, match="the result of j-1"):
            await reader.entries()
        with pytest.raises(IOFailure):
            await reader.save(tmp_path)
        assert names(tmp_path) == []
        await reader.close()


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
        place = _made(tmp_path / str(number))
        await ArchiveReader(MemoryRanges(archive, piece=1 << 20)).save(place)
        assert tree(place) == tree(source)


def test_nothing_goes_on_in_threads_when_the_disk_is_full(tmp_path: Path) -> None:
    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            raise OSError(28, "No space left on device")

    source = sample(tmp_path / "source")
    with pytest.raises(OSError, match="No space"):
        pack_into(source, Full(), block=65_536)


# ---- over HTTP


def serving(
    data: bytes, change: Callable[[web.Request, int], web.StreamResponse | None] | None = None
) -> Any:
    """Answer ranges of ``data`` as S3 does; ``change`` may answer a request (its number) otherwise."""
    seen: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers.get("Range", ""))
        if change is not None and (other := change(request, len(seen))) is not None:
            return other
        part = request.http_range
        start, stop, _ = slice(part.start, part.stop).indices(len(data))
        headers = {"Content-Range": f"bytes {start}-{stop - 1}/{len(data)}", "ETag": '"1"'}
        return web.Response(status=206, body=data[start:stop], headers=headers)

    return handler, seen


def http(url: str) -> tuple[HttpRanges, list[str]]:
    asked: list[str] = []

    async def link() -> Link:
        asked.append(f"{url}/x.tar.gz?signature={len(asked)}")
        return Link(asked[-1])

    async def at_once(delay: float) -> None:
        del delay

    return HttpRanges(link, sleep=at_once), asked


async def test_a_cut_connection_is_taken_up_where_it_broke(tmp_path: Path, serve: Serve) -> None:
    data = packed(sample(tmp_path / "source"))

    def cut(request: web.Request, number: int) -> web.StreamResponse | None:
        if number not in (2, 3):
            return None
        start = request.http_range.start or 0
        headers = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}", "ETag": '"1"'}
        response = web.Response(status=206, body=data[start : start + 1_500_000], headers=headers)
        return response

    handler, seen = serving(data, cut)
    ranges, asked = http(await serve(handler))
    reader = ArchiveReader(ranges, close=ranges.close)
    await reader.save(_made(tmp_path / "out"))
    assert tree(tmp_path / "out") == tree(tmp_path / "source")
    assert [text.split("-")[0] for text in seen] == ["bytes=", "bytes=0", "bytes=1500000", "bytes=3000000"]
    assert len(asked) == 1
    await reader.close()


async def test_a_link_that_expired_is_asked_for_again_once(tmp_path: Path, serve: Serve) -> None:
    data = packed(sample(tmp_path / "source"))

    def expire(request: web.Request, number: int) -> web.StreamResponse | None:
        return web.Response(status=403) if request.query["signature"] == "0" and number > 1 else None

    handler, _ = serving(data, expire)
    ranges, asked = http(await serve(handler))
    reader = ArchiveReader(ranges, close=ranges.close)
    assert await contents(reader, "stdout") == b"hello\n"
    assert len(asked) == 2
    await reader.close()
    handler, _ = serving(data, lambda request, number: web.Response(status=403))
    ranges, asked = http(await serve(handler))
    with pytest.raises(NetworkFailure, match="answered 403") as caught:
        await ranges.size()
    assert "signature" not in str(caught.value)
    assert len(asked) == 2
    await ranges.close()


async def test_another_file_behind_the_same_link_is_an_error(tmp_path: Path, serve: Serve) -> None:
    data = packed(sample(tmp_path / "source"))

    def replaced(request: web.Request, number: int) -> web.StreamResponse | None:
        if number == 1:
            return None
        start = request.http_range.start or 0
        headers = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}", "ETag": '"2"'}
        return web.Response(status=206, body=data[start:], headers=headers)

    ranges, _ = http(await serve(serving(data, replaced)[0]))
    reader = ArchiveReader(ranges, close=ranges.close)
    with pytest.raises(IOFailure, match="changed while it was read"):
        await contents(reader, "outputs/big.bin")
    await reader.close()


async def test_a_server_without_ranges_is_downloaded_once(tmp_path: Path, serve: Serve) -> None:
    data = packed(sample(tmp_path / "source"))
    handler, seen = serving(data, lambda request, number: web.Response(body=data))
    ranges, _ = http(await serve(handler))
    reader = ArchiveReader(ranges, close=ranges.close)
    assert len(await reader.entries()) == len(tree(tmp_path / "source"))
    assert await contents(reader, "stdout") == b"hello\n"
    await reader.save(_made(tmp_path / "out"))
    assert tree(tmp_path / "out") == tree(tmp_path / "source")
    assert len(seen) == 1
    await reader.close()


async def test_what_a_node_says_of_a_removed_result_is_passed_on(serve: Serve) -> None:
    body = {
        "Code": "NotFound",
        "Message": "the result was removed on Sunday: it was the oldest",
        "Hint": "run it",
    }
    handler, _ = serving(b"", lambda request, number: web.json_response(body, status=410))
    ranges, _ = http(await serve(handler))
    with pytest.raises(BacalhauError, match="removed on Sunday") as caught:
        await ranges.size()
    assert caught.value.hint == "run it"
    await ranges.close()


async def test_a_server_that_sends_more_than_it_was_asked_for_fills_no_memory(serve: Serve) -> None:
    def much(request: web.Request, number: int) -> web.StreamResponse:
        return web.Response(
            status=206, body=bytes(500_000), headers={"Content-Range": "bytes 0-499999/500000"}
        )

    ranges, _ = http(await serve(serving(b"", much)[0]))
    with pytest.raises(NetworkFailure, match="more bytes than requested"):
        await ranges.size()
    await ranges.close()


async def test_saving_200_mb_keeps_memory_small(tmp_path: Path) -> None:
    source = _made(tmp_path / "source")
    with (source / "big").open("wb") as file:
        file.truncate(200_000_000)
    with (tmp_path / "x.tar.gz").open("wb") as packed_file:
        pack_into(source, packed_file)
    before, peak = resident(), 0

    def progress(*_: object) -> None:
        nonlocal peak
        peak = max(peak, resident())

    await ArchiveReader(FileRanges(tmp_path / "x.tar.gz")).save(_made(tmp_path / "out"), progress=progress)
    assert (tmp_path / "out/big").stat().st_size == 200_000_000
    assert peak - before < 40_000_000


def _failing(status: int, request: web.Request, number: int) -> web.StreamResponse:
    return web.Response(status=status)


async def test_what_is_gone_or_never_answers_well_is_said_so(serve: Serve) -> None:
    for status, kind, says in ((404, NotFound, "not there any more"), (503, NetworkFailure, "answered 503")):
        handler, seen = serving(b"", partial(_failing, status))
        ranges, _ = http(await serve(handler))
        with pytest.raises(kind, match=says):
            await ranges.size()
        assert len(seen) <= 4
        await ranges.close()


@pytest.mark.parametrize("expires_s", [300, 1])
async def test_a_pre_signed_s3_link_is_read_in_ranges_and_renewed_when_it_expires(
    tmp_path: Path, s3_credentials: S3Server, expires_s: int
) -> None:
    data = packed(sample(tmp_path / "source"))
    bucket = s3_credentials.bucket()
    client = s3_credentials.client()
    client.put_object(Bucket=bucket, Key="out put/+ü.tar.gz", Body=data)
    client.close()
    where = {
        "Bucket": bucket,
        "Key": "out put/+ü.tar.gz",
        "Endpoint": s3_credentials.url,
        "Region": "us-east-1",
    }
    urls: list[str] = []

    async def link() -> Link:
        presigner = S3Presigner(expires_s if not urls else 300)
        signed = await asyncio.to_thread(presigner.sign, SpecConfig(type="s3", params=where))
        urls.append(str(signed.params["PreSignedURL"]))
        return Link(urls[-1])

    ranges = HttpRanges(link)
    reader = ArchiveReader(ranges, close=ranges.close)
    assert {entry.path for entry in await reader.entries()} == set(tree(tmp_path / "source"))
    if expires_s == 1:
        # Nothing tells when another clock has passed a second; a link that is asked for too early is just used.
        await asyncio.sleep(2.1)
    big = (tmp_path / "source/outputs/big.bin").read_bytes()
    assert await contents(reader, "outputs/big.bin", 4_000_000, 4_000_100) == big[4_000_000:4_000_100]
    assert len(urls) == (2 if expires_s == 1 else 1)
    await reader.save(_made(tmp_path / "out"))
    assert tree(tmp_path / "out") == tree(tmp_path / "source")
    await reader.close()
