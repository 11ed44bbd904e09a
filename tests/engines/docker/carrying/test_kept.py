"""Inputs that stay on a second machine: sent once, told apart by their content, and never changed by a job."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.engines.docker.daemon import Daemon
from bacalhau_jupyter.engines.docker.files.cargo import Outline
from bacalhau_jupyter.engines.docker.files.kept import KeptInputs, Volume
from bacalhau_jupyter.models.records.progress import Reading
from bacalhau_jupyter.plugins.contract import InputMount
from tests.engines.docker.conftest import Node
from tests.engines.docker.cut_link import CutLink
from tests.services.far_host import FarHost
from tests.services.waiting import lasts

pytestmark = [pytest.mark.docker, pytest.mark.far, pytest.mark.timeout(300)]
SIZE = 6_000_000
SUM = ["sh", "-c", "cat /in/a/data /in/b | md5sum"]


@pytest.fixture
def image(far_host: FarHost) -> str:
    return far_host.busybox_image()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A directory of two files, one of them large."""
    directory = tmp_path / "data"
    (directory / "a").mkdir(parents=True)
    (directory / "a" / "data").write_bytes(os.urandom(SIZE))
    (directory / "b").write_bytes(b"small")
    return directory


def kept_volumes(node: Node) -> list[str]:
    return [name for name in node.volumes() if "-kept-" in name]


async def sum_of(node: Node, image: str, data: Path) -> str:
    done = await node.run({"Image": image, "Parameters": SUM}, inputs=[InputMount(data, "/in")])
    assert not done.stderr, done.stderr
    return done.stdout.split()[0]


async def test_what_is_there_is_not_sent_again(
    node: Node, image: str, link: CutLink, data: Path, tmp_path: Path
) -> None:
    first = await sum_of(node, image, data)
    before = link.socket.passed
    assert await sum_of(node, image, data) == first
    # The same content at another place, as the content cache makes it for each execution.
    shutil.copytree(data, tmp_path / "copy")
    readings: list[Reading] = []
    request = node.request({"Image": image, "Parameters": SUM}, inputs=[InputMount(tmp_path / "copy", "/in")])
    await node.engine.start(request, readings.append)
    await node.engine.wait(request.execution.id)
    await node.engine.clean(request.execution.id)
    assert link.socket.passed - before < 200_000
    assert any(reading.note == "6.0 MB are there already" for reading in readings)
    assert len(kept_volumes(node)) == 1


async def test_the_next_node_process_finds_what_is_there(
    node: Node, image: str, link: CutLink, data: Path
) -> None:
    first = await sum_of(node, image, data)
    await node.engine.close()
    node.engine = type(node.engine)(node.options, env={"DOCKER_HOST": "unix:///nowhere"}, link=link)
    assert (await node.engine.probe()).available
    before = link.socket.passed
    assert await sum_of(node, image, data) == first
    assert link.socket.passed - before < 200_000


async def test_what_has_changed_is_sent(node: Node, image: str, data: Path) -> None:
    first = await sum_of(node, image, data)
    info = (data / "a" / "data").stat()
    with (data / "a" / "data").open("r+b") as file:
        file.write(b"other")
    # As large, and as old.
    os.utime(data / "a" / "data", ns=(info.st_atime_ns, info.st_mtime_ns))
    assert await sum_of(node, image, data) != first
    assert len(kept_volumes(node)) == 2


@pytest.mark.parametrize(
    "attack",
    [
        "echo evil > /in/a/data",
        "rm -rf /in/a",
        "chmod 777 /in/b; touch /in/new; mv /in/a /in/c",
        "mount -o remount,rw /in; echo evil > /in/b",
        "mkdir /m; mount --bind /in /m; mount -o remount,rw,bind /m; echo evil > /m/b",
    ],
)
async def test_a_job_changes_nothing_for_the_next_one(
    node: Node, image: str, data: Path, attack: str
) -> None:
    first = await sum_of(node, image, data)
    tried = await node.run(
        {"Image": image, "Parameters": ["sh", "-c", f"id -u; {attack}"]}, inputs=[InputMount(data, "/in")]
    )
    assert tried.stdout.startswith("0\n") and tried.stderr
    assert await sum_of(node, image, data) == first
    listing = ["sh", "-c", "cd /in; find . | sort; stat -c '%a %u' b"]
    shown = await node.run({"Image": image, "Parameters": listing}, inputs=[InputMount(data, "/in")])
    assert shown.stdout == ".\n./a\n./a/data\n./b\n644 0\n"


async def test_a_single_file_is_kept_and_cannot_be_changed(
    node: Node, image: str, link: CutLink, data: Path
) -> None:
    inputs = [InputMount(data / "a" / "data", "/one")]
    script = ["sh", "-c", "md5sum /one; echo evil >> /one; rm /one; true"]
    first = await node.run({"Image": image, "Parameters": script}, inputs=inputs)
    before = link.socket.passed
    again = await node.run({"Image": image, "Parameters": script}, inputs=inputs)
    assert again.stdout == first.stdout and "Read-only" in again.stderr
    assert link.socket.passed - before < 200_000


async def test_jobs_at_the_same_time_share_one_sending(
    node: Node, image: str, link: CutLink, data: Path
) -> None:
    before = link.socket.passed
    sums = await asyncio.gather(*(sum_of(node, image, data) for _ in range(3)))
    assert len(set(sums)) == 1
    assert link.socket.passed - before < 2 * SIZE
    assert len(kept_volumes(node)) == 1


async def test_small_inputs_leave_nothing(node: Node, image: str, data: Path) -> None:
    (data / "a" / "data").write_bytes(b"tiny")
    await sum_of(node, image, data)
    assert node.volumes() == []


async def test_what_a_broken_link_left_half_way_is_neither_used_nor_left(
    node: Node, image: str, link: CutLink, data: Path
) -> None:
    broken = link.cut_after(SIZE // 2)
    job = asyncio.ensure_future(sum_of(node, image, data))
    async with asyncio.timeout(60):
        await broken.wait()
    await lasts(0.5)
    link.heal()
    first = await job
    assert await sum_of(node, image, data) == first
    assert len(kept_volumes(node)) == 1


async def test_a_volume_that_somebody_removed_is_filled_again(
    node: Node, image: str, far: Daemon, data: Path
) -> None:
    first = await sum_of(node, image, data)
    for name in kept_volumes(node):
        far.api.remove_volume(name)
    assert await sum_of(node, image, data) == first
    assert len(kept_volumes(node)) == 1


async def test_a_volume_that_the_engine_made_anew_is_not_taken_for_the_input(
    node: Node, image: str, far: Daemon, data: Path
) -> None:
    first = await sum_of(node, image, data)
    (name,) = kept_volumes(node)
    far.api.remove_volume(name)
    # As it does for a container that asks for a volume that is gone.
    far.api.create_volume(name)
    assert await sum_of(node, image, data) == first


async def test_a_volume_that_is_being_removed_is_given_to_no_job(
    node: Node, image: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await sum_of(node, image, data)
    (name,) = kept_volumes(node)
    kept, daemon = node.engine.connection.kept, node.engine.connection.daemon
    assert kept is not None
    begun, asked, removed = threading.Event(), threading.Event(), threading.Event()
    taken_volumes: list[Volume | None] = []
    take, remove_volume = kept.take, daemon.remove_volume

    def slow_remove(volume: str) -> None:
        if volume == name:
            begun.set()
            assert asked.wait(60)
        remove_volume(volume)
        if volume == name:
            removed.set()

    def take_meanwhile(outline: Outline, digest: str) -> Volume | None:
        taken_volumes.append(take(outline, digest))
        asked.set()
        assert removed.wait(60)
        return taken_volumes[-1]

    monkeypatch.setattr(daemon, "remove_volume", slow_remove)
    monkeypatch.setattr(kept, "take", take_meanwhile)
    forgetting = asyncio.ensure_future(node.engine.forget_inputs())
    assert await asyncio.to_thread(begun.wait, 60)
    assert await sum_of(node, image, data) == first
    assert taken_volumes == [None]
    assert (await forgetting).count == 1


async def test_a_volume_that_somebody_removes_before_it_is_mounted_is_filled_again(
    node: Node, image: str, far: Daemon, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await sum_of(node, image, data)
    kept = node.engine.connection.kept
    assert kept is not None
    take, taken = kept.take, list[str]()

    def take_and_lose(outline: Outline, digest: str) -> Volume | None:
        volume = take(outline, digest)
        if volume is not None and not taken:
            taken.append(volume.name)
            far.api.remove_volume(volume.name)
        return volume

    monkeypatch.setattr(kept, "take", take_and_lose)
    assert await sum_of(node, image, data) == first
    assert taken
    # The empty one that the engine made in its place is gone, too.
    assert taken[0] not in {volume["Name"] for volume in far.api.volumes()["Volumes"] or []}
    before = kept_volumes(node)
    assert await sum_of(node, image, data) == first
    assert kept_volumes(node) == before and len(before) == 1


async def test_the_oldest_ones_go_when_there_is_too_much(
    node: Node, image: str, far: Daemon, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = node.engine.connection
    directory, clock = node.options.data_dir, node.options.clock
    monkeypatch.setattr(
        connection, "kept", KeptInputs(far, node.options.node_id, directory, clock, limit=2 * SIZE + 1000)
    )
    await sum_of(node, image, data)
    (oldest,) = kept_volumes(node)
    for _ in range(2):
        (data / "a" / "data").write_bytes(os.urandom(SIZE))
        await sum_of(node, image, data)
    assert len(kept_volumes(node)) == 2 and oldest not in kept_volumes(node)


async def test_what_is_kept_can_be_removed_unless_a_job_uses_it(node: Node, image: str, data: Path) -> None:
    await sum_of(node, image, data)
    script = ["sh", "-c", "sleep 60"]
    request = node.request({"Image": image, "Parameters": script}, inputs=[InputMount(data, "/in")])
    await node.engine.start(request)
    assert (await node.engine.forget_inputs()).count == 0
    await node.engine.cancel(request.execution.id)
    await node.engine.wait(request.execution.id)
    await node.engine.clean(request.execution.id)
    gone = await node.engine.forget_inputs()
    assert (gone.count, gone.bytes) == (1, SIZE + 5)
    assert node.volumes() == []


async def test_what_is_kept_makes_room_on_a_full_disk(
    node: Node, image: str, far_host: FarHost, data: Path, api: Any
) -> None:
    far_host.shell("mount -t tmpfs -o size=10m none /var/lib/docker/volumes")
    try:
        await sum_of(node, image, data)
        (data / "a" / "data").write_bytes(os.urandom(SIZE))
        await sum_of(node, image, data)
        assert len(kept_volumes(node)) == 1
    finally:
        await node.engine.forget_inputs()
        far_host.shell("umount -l /var/lib/docker/volumes")
