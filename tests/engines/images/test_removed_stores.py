"""Stores whose files somebody removed, whole or in part, below a running node."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest

from bacalhau_jupyter.engines.images.store import Images
from bacalhau_jupyter.models.errors import BacalhauError, Conflict
from tests.engines.images.building import Shelf, build, directory, file, layer, save, sha
from tests.engines.images.conftest import LOOPBACK

BASE = layer(directory("etc"), file("etc/os", b"base"))


async def test_an_image_whose_files_were_removed_by_hand_is_pulled_again(store: Images, shelf: Shelf) -> None:
    reference = shelf.put(build(BASE, layer(file("a"))))
    tree = (await store.hold(reference, "e-1")).tree
    await store.release("e-1")
    subprocess.run(["rm", "-rf", str(tree)], check=True)

    assert (await store.hold(reference, "e-2")).tree.joinpath("a").is_file()


async def test_a_layer_that_was_removed_is_fetched_again(store: Images, shelf: Shelf, tmp_path: Path) -> None:
    first, second = (shelf.put(build(BASE, layer(file(name))), name) for name in ("a", "b"))
    await store.hold(first, "e-1")
    shutil.rmtree(tmp_path / "images/layers" / sha(BASE).partition(":")[2])

    with pytest.raises(BacalhauError, match="a layer of the image is gone") as gone:
        await store.hold(second, "e-2")

    assert gone.value.retryable
    assert (await store.hold(second, "e-2")).tree.joinpath("etc/os").read_bytes() == b"base"


async def test_a_store_that_was_removed_below_a_running_node_begins_anew(
    store: Images, shelf: Shelf, tmp_path: Path, home: Path
) -> None:
    references = [shelf.put(build(BASE, layer(file(name))), name) for name in ("a", "b")]
    for reference in references:
        await store.hold(reference, "e-1")
        await store.release("e-1")
    shutil.rmtree(tmp_path / "images")

    assert (await store.hold(references[0], "e-2")).tree.is_dir()
    with pytest.raises(Conflict):
        await Images(tmp_path / "images", reach=LOOPBACK, env={}, home=home).open()

    await store.release("e-2")
    shutil.rmtree(tmp_path / "images")
    await store.clean()
    archive = save(build(BASE), tmp_path / "archive", "one:1")
    assert [image.names for image in await store.load(archive)] == [["one:1"]]


async def test_a_store_that_lost_its_lock_only_keeps_the_images_of_jobs(
    store: Images, shelf: Shelf, tmp_path: Path, home: Path
) -> None:
    """As where something removes old files from a temporary directory."""
    reference = shelf.put(build(BASE))
    held = await store.hold(reference, "e-1")
    (tmp_path / "images/lock").unlink()
    await store.clean()
    assert held.tree.is_dir() and await store.held("e-1") == held
    with pytest.raises(Conflict):
        await Images(tmp_path / "images", reach=LOOPBACK, env={}, home=home).open()


async def test_many_may_find_at_once_that_a_store_was_removed(
    store: Images, shelf: Shelf, tmp_path: Path
) -> None:
    reference = shelf.put(build(BASE))
    for attempt in range(20):
        (tmp_path / "images").rename(tmp_path / f"removed-{attempt}")
        await asyncio.gather(*(store.clean() for _ in range(8)))
    assert (await store.hold(reference, "e-1")).tree.is_dir()
