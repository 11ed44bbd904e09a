"""What goes wrong while layers are unpacked and put together, and what the process that does it says."""

from __future__ import annotations

import errno
import os
import tarfile
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import pytest

from bacalhau_jupyter.engines.images.unpacking import worker
from bacalhau_jupyter.engines.images.unpacking.layer import LayerUnpacker
from bacalhau_jupyter.engines.images.unpacking.merging import Merger
from bacalhau_jupyter.engines.images.unpacking.orders import Layer, Owner, UnpackOrder
from bacalhau_jupyter.engines.images.unpacking.streams import LayerStream
from bacalhau_jupyter.engines.images.unpacking.workers import Workers
from bacalhau_jupyter.models.errors import IOFailure
from tests.engines.images.building import file, layer, link

HARD = {"type": tarfile.LNKTYPE}


@pytest.fixture
def no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file has all the names that it can have."""

    def refuse(*args: Any, **options: Any) -> NoReturn:
        raise OSError(errno.EMLINK, "too many links")

    monkeypatch.setattr(os, "link", refuse)


def unpacked(stream: bytes, target: Path, owner: Owner, max_bytes: int = 1 << 20) -> Layer:
    source = target.with_suffix(".tar")
    source.write_bytes(stream)
    target.mkdir()
    with LayerStream(source, lambda done: None) as opened:
        return LayerUnpacker(opened, target, owner, max_bytes).unpack()


@pytest.mark.usefixtures("no_links")
@pytest.mark.parametrize(
    "owner",
    [
        Owner(),
        pytest.param(
            Owner(shift=200_000),
            marks=[
                pytest.mark.root,
                pytest.mark.skipif(os.geteuid() != 0, reason="gives files away"),
            ],
        ),
    ],
)
def test_files_that_can_have_no_more_names_are_copied_whole(owner: Owner, tmp_path: Path) -> None:
    pipe = file("pipe", type=tarfile.FIFOTYPE, uid=7, mode=0o620)
    stream = layer(
        file("a", b"x", uid=1000, gid=100, mode=0o640), link("b", "a", **HARD), link("l", "a"), pipe
    )
    below = unpacked(stream, tmp_path / "one", owner)
    above = unpacked(layer(link("c", "a", **HARD)), tmp_path / "two", owner)
    tree = tmp_path / "tree"
    tree.mkdir()
    merger = Merger(str(tree), owner)

    merger.add(str(tmp_path / "one"), below)
    merger.add(str(tmp_path / "two"), above)

    assert [(tree / name).read_bytes() for name in "abcl"] == [b"x"] * 4
    assert (tree / "l").is_symlink() and (tree / "pipe").is_fifo()
    assert merger.size >= 3
    for name in ("a", "b", "c", "l", "pipe"):
        ours = (tree / name).lstat()
        theirs = (tmp_path / "one" / name.replace("c", "a")).lstat()
        assert (ours.st_uid, ours.st_gid, ours.st_mode) == (theirs.st_uid, theirs.st_gid, theirs.st_mode)
    if not owner.is_own:
        assert (tree / "c").stat().st_uid == 201_000 and (tree / "pipe").stat().st_uid == 200_007


@pytest.mark.usefixtures("no_links")
def test_copies_count_against_the_quota(tmp_path: Path) -> None:
    copies = [link(f"b{number}", "a", **HARD) for number in range(20)]
    with pytest.raises(IOFailure, match="takes more than") as refused:
        unpacked(layer(file("a", bytes(100_000)), *copies), tmp_path / "one", Owner())
    assert refused.value.code == "ImageTooLarge"


def test_a_fault_of_the_program_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(order: UnpackOrder) -> NoReturn:
        raise KeyError("secret")

    monkeypatch.setattr(worker, "unpack", fail)
    order = UnpackOrder(
        target=str(tmp_path), source="", digest="", diff_id="", size=-1, max_bytes=0, owner=Owner()
    )

    reply = worker.obey(msgspec.json.encode(order))

    assert reply.is_last and not reply.is_full
    assert reply.error == "unpacking the image failed unexpectedly (KeyError)"
    assert capfd.readouterr().err == ""


async def test_an_order_that_can_not_be_read_is_answered(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    workers = Workers(tmp_path)
    broken: Any = msgspec.structs.replace(
        UnpackOrder(target="", source="", digest="", diff_id="", size=-1, max_bytes=0), size="much"
    )
    try:
        with pytest.raises(IOFailure, match="failed unexpectedly") as failed:
            await workers.do(broken)
    finally:
        await workers.close()
    assert not failed.value.retryable and capfd.readouterr().err == ""


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="gives files away")
def test_files_have_their_group_below_a_directory_that_gives_its_own(tmp_path: Path) -> None:
    os.chown(tmp_path, 0, 4711)
    tmp_path.chmod(0o2755)

    unpacked(layer(file("etc/a", b"x"), file("b", b"x", gid=4711)), tmp_path / "one", Owner(shift=0))

    assert [(tmp_path / "one" / name).stat().st_gid for name in ("etc/a", "b")] == [0, 4711]
