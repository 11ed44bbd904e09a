"""What strangers make long: it takes no processor for days, no memory, and no more of the disk than it is told."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.engines.images.store import Images
from bacalhau_jupyter.engines.images.unpacking import merging
from bacalhau_jupyter.engines.images.unpacking.orders import Layer, Owner
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.transfer.core.reach import Reach
from tests.engines.images.building import Shelf, build, file, layer

PLAIN = layer(file("a", b"content"))


def test_layers_do_not_keep_a_processor_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lower, deep = tmp_path / "lower", "d/" * 900
    lower.mkdir()
    at = os.open(lower, os.O_RDONLY)
    for _ in range(900):
        os.mkdir("d", dir_fd=at)
        at, above = os.open("d", os.O_RDONLY, dir_fd=at), at
        os.close(above)
    for number in range(12):
        (lower / f"l{number}").symlink_to(f"{deep}l{number}")
        os.symlink(f"/l{number + 1}", f"l{number}", dir_fd=at)
    os.close(at)
    (lower / "l12").mkdir()
    (tmp_path / "upper").mkdir()
    (tmp_path / "tree").mkdir()
    monkeypatch.setattr(merging, "MOST_WORK", 500_000)
    merger = merging.Merger(str(tmp_path / "tree"), Owner())
    merger.add(str(lower), Layer(diff_id="", digest=""))

    with pytest.raises(BacalhauError, match="to be put together") as refused:
        merger.add(
            str(tmp_path / "upper"),
            Layer(diff_id="", digest="", whiteouts=[f"l0/{number}" for number in range(100_000)]),
        )

    assert refused.value.code == "ImageRefused"


async def test_what_a_stranger_says_at_length_is_not_remembered(store: Images, shelf: Shelf) -> None:
    labels = {f"{number}": "" for number in range(100_000)}
    usual, long = (
        shelf.put(build(PLAIN, config=config), tag) for tag, config in (("1", {}), ("2", {"Labels": labels}))
    )
    for reference in (usual, usual, long, long):
        await store.find(reference)
    assert (shelf.count("/manifests/1"), shelf.count("/manifests/2")) == (1, 2)


async def test_a_configuration_takes_of_the_quota(tmp_path: Path, shelf: Shelf) -> None:
    images = Images(tmp_path / "small", reach=Reach(("127.0.0.1",)), env={}, home=tmp_path, quota=3_000_000)
    await images.open()
    try:
        for number in range(4):
            await images.hold(shelf.put(build(x="x" * 1_000_000, y=number), f"{number}"), "e-1")
            await images.release("e-1")
        assert len(await images.images()) == 2
        assert sum(kept.size for kept in await images.images()) > 2_000_000
    finally:
        await images.close()


@pytest.mark.parametrize("member", ["os", "architecture", "variant"])
async def test_an_error_repeats_no_megabyte(member: str, store: Images, shelf: Shelf) -> None:
    stated: dict[str, Any] = {member: "x" * 1_000_000}
    with pytest.raises(BacalhauError) as refused:
        await store.find(shelf.put(build(PLAIN, **stated)))
    assert len(refused.value.message) < 1000
