"""Images come from a registry, are shared, survive a restart, and go when room is needed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import pytest

from bacalhau_jupyter.engines.images.keeping.files import ImageFiles
from bacalhau_jupyter.engines.images.keeping.quota import quota_of
from bacalhau_jupyter.engines.images.store import Images
from bacalhau_jupyter.engines.images.unpacking.orders import Owner
from bacalhau_jupyter.models.errors import BacalhauError, ConfigurationError, Conflict, NotFound
from bacalhau_jupyter.models.records.progress import Reading
from tests.engines.images.building import Shelf, build, directory, file, layer, link
from tests.engines.images.conftest import LOOPBACK
from tests.services.registry import Registry
from tests.services.waiting import found, until

BASE = layer(directory("etc"), file("etc/os", b"base"), file("etc/gone", b"x"), link("lib", "usr/lib"))


def listing(tree: Path) -> list[str]:
    return sorted(str(path.relative_to(tree)) for path in tree.rglob("*"))


@pytest.mark.docker
async def test_an_image_is_the_same_as_with_docker(
    store: Images, registry: Registry, docker_engine: str, python_image: str, tmp_path: Path
) -> None:
    pushed = registry.push(python_image, "oci/python:3")

    held = await store.hold(pushed.tagged, "e-1")

    assert held.image.digest == pushed.digest
    engine = ["docker", "-H", docker_engine]
    container = subprocess.run(
        [*engine, "create", python_image, "x"], check=True, capture_output=True, text=True
    ).stdout.strip()
    exported = tmp_path / "exported"
    exported.mkdir()
    try:
        with subprocess.Popen([*engine, "export", container], stdout=subprocess.PIPE) as export:
            subprocess.run(
                ["tar", "x", "-C", str(exported), "--exclude=dev/*", "--no-same-owner"],
                stdin=export.stdout,
                check=True,
            )
    finally:
        subprocess.run([*engine, "rm", container], check=True, capture_output=True)
    ours, theirs = set(listing(held.tree)), set(listing(exported))
    made_by_docker = {".dockerenv", "etc/hostname", "etc/hosts", "etc/resolv.conf", "etc/mtab"}
    made_by_docker |= {"dev", "proc", "sys", "etc"}
    assert ours ^ theirs <= made_by_docker
    for name in sorted((ours & theirs) - made_by_docker):
        left, right = held.tree / name, exported / name
        assert left.is_symlink() == right.is_symlink(), name
        if left.is_symlink():
            assert left.readlink() == right.readlink()
        elif left.is_file():
            assert left.read_bytes() == right.read_bytes(), name


async def test_two_ask_at_once_and_one_download_serves_both(store: Images, shelf: Shelf) -> None:
    image = build(BASE, layer(file("a", os.urandom(1 << 20))))
    reference = shelf.put(image)
    readings: list[Reading] = []

    first, second = await asyncio.gather(
        store.hold(reference, "e-1", readings.append), store.hold(reference, "e-2", readings.append)
    )

    assert first.tree == second.tree
    assert all(shelf.count(digest) == 1 for digest in image.blobs)
    assert {"pulling image", "unpacking image"} <= {reading.phase for reading in readings}
    assert (await store.hold(reference, "e-1")).tree == first.tree
    description = await store.find(reference)
    assert (
        description.is_here
        and description.config.command == ("sh",)
        and description.image_id == image.image_id
    )


async def test_an_image_that_comes_by_two_names_at_once_is_one(store: Images, shelf: Shelf) -> None:
    image = build(BASE, layer(file("a")))
    references = [shelf.put(image, tag) for tag in ("1", "2", "3")]

    held = await asyncio.gather(*(store.hold(each, f"e-{each}") for each in references))

    (kept,) = await store.images()
    assert set(references) <= set(kept.names) and len(kept.holders) == 3
    asked = len(shelf.asked)
    assert {(await store.hold(each, f"f-{each}")).tree for each in references} == {held[0].tree}
    assert len(shelf.asked) == asked


async def test_who_gives_up_does_not_end_the_others_pull(store: Images, shelf: Shelf) -> None:
    big = build(layer(file("a", os.urandom(4 << 20))))
    reference = shelf.put(big)
    one = asyncio.create_task(store.hold(reference, "e-1"))
    two = asyncio.create_task(store.hold(reference, "e-2"))
    await until(lambda: shelf.asked)

    one.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await one

    assert (await two).tree.is_dir()
    assert await store.held("e-1") is None


@pytest.mark.parametrize("method", ["keep_layer", "keep_image"])
async def test_what_is_being_kept_as_its_pull_is_called_off_is_counted(
    method: str, store: Images, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_kept, may_end = threading.Event(), threading.Event()
    keep = getattr(ImageFiles, method)

    def slow(*arguments: object) -> object:
        kept = keep(*arguments)
        is_kept.set()
        assert may_end.wait(60)
        return kept

    monkeypatch.setattr(ImageFiles, method, slow)
    reference = shelf.put(build(BASE))
    pull = asyncio.create_task(store.hold(reference, "e-1"))
    await until(is_kept.is_set)

    pull.cancel()
    asyncio.get_running_loop().call_later(0.05, may_end.set)
    with contextlib.suppress(asyncio.CancelledError):
        await pull

    images = list((tmp_path / "images/images").iterdir())
    assert (store.size > 0, store.count) == (True, len(images))
    assert (await store.hold(reference, "e-2")).tree.is_dir()


async def test_layers_that_images_share_come_once_and_lie_once(store: Images, shelf: Shelf) -> None:
    first, second = build(BASE, layer(file("a"))), build(BASE, layer(file("b")))
    one = await store.hold(shelf.put(first, "1"), "e-1")
    two = await store.hold(shelf.put(second, "2"), "e-2")

    shared = next(iter(set(first.blobs) & set(second.blobs)))
    assert shelf.count(shared) == 1
    assert (one.tree / "etc/os").samefile(two.tree / "etc/os")
    assert not (one.tree / "b").exists() and not (two.tree / "a").exists()


async def test_layers_hide_replace_and_follow_links_inside_only(store: Images, shelf: Shelf) -> None:
    base = layer(
        directory("etc"),
        file("etc/gone"),
        file("etc/os", b"old"),
        directory("opt/deep"),
        file("opt/deep/er"),
        directory("usr/lib", mode=0o711),
        link("lib", "/usr/lib"),
        link("out", "../../../../../../../tmp"),
        file("was-file"),
        directory("was-dir"),
        file("was-dir/x"),
        file("linked", b"below"),
    )
    upper = layer(
        file("etc/.wh.gone"),
        file("etc/os", b"new"),
        file("opt/.wh..wh..opq"),
        file("opt/fresh"),
        file("lib/through", b"1"),
        file("usr/lib/plain"),
        directory("was-file"),
        file("was-file/y"),
        file("was-dir", b"now a file"),
        file("out/inside", b"2"),
        link("second", "linked", type=tarfile.LNKTYPE),
        file("never/.wh.there"),
    )

    tree = (await store.hold(shelf.put(build(base, upper)), "e-1")).tree

    assert not (tree / "etc/gone").exists() and (tree / "etc/os").read_bytes() == b"new"
    assert listing(tree / "opt") == ["fresh"]
    assert (tree / "usr/lib/through").read_bytes() == b"1" and (tree / "lib").is_symlink()
    assert (tree / "usr/lib").stat().st_mode & 0o777 == 0o711
    assert (tree / "was-file/y").is_file() and (tree / "was-dir").read_bytes() == b"now a file"
    # A link that climbs out ends at the image's own top, where there is no tmp: the name becomes a directory.
    assert (tree / "out/inside").read_bytes() == b"2" and not (tree / "out").is_symlink()
    assert (tree / "second").samefile(tree / "linked")


async def test_images_of_no_layer_and_of_one_layer_twice(store: Images, shelf: Shelf) -> None:
    assert listing((await store.hold(shelf.put(build(), "none"), "e-1")).tree) == []
    assert (await store.hold(shelf.put(build(BASE, BASE), "twice"), "e-2")).tree.joinpath("etc/os").is_file()


async def test_a_store_that_closes_ends_what_is_under_way(
    store: Images, shelf: Shelf, tmp_path: Path
) -> None:
    image = build(layer(file("a", os.urandom(100_000))))
    reference = shelf.put(image)
    shelf.stalls |= set(image.blobs) - {image.image_id}
    pull = asyncio.create_task(store.hold(reference, "e-1"))
    await until(lambda: len(shelf.asked) > 2)

    await store.close()

    with pytest.raises(asyncio.CancelledError):
        await pull
    assert not any((tmp_path / "images/blobs").iterdir())
    with pytest.raises(BacalhauError, match="not open"):
        await store.hold(reference, "e-1")


async def test_names_need_not_be_text(store: Images, shelf: Shelf) -> None:
    odd = os.fsdecode(b"caf\xe9")
    base = layer(file(f"{odd}/gone"), file(odd + "1", b"x"))
    upper = layer(file(f"{odd}/.wh.gone"), file(f"{odd}/new"), link("l", odd + "1", type=tarfile.LNKTYPE))

    tree = (await store.hold(shelf.put(build(base, upper)), "e-1")).tree

    assert listing(tree) == sorted([odd, odd + "/new", odd + "1", "l"])


async def test_rights_are_kept_but_for_those_that_harm(store: Images, shelf: Shelf) -> None:
    stream = layer(
        file("su", b"x", mode=0o4755),
        directory("tmp", mode=0o1777),
        file("secret", b"x", mode=0o000),
        file("device", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
        file("pipe", type=tarfile.FIFOTYPE),
        directory("closed", mode=0o000),
        file("closed/in", b"y"),
    )

    tree = (await store.hold(shelf.put(build(stream)), "e-1")).tree

    assert (tree / "su").stat().st_mode & 0o7777 == 0o755
    assert (tree / "tmp").stat().st_mode & 0o7777 == 0o1777
    assert (tree / "secret").stat().st_mode & 0o400 and (tree / "closed").stat().st_mode & 0o700 == 0o700
    assert not (tree / "device").exists() and (tree / "pipe").is_fifo()


@pytest.mark.root
@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="gives files away")
async def test_a_tree_belongs_to_whom_it_should(tmp_path: Path, shelf: Shelf) -> None:
    stream = layer(
        directory("home", uid=1000, gid=100), file("home/f", uid=1000, gid=100), file("x", uid=70000)
    )
    reference = shelf.put(build(stream, layer(link("l", "x", uid=7))))
    for owner, expected in (
        (Owner(shift=0), (1000, 100, 65534, 7)),
        (Owner(shift=200_000), (201_000, 200_100, 265_534, 200_007)),
        (Owner(uid=4711, gid=4712), (4711, 4712, 4711, 4711)),
    ):
        images = Images(tmp_path / f"i{expected[0]}", reach=LOOPBACK, env={}, home=tmp_path, owner=owner)
        await images.open()
        tree = (await images.hold(reference, "e-1")).tree
        home, other, linked = (tree / "home").stat(), (tree / "x").stat(), (tree / "l").lstat()
        assert (home.st_uid, home.st_gid, other.st_uid, linked.st_uid) == expected
        await images.close()


async def test_a_restart_forgets_nothing_and_removes_what_was_half_done(
    store: Images, shelf: Shelf, tmp_path: Path, home: Path
) -> None:
    reference = shelf.put(build(BASE, layer(file("a"))))
    held = await store.hold(reference, "e-1")
    await store.close()
    half = tmp_path / "images/work/half/tree"
    half.mkdir(parents=True)
    (tmp_path / "images/blobs/part").write_bytes(b"x")
    asked = len(shelf.asked)

    again = Images(tmp_path / "images", reach=LOOPBACK, env={}, home=home)
    await again.open()
    try:
        assert await again.held("e-1") == held
        assert (await again.hold(reference, "e-2")).tree == held.tree
        assert len(shelf.asked) == asked
        assert not half.exists() and not list((tmp_path / "images/blobs").iterdir())
    finally:
        await again.close()


async def test_what_was_not_on_the_disk_when_the_machine_went_down_is_not_trusted(
    store: Images, shelf: Shelf, tmp_path: Path, home: Path
) -> None:
    reference = shelf.put(build(BASE, layer(file("a"))))
    await store.hold(reference, "e-1")
    await store.close()
    other_boot = '"boot":"another"'
    for about in (tmp_path / "images").glob("*/*/about.json"):
        about.write_text(about.read_text().replace('"boot":""', other_boot))

    again = Images(tmp_path / "images", reach=LOOPBACK, env={}, home=home)
    await again.open()
    try:
        assert await again.images() == [] and await again.held("e-1") is None
        assert (await again.hold(reference, "e-1")).tree.is_dir()
    finally:
        await again.close()


async def test_a_node_that_is_killed_while_it_unpacks_leaves_nothing_that_lasts(
    shelf: Shelf, tmp_path: Path, home: Path
) -> None:
    reference = shelf.put(build(layer(*(file(f"f{number}", b"x" * 500) for number in range(20_000)))))
    code = (
        "import asyncio, sys; from pathlib import Path\n"
        "from bacalhau_jupyter.engines.images.store import Images\n"
        "from bacalhau_jupyter.engines.images.unpacking.workers import Workers\n"
        "from bacalhau_jupyter.transfer.core.reach import Reach\n"
        "do = Workers.do\n"
        "async def never_done(*order):\n"
        "    await do(*order)\n"
        "    await asyncio.Event().wait()\n"
        "Workers.do = never_done\n"
        "async def main():\n"
        "    images = Images(Path(sys.argv[1]), reach=Reach(('127.0.0.1',)), env={}, home=Path(sys.argv[2]))\n"
        "    await images.open()\n"
        "    print('open', flush=True)\n"
        "    await images.hold(sys.argv[3], 'e-1')\n"
        "asyncio.run(main())\n"
    )
    node = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(tmp_path / "images"), str(home), reference, stdout=subprocess.PIPE
    )
    work = tmp_path / "images/work"
    # However late that is: the node hears of no end of it.
    await until(lambda: found(work, "f1"))
    node.kill()
    await node.wait()

    again = Images(tmp_path / "images", reach=LOOPBACK, env={}, home=home)
    await again.open()
    try:
        assert await again.images() == []
        assert len(listing((await again.hold(reference, "e-1")).tree)) == 20_000
    finally:
        await again.close()


async def test_two_nodes_do_not_share_a_store(store: Images, tmp_path: Path, home: Path) -> None:
    with pytest.raises(Conflict, match="another process uses the images"):
        await Images(tmp_path / "images", reach=LOOPBACK, env={}, home=home).open()


async def test_what_was_used_longest_ago_goes_when_room_is_needed_and_what_is_held_stays(
    tmp_path: Path, home: Path, shelf: Shelf
) -> None:
    references = [shelf.put(build(layer(file("f", bytes([n]) * 400_000))), str(n)) for n in range(4)]
    images = Images(tmp_path / "images", reach=LOOPBACK, env={}, home=home, quota=1_000_000)
    await images.open()
    try:
        await images.hold(references[0], "e-0")
        for number in (1, 2):
            await images.hold(references[number], f"e-{number}")
            await images.release(f"e-{number}")
        assert {image.names[0].rpartition(":")[2] for image in await images.images()} == {"0", "2"}

        await images.hold(references[3], "e-3")
        with pytest.raises(BacalhauError, match=r"images have here|no room for the image") as refused:
            await images.hold(references[1], "e-1")
        assert refused.value.code == "ImageTooLarge" and "Engines.Docker.ImageQuota" in refused.value.hint
        assert images.size <= images.quota
        assert await images.held("e-1") is None

        await images.release("e-0")
        assert (await images.hold(references[1], "e-1")).tree.is_dir()
    finally:
        await images.close()


async def test_images_are_removed_by_every_name_unless_somebody_holds_them(
    store: Images, shelf: Shelf
) -> None:
    image = build(BASE, layer(file("a", b"x" * 100_000)))
    reference = shelf.put(image)
    for name in (reference, image.image_id, image.digest, image.image_id[7:19]):
        await store.hold(reference, "e-1")
        with pytest.raises(Conflict, match="in use by e-1"):
            await store.remove(name)
        await store.release("e-1")
        assert await store.remove(name) > 100_000
        assert await store.images() == [] and store.size == 0
    with pytest.raises(NotFound, match="is not here"):
        await store.remove(reference)


async def test_a_pull_asks_the_registry_again_where_a_job_would_not(store: Images, shelf: Shelf) -> None:
    first, second = (build(BASE, layer(file(name))) for name in "ab")
    reference = shelf.put(first)
    came = await store.pull(reference)
    assert came.image_id == first.image_id
    assert (await store.pull(reference)).used_at > came.used_at
    shelf.put(second)
    assert (await store.hold(reference, "e-1")).image.image_id == first.image_id
    pulled = await store.pull(reference)
    assert (pulled.image_id, reference in pulled.names) == (second.image_id, True)
    assert (await store.hold(reference, "e-2")).tree.joinpath("b").is_file()
    assert (await store.hold(reference, "e-1")).tree.joinpath("a").is_file()


async def test_cleaning_removes_what_nobody_holds(store: Images, shelf: Shelf, tmp_path: Path) -> None:
    await store.hold(shelf.put(build(BASE, layer(file("a"))), "1"), "e-1")
    await store.hold(shelf.put(build(BASE, layer(file("b"))), "2"), "e-2")
    await store.release("e-2")

    assert await store.clean() > 0

    (left,) = await store.images()
    assert left.holders == ["e-1"] and left.size > 0
    assert len(list((tmp_path / "images/layers").iterdir())) == 2
    assert not list((tmp_path / "images/leaving").iterdir())


async def test_what_a_job_takes_while_others_are_cleaned_up_stays(store: Images, shelf: Shelf) -> None:
    references = [shelf.put(build(BASE, layer(file(tag))), tag) for tag in ("1", "2", "3")]
    for each in references:
        await store.hold(each, "e")
        await store.release("e")
    asked = len(shelf.asked)

    _, held = await asyncio.gather(store.clean(), store.hold(references[-1], "e-1"))

    assert held.tree.joinpath("3").is_file() and len(shelf.asked) == asked
    assert [image.holders for image in await store.images()] == [["e-1"]]


async def test_an_image_that_comes_while_another_is_brought_to_the_disk_lasts_too(
    store: Images, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_slow, sync = threading.Event(), ImageFiles.sync

    def synced(files: ImageFiles) -> None:
        is_slow.wait()
        sync(files)

    monkeypatch.setattr(ImageFiles, "sync", synced)
    for tag in ("1", "2"):
        await store.hold(shelf.put(build(layer(file(tag))), tag), tag)
    is_slow.set()
    await store.close()

    abouts = [about.read_text() for about in (tmp_path / "images").glob("*/*/about.json")]
    assert len(abouts) == 4 and all('"boot":""' in about for about in abouts)


@pytest.mark.parametrize(("text", "size"), [("5GB", 5_000_000_000), ("0", 1 << 62), (7_000, 7_000)])
def test_a_quota_is_a_size(text: object, size: int, tmp_path: Path) -> None:
    assert quota_of(text, tmp_path) == size


def test_a_quota_may_be_a_share_and_is_modest_by_itself(tmp_path: Path) -> None:
    whole = quota_of("100%", tmp_path)
    assert quota_of("10%", tmp_path / "not/there") == pytest.approx(whole / 10, rel=0.01)
    assert quota_of(None, tmp_path) == quota_of("", tmp_path) <= 20_000_000_000


@pytest.mark.parametrize("text", ["much", "200%", "-1", "%"])
def test_a_quota_that_is_none_is_told(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="neither a size nor a share"):
        quota_of(text, tmp_path)
