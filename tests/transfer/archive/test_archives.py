"""Archives: what goes in comes out, and what strangers put in stays in."""

from __future__ import annotations

import asyncio
import gzip
import io
import os
import socket
import subprocess
import tarfile
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bacalhau_jupyter.models.errors import IOFailure
from bacalhau_jupyter.models.records.progress import Reading
from bacalhau_jupyter.transfer.archive.packing import pack_into
from bacalhau_jupyter.transfer.archive.tar_gz import Limits, pack_tar_gz, unpack, unpack_blocking
from bacalhau_jupyter.transfer.core.links import is_plain_link
from tests.transfer.helpers import member, names, negative_size, small_disk, tar_gz, tree
from tests.transfer.http.test_http import resident

CHARACTERS = st.characters(exclude_characters="/\0", exclude_categories=["Cs"])
NAMES = st.one_of(st.text(CHARACTERS, min_size=1, max_size=40), st.just("x" * 120)).filter(
    lambda name: name not in (".", "..") and len(name.encode()) <= 255
)
TREES = st.recursive(
    st.one_of(st.binary(max_size=600), st.just(bytes(200_000))),
    lambda children: st.dictionaries(NAMES, children, max_size=4),
    max_leaves=12,
)


def build(root: Path, shape: dict[str, object]) -> None:
    for name, content in shape.items():
        if isinstance(content, dict):
            (root / name).mkdir()
            build(root / name, content)
        else:
            assert isinstance(content, bytes)
            (root / name).write_bytes(content)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(NAMES, TREES, max_size=4))
def test_unpacking_what_was_packed_gives_the_same_tree(shape: dict[str, object]) -> None:
    with tempfile.TemporaryDirectory() as place:
        source, target, packed = Path(place, "source"), Path(place, "target"), io.BytesIO()
        source.mkdir()
        build(source, shape)
        report = pack_into(source, packed)
        packed.seek(0)
        again = unpack_blocking(packed, target)
        unpacked, original = tree(target), tree(source)
        assert {name: entry[:2] for name, entry in unpacked.items()} == {
            name: entry[:2] for name, entry in original.items()
        }
        assert (again.size, again.members) == (report.size, report.members)


async def test_an_archive_is_laid_out_as_bacalhau_lays_out_results(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "outputs/deep").mkdir(parents=True)
    for name in ("stdout", "exitCode", "outputs/b", "outputs/a", "outputs/deep/ü \udc80.txt"):
        (source / name).write_bytes(b"x")
    os.utime(source / "stdout", (1_600_000_000.9, 1_600_000_000.9))
    (source / "outputs/a").chmod(0o4755)
    await pack_tar_gz(source, tmp_path / "r.tar.gz")
    with tarfile.open(tmp_path / "r.tar.gz") as tar:
        members = tar.getmembers()
    assert [info.name for info in members] == [
        ".",
        "exitCode",
        "outputs",
        "outputs/a",
        "outputs/b",
        "outputs/deep",
        "outputs/deep/ü \udc80.txt",
        "stdout",
    ]
    assert members[-1].mtime == 1_600_000_000
    assert members[3].mode == 0o755
    assert {(info.uid, info.gid, info.uname) for info in members} == {(0, 0, "")}
    assert (tmp_path / "r.tar.gz").stat().st_mode & 0o777 == 0o600
    # The real tar agrees, through gzip members of two levels.
    listed = subprocess.run(
        ["tar", "tzf", tmp_path / "r.tar.gz"], capture_output=True, timeout=60, check=True
    ).stdout.splitlines()
    assert listed[0] == b"./"
    assert len(listed) == 8


async def test_packing_twice_gives_the_same_bytes_and_replaces_the_first(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in "cab":
        (source / name).write_text(name)
    await pack_tar_gz(source, tmp_path / "one")
    await pack_tar_gz(source, tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    (source / "d").write_text("d")
    await pack_tar_gz(source, tmp_path / "one")
    assert (tmp_path / "one").read_bytes() != (tmp_path / "two").read_bytes()
    assert names(tmp_path) == ["one", "source", "two"]


async def test_data_that_does_not_shrink_is_stored_and_still_a_valid_archive(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "a.csv").write_bytes(b"1,2,3\n" * 100_000)
    (source / "b.parquet").write_bytes(os.urandom(3_000_000))
    (source / "c.csv").write_bytes(b"1,2,3\n" * 100_000)
    await pack_tar_gz(source, tmp_path / "x.tar.gz")
    assert 3_000_000 < (tmp_path / "x.tar.gz").stat().st_size < 3_020_000
    subprocess.run(["gzip", "-t", tmp_path / "x.tar.gz"], timeout=60, check=True)
    await unpack(tmp_path / "x.tar.gz", tmp_path / "out")
    assert tree(tmp_path / "out") == tree(source)


async def test_links_inside_stay_links_and_those_through_the_jobs_own_paths_become_relative(
    tmp_path: Path,
) -> None:
    source = tmp_path / "source"
    (source / "outputs/run3").mkdir(parents=True)
    (source / "outputs/run3/model").write_text("weights")
    (source / "outputs/near").symlink_to("run3/model")
    (source / "outputs/run3/up").symlink_to("../near")
    (source / "outputs/odd").symlink_to("run3/../run3/model")
    (source / "outputs/latest").symlink_to("/outputs/run3")
    (source / "outputs/here").symlink_to(source / "outputs/run3/model")
    (source / "outputs/dangling").symlink_to("nothing")
    await pack_tar_gz(source, tmp_path / "x.tar.gz", aliases={"/outputs": "outputs"})
    await unpack(tmp_path / "x.tar.gz", tmp_path / "out")
    links = {name: target for name, (kind, target, _) in tree(tmp_path / "out").items() if kind == "link"}
    assert links == {
        "outputs/near": "run3/model",
        "outputs/run3/up": "../near",
        "outputs/odd": "run3/model",
        "outputs/latest": "run3",
        "outputs/here": "run3/model",
        "outputs/dangling": "nothing",
    }


@pytest.mark.parametrize("target", ["/etc/passwd", "../../etc/passwd", "a/../../..", "/outputs/../etc"])
async def test_a_link_out_of_the_results_is_an_error_that_names_it(tmp_path: Path, target: str) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source/leak").symlink_to(target)
    with pytest.raises(IOFailure, match="the link leak points outside of the directory"):
        await pack_tar_gz(tmp_path / "source", tmp_path / "x.tar.gz", aliases={"/outputs": "outputs"})
    assert names(tmp_path) == ["source"]


async def test_sockets_and_pipes_are_left_out_and_reported(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    os.mkfifo(source / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(source / "socket"))
        report = await asyncio.wait_for(pack_tar_gz(source, tmp_path / "x"), 60)
    assert report.skipped == ["pipe", "socket"]


async def test_a_full_disk_while_packing_is_reported_and_leaves_the_earlier_archive(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source/f").write_bytes(b"small")
    with small_disk(tmp_path / "disk") as disk:
        await pack_tar_gz(tmp_path / "source", disk / "x")
        earlier = (disk / "x").read_bytes()
        (tmp_path / "source/f").write_bytes(os.urandom(5_000_000))
        with pytest.raises(IOFailure, match=r"the disk is full: could not write .*/disk/x \(.* free\)"):
            await pack_tar_gz(tmp_path / "source", disk / "x")
        assert names(disk) == ["x"]
        assert (disk / "x").read_bytes() == earlier


async def test_a_full_disk_while_unpacking_is_reported_and_leaves_nothing(tmp_path: Path) -> None:
    data = tar_gz((member("f"), bytes(5_000_000)))
    with small_disk(tmp_path / "disk") as disk:
        with pytest.raises(IOFailure, match=r"the disk is full: could not write .*/disk/out"):
            await unpack(io.BytesIO(data), disk / "out")
        assert names(disk) == []


HOSTILE = {
    "absolute": [(member("/etc/cron.d/x"), b"x")],
    "climbing": [(member("a/../../x"), b"x")],
    "just ..": [(member("..", tarfile.DIRTYPE), b"")],
    "absolute link": [(member("l", tarfile.SYMTYPE, "/etc"), b"")],
    "climbing link": [(member("d/l", tarfile.SYMTYPE, "../../x"), b"")],
    "link that climbs through a link": [
        (member("d/e/b", tarfile.SYMTYPE, "../.."), b""),
        (member("d/e/a", tarfile.SYMTYPE, "b/../x"), b""),
    ],
    "write through a link": [
        (member("l", tarfile.SYMTYPE, "d"), b""),
        (member("d", tarfile.DIRTYPE), b""),
        (member("l/x"), b"x"),
    ],
    "replace a directory by a link": [
        (member("d", tarfile.DIRTYPE), b""),
        (member("d", tarfile.SYMTYPE, "e"), b""),
    ],
    "a directory where a link was": [
        (member("l", tarfile.SYMTYPE, "d"), b""),
        (member("l", tarfile.DIRTYPE), b""),
    ],
    "twice": [(member("x"), b"1"), (member("./x"), b"2")],
    "hard link outside": [(member("h", tarfile.LNKTYPE, "/etc/passwd"), b"")],
    "hard link to nothing": [(member("h", tarfile.LNKTYPE, "x"), b"")],
    "hard link to a link": [
        (member("l", tarfile.SYMTYPE, "x"), b""),
        (member("h", tarfile.LNKTYPE, "l"), b""),
    ],
    "character device": [(member("dev", tarfile.CHRTYPE), b"")],
    "block device": [(member("dev", tarfile.BLKTYPE), b"")],
    "pipe": [(member("p", tarfile.FIFOTYPE), b"")],
    "file called .": [(member("./."), b"x")],
    "below a file": [(member("f"), b"x"), (member("f/g"), b"x")],
    "bomb": [(member("zeros"), bytes(30_000_000))],
    "many members": [(member(f"f{number}"), b"") for number in range(1001)],
    "endless header": [(member("x" * 5_000_000), b"")],
}


@pytest.mark.parametrize("case", HOSTILE)
async def test_hostile_archives_are_refused_and_leave_nothing(tmp_path: Path, case: str) -> None:
    (tmp_path / "x").write_text("mine")
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(tar_gz(*HOSTILE[case]))
    with pytest.raises(IOFailure, match=r"^the archive is (refused|broken): ") as caught:
        await unpack(archive, tmp_path / "out", limits=Limits(max_bytes=20_000_000, max_members=1000))
    assert len(str(caught.value)) < 300
    assert names(tmp_path) == ["a.tar.gz", "x"]
    assert (tmp_path / "x").read_text() == "mine"


async def test_a_ratio_limit_stops_a_bomb_early(tmp_path: Path) -> None:
    data = tar_gz((member("zeros"), bytes(30_000_000)))
    with pytest.raises(IOFailure, match="more than 100 times its size"):
        await unpack(io.BytesIO(data), tmp_path / "out", limits=Limits(max_ratio=100))
    await unpack(io.BytesIO(data), tmp_path / "out", limits=Limits(max_ratio=2000))


async def test_thousands_of_nested_headers_are_an_error_not_a_crash(tmp_path: Path) -> None:
    pax = tarfile.TarInfo.create_pax_global_header({"a": "b"})
    for kind in (b"g", b"x"):
        block = pax[:156] + kind + pax[157:]
        header = bytearray(block)
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header[:512])
        with pytest.raises(IOFailure, match="the archive is broken"):
            await unpack(io.BytesIO(gzip.compress(bytes(header) * 5000)), tmp_path / "out")
    assert names(tmp_path) == []


@pytest.mark.parametrize("has_pax", [False, True])
async def test_a_file_of_negative_size_is_refused_before_it_is_written(tmp_path: Path, has_pax: bool) -> None:
    data = negative_size(has_pax=has_pax) + bytes(100_000)
    with pytest.raises(IOFailure, match=r"wrong size|invalid"):
        await unpack(io.BytesIO(data), tmp_path / "out", limits=Limits(max_bytes=1000))
    assert names(tmp_path) == []


GOOD = tar_gz((member("a"), bytes(range(256)) * 300), (member("b"), b"b" * 3000))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not an archive",
        b"\x1f\x8b\x08",
        GOOD[: len(GOOD) // 2],
        GOOD[:-6],
        GOOD[:-8] + bytes(8),
        GOOD + b"something else",
        gzip.compress(gzip.decompress(GOOD)[:2000]),
        gzip.compress(gzip.decompress(GOOD).replace(b"b" + bytes(99), b"c" + bytes(99))),
    ],
)
async def test_broken_archives_are_refused_and_leave_nothing(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(IOFailure, match="the archive is broken"):
        await unpack(io.BytesIO(data), tmp_path / "out")
    assert names(tmp_path) == []


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_archive_never_writes_outside_or_raises_anything_else(data: st.DataObject) -> None:
    plain = bytearray(gzip.decompress(GOOD))
    for _ in range(data.draw(st.integers(1, 8))):
        plain[data.draw(st.integers(0, 511))] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as place:
        try:
            unpack_blocking(io.BytesIO(bytes(plain)), Path(place, "out"))
        except IOFailure:
            assert names(Path(place)) == []
        else:
            assert names(Path(place)) == ["out"]


async def test_plain_tars_hard_links_and_missing_directories_are_fine(tmp_path: Path) -> None:
    archive = tar_gz((member("d/e/f"), b"data"), (member("h", tarfile.LNKTYPE, "./d/e/f"), b""))
    await unpack(io.BytesIO(gzip.decompress(archive)), tmp_path / "out")
    assert (tmp_path / "out/h").read_bytes() == b"data"


async def test_permissions_are_sane_and_readable_by_a_job_on_request(tmp_path: Path) -> None:
    secret, script, odd = member("secret"), member("run.sh"), member("odd")
    secret.mode, script.mode, odd.mode = 0o600, 0o700, 0o7022
    directory = member("d", tarfile.DIRTYPE)
    directory.mode = 0o000
    archive = tar_gz((secret, b""), (script, b""), (odd, b""), (directory, b""))
    await unpack(io.BytesIO(archive), tmp_path / "mine")
    await unpack(io.BytesIO(archive), tmp_path / "jobs", readable=True)
    modes = [{n: m for n, (_, _, m) in tree(tmp_path / place).items()} for place in ("mine", "jobs")]
    assert modes == [
        {"secret": 0o600, "run.sh": 0o700, "odd": 0o600, "d": 0o700},
        {"secret": 0o644, "run.sh": 0o755, "odd": 0o644, "d": 0o755},
    ]


async def test_what_is_there_already_is_never_unpacked_over(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    await unpack(io.BytesIO(GOOD), tmp_path / "out")
    with pytest.raises(IOFailure, match="something is there already"):
        await unpack(io.BytesIO(GOOD), tmp_path / "out")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(IOFailure, match="something is there already"):
        await unpack(io.BytesIO(GOOD), tmp_path / "link")


async def test_a_missing_archive_and_a_missing_place_are_reported(tmp_path: Path) -> None:
    with pytest.raises(IOFailure, match=r"could not read the archive .*/no\.tar: no such file"):
        await unpack(tmp_path / "no.tar", tmp_path / "out")
    with pytest.raises(IOFailure, match=r"could not unpack into .*/no/out: no such file"):
        await unpack(io.BytesIO(GOOD), tmp_path / "no/out")
    with pytest.raises(IOFailure, match="there is no directory"):
        await pack_tar_gz(tmp_path / "no", tmp_path / "x")


@pytest.mark.slow
async def test_packing_200_mb_keeps_memory_small_and_can_be_called_off(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    with (tmp_path / "source/big").open("wb") as file:
        file.truncate(200_000_000)
    before, peak = resident(), 0
    loop, half, called_off = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def progress(reading: Reading) -> None:
        nonlocal peak
        peak = max(peak, resident())
        if reading.done > 20_000_000:
            loop.call_soon_threadsafe(half.set)
            called_off.wait(60)

    called_off.set()
    await pack_tar_gz(tmp_path / "source", tmp_path / "x.tar.gz", progress=progress)
    await unpack(tmp_path / "x.tar.gz", tmp_path / "out", progress=progress)
    assert peak - before < 30_000_000
    # Else this one may be done before the loop of a busy machine hears that half of it is.
    called_off.clear()
    half.clear()
    task = asyncio.create_task(pack_tar_gz(tmp_path / "source", tmp_path / "y.tar.gz", progress=progress))
    await asyncio.wait_for(half.wait(), 60)
    task.cancel()
    loop.call_later(0.1, called_off.set)
    with pytest.raises(asyncio.CancelledError):
        await task
    # Already gone when the caller hears of it: nothing goes on in a thread.
    assert names(tmp_path) == ["out", "source", "x.tar.gz"]


@pytest.mark.parametrize(
    ("directory", "target", "plain"),
    [
        ("", "a", True),
        ("", "./a//b", True),
        ("d", "../a", True),
        ("d/e", "../../a", True),
        ("", ".", True),
        ("", "..", False),
        ("d", "../..", False),
        ("", "/a", False),
        ("", "", False),
        ("", "a/..", False),
        ("d/e", "a/../b", False),
        ("", "a\0b", False),
    ],
)
def test_a_plain_link_climbs_first_and_no_higher_than_the_root(
    directory: str, target: str, plain: bool
) -> None:
    assert is_plain_link(directory, target) is plain
