"""Images in files: with no registry at all."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from bacalhau_jupyter.engines.images.store import Images
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest, NotFound
from tests.engines.images.building import Shelf, build, file, layer, save, sha

LAYERS = layer(file("a", b"1")), layer(file("b", b"2"))


@pytest.mark.docker
async def test_what_docker_saves_is_loaded(
    store: Images, docker_engine: str, busybox_image: str, tmp_path: Path
) -> None:
    archive = tmp_path / "saved.tar"
    engine = ["docker", "-H", docker_engine]
    subprocess.run([*engine, "save", "-o", str(archive), busybox_image], check=True)
    shown = [*engine, "image", "inspect", "-f", "{{.Id}}", busybox_image]
    image_id = subprocess.run(shown, check=True, capture_output=True, text=True).stdout.strip()

    (kept,) = await store.load(archive)

    assert kept.image_id == image_id and busybox_image in kept.names and kept.size > 0
    held = await store.hold(busybox_image, "e-1")
    assert (held.tree / "bin/busybox").is_file() or (held.tree / "bin/sh").exists()
    assert (await store.hold(image_id, "e-2")).tree == held.tree


@pytest.mark.parametrize("packed", [False, "w", "w:gz"])
async def test_an_oci_layout_is_loaded_from_a_directory_and_an_archive(
    packed: str, store: Images, shelf: Shelf, tmp_path: Path
) -> None:
    image = build(*LAYERS)
    place = save(image, tmp_path / "layout", "example.org/tools/thing:3")
    if packed:
        archive = tmp_path / "layout.tar"
        with tarfile.open(archive, packed) as tar:  # type: ignore[call-overload]
            tar.add(place, ".")
        place = archive

    (kept,) = await store.load(place)

    assert (kept.names, kept.digest, kept.image_id) == (
        ["example.org/tools/thing:3"],
        image.digest,
        image.image_id,
    )
    tree = (await store.hold("example.org/tools/thing:3", "e-1")).tree
    assert (tree / "a").read_bytes() + (tree / "b").read_bytes() == b"12"
    assert shelf.asked == [] and not any((tmp_path / "images/work").iterdir())


async def test_layers_that_are_here_are_not_pulled(store: Images, shelf: Shelf, tmp_path: Path) -> None:
    await store.load(save(build(*LAYERS), tmp_path / "layout", "base:1"))
    again = build(*LAYERS, layer(file("c")))

    await store.hold(shelf.put(again), "e-1")

    assert [shelf.count(sha(data)) for data in again.blobs.values()].count(0) == 2


async def test_a_name_moves_to_the_image_that_was_loaded_last(store: Images, tmp_path: Path) -> None:
    await store.load(save(build(LAYERS[0]), tmp_path / "one", "thing:1"))
    await store.load(save(build(LAYERS[1]), tmp_path / "two", "thing:1"))

    assert sorted(list(image.names) for image in await store.images()) == [[], ["thing:1"]]
    assert (await store.hold("thing:1", "e-1")).tree.joinpath("b").is_file()


async def test_paths_that_hold_no_image_are_told(store: Images, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("hello")
    with pytest.raises(NotFound, match="no file or directory"):
        await store.load(tmp_path / "missing")
    with pytest.raises(BadRequest, match="not an absolute path"):
        await store.load(Path("here"))
    with pytest.raises(BacalhauError, match="neither what `docker save` writes"):
        await store.load(tmp_path / "empty")
    # What is no archive at all was not cut off on its way, and nobody tampered with it.
    (tmp_path / "packed").write_bytes(gzip.compress(b"hello" * 200))
    (tmp_path / "nothing").write_bytes(b"")
    for name in ("text", "packed", "nothing"):
        with pytest.raises(BacalhauError, match=f"^{name} is not an archive") as caught:
            await store.load(tmp_path / name)
        assert "`docker save`" in caught.value.hint
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NotFound):
        await store.load(tmp_path / "pipe")


async def test_hostile_layouts_are_refused(store: Images, tmp_path: Path) -> None:
    image = build(*LAYERS)
    blob = f"blobs/sha256/{sorted(image.blobs)[0].partition(':')[2]}"
    place = save(image, tmp_path / "tampered")
    (place / blob).write_bytes(b"other")
    with pytest.raises(BacalhauError, match="image is refused"):
        await store.load(place)

    place = save(image, tmp_path / "linked")
    (place / blob).unlink()
    (place / blob).symlink_to("/etc/hostname")
    with pytest.raises(BacalhauError, match="image is refused"):
        await store.load(place)

    place = tmp_path / "saved"
    place.mkdir()
    (place / "c.json").write_bytes(build(layer(file("never seen"))).config)
    for layers in (["../../etc/hostname"], ["/etc/hostname"], ["missing"], ["c.json"], [7], "x"):
        (place / "manifest.json").write_text(json.dumps([{"Config": "c.json", "Layers": layers}]))
        with pytest.raises(BacalhauError, match="image is refused"):
            await store.load(place)
    assert await store.images() == []


async def test_images_for_other_machines_are_told(store: Images, tmp_path: Path) -> None:
    place = save(build(*LAYERS, architecture="s390x"), tmp_path / "layout", "thing:1")
    with pytest.raises(BacalhauError, match="linux/s390x"):
        await store.load(place)


async def test_one_configuration_of_many_images_fills_no_memory(store: Images, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    archive.mkdir()
    config = {"os": "linux", "rootfs": {"diff_ids": []}, "padding": "x" * 1_000_000}
    (archive / "config").write_text(json.dumps(config))
    entries = [{"Config": "config", "Layers": [], "RepoTags": [f"one/{number}:1"]} for number in range(100)]
    (archive / "manifest.json").write_text(json.dumps(entries))

    with pytest.raises(BacalhauError, match="its configurations have more than"):
        await store.load(archive)

    assert await store.images() == []
