"""Directories nested deeper than Python recurses: they travel, or are refused with the reason."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.lib.trees import MAX_DEPTH, walk
from bacalhau_jupyter.models.errors import IOFailure
from bacalhau_jupyter.transfer.archive import unpacking
from bacalhau_jupyter.transfer.archive.tar_gz import pack_tar_gz, unpack, unpack_blocking
from bacalhau_jupyter.transfer.archive.tree_reader import TreeReader
from bacalhau_jupyter.transfer.core.layout import merge_results
from bacalhau_jupyter.transfer.core.measuring import measure
from tests.services.deep import nest
from tests.transfer.helpers import member, tar_gz

pytestmark = pytest.mark.slow


@pytest.fixture
def place(tmp_path: Path):
    yield tmp_path
    for child in tmp_path.iterdir():
        remove_tree(child)  # pytest's own removal recurses


def deep_archive(depth: int) -> bytes:
    return tar_gz((member("/".join(["d"] * depth) + "/file"), b"x"))


def test_a_small_archive_of_1200_nested_directories_is_unpacked(place: Path) -> None:
    data = deep_archive(1200)
    assert len(data) < 30_000
    unpack_blocking(io.BytesIO(data), place / "out")
    assert [entry.path for entry in walk(place / "out")][-1].count("/") == 1200


def test_an_archive_nested_deeper_than_may_be_is_refused_with_the_number(place: Path) -> None:
    with pytest.raises(IOFailure, match=f"lies 2500 directories deep; {MAX_DEPTH} are the most"):
        unpack_blocking(io.BytesIO(deep_archive(2500)), place / "out")
    assert list(place.iterdir()) == []


def test_directories_that_an_archive_only_implies_count_as_names(place: Path, monkeypatch) -> None:
    monkeypatch.setattr(unpacking, "_MAX_NAMES", 100_000)
    many = tar_gz(*((member(f"{number}/" + "d/" * 200 + "file"), b"") for number in range(100)))
    with pytest.raises(IOFailure, match="its names take more than"):
        unpack_blocking(io.BytesIO(many), place / "out")


async def test_results_nested_1200_deep_are_packed_and_come_back(place: Path) -> None:
    source = place / "source"
    source.mkdir()
    nest(source, 1200)
    assert measure(source) == (0, 1)
    await pack_tar_gz(source, place / "packed.tar.gz")
    await unpack(place / "packed.tar.gz", place / "out")
    assert len(list(walk(place / "out"))) == 1202
    with tarfile.open(place / "packed.tar.gz") as archive:
        assert len(archive.getnames()) == 1202


async def test_results_nested_5000_deep_are_refused_in_one_sentence(place: Path) -> None:
    source = place / "source"
    source.mkdir()
    nest(source, 5000)
    with pytest.raises(IOFailure, match="nested more than 2000 deep") as caught:
        await pack_tar_gz(source, place / "packed.tar.gz")
    assert len(caught.value.message) < 600
    assert [child.name for child in place.iterdir()] == ["source"]


def test_deep_results_are_merged(place: Path) -> None:
    (place / "part").mkdir()
    (place / "target").mkdir()
    nest(place / "part", 1200)
    merge_results([place / "part"], place / "target")
    assert len(list(walk(place / "target"))) == 1202
    assert not (place / "part").exists()


async def test_a_deep_result_is_listed_and_saved(place: Path) -> None:
    (place / "result").mkdir()
    (place / "target").mkdir()
    nest(place / "result", 1200)
    reader = TreeReader(place / "result", name="it")
    assert len(await reader.entries()) == 1201
    await reader.save(place / "target")
    assert len(list(walk(place / "target"))) == 1202
