"""Images that only this machine has, on the engine of a second machine."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.engines.docker import DockerEngine
from bacalhau_jupyter.engines.docker.daemon import Daemon
from bacalhau_jupyter.models.errors import EngineError, IOFailure
from bacalhau_jupyter.models.records.progress import Reading
from bacalhau_jupyter.plugins.contract import no_progress
from bacalhau_jupyter.plugins.options import PluginOptions
from tests.engines.docker.carrying.conftest import Layered, add_layer, remove_image
from tests.engines.docker.conftest import Node, execution_of, load_image
from tests.engines.docker.cut_link import CutLink
from tests.services.far_host import FarHost
from tests.services.waiting import lasts

pytestmark = [pytest.mark.docker, pytest.mark.far, pytest.mark.timeout(300)]
BIG = 12_000_000


def layers(api: Any, name: str) -> list[str]:
    return list(api.inspect_image(name)["RootFS"]["Layers"])


async def test_an_image_that_is_only_here_is_copied_and_runs(
    node: Node, far: Daemon, api: Any, layered: Layered
) -> None:
    image = layered(BIG)
    bid = await node.engine.bid(execution_of({"Image": image}))
    assert bid.accepted
    assert bid.note.startswith(f"the image {image} will be copied from this machine (1")
    readings: list[Reading] = []
    request = node.request({"Image": image, "Parameters": ["echo", "there"]})
    await node.engine.start(request, readings.append)
    await node.engine.wait(request.execution.id)
    await node.engine.clean(request.execution.id)
    assert far.api.inspect_image(image)["Id"] == api.inspect_image(image)["Id"]
    copying = [reading for reading in readings if reading.phase == "copying image"]
    assert [reading.done for reading in copying] == sorted(reading.done for reading in copying)
    assert copying[-1].done == copying[-1].total
    assert BIG < copying[-1].done < BIG + 4_000_000
    # Now it is there, and nothing is said of it any more.
    assert (await node.engine.bid(execution_of({"Image": image}))).note == ""
    assert (await node.run({"Image": image, "Parameters": ["echo", "again"]})).stdout == "again\n"


async def test_only_the_layers_that_are_missing_are_sent(
    node: Node, far: Daemon, api: Any, layered: Layered
) -> None:
    base = layered(BIG)
    assert await node.engine.push(base) > BIG
    top = layered(20_000, 30_000, base=base)
    assert 50_000 < await node.engine.push(top) < 100_000
    assert far.api.inspect_image(top)["Id"] == api.inspect_image(top)["Id"]
    assert (
        await node.run({"Image": top, "Parameters": ["sh", "-c", "ls / | grep -c data-"]})
    ).stdout == "3\n"
    assert await node.engine.push(top) == 0


async def test_an_image_that_was_built_anew_is_the_one_that_runs(
    node: Node, far: Daemon, api: Any, layered: Layered
) -> None:
    image = layered(1000)
    await node.run({"Image": image, "Parameters": ["true"]})
    older = far.api.inspect_image(image)["Id"]
    add_layer(api, image, image, 1000)
    count = {"Image": image, "Parameters": ["sh", "-c", "ls / | grep -c data-"]}
    assert "will be copied" in (await node.engine.bid(execution_of(count))).note
    assert (await node.run(count)).stdout == "2\n"
    # Somebody else may mean his own by that name.
    assert far.api.inspect_image(image)["Id"] == older
    await node.engine.push(image)
    assert far.api.inspect_image(image)["Id"] == api.inspect_image(image)["Id"]
    remove_image(far.api, older)


async def test_two_jobs_that_need_an_image_share_one_copy(
    node: Node, link: CutLink, layered: Layered
) -> None:
    image, before = layered(BIG), link.socket.passed
    await asyncio.gather(*(node.run({"Image": image, "Parameters": ["true"]}) for _ in range(3)))
    assert BIG < link.socket.passed - before < 2 * BIG


async def test_a_copy_begins_again_when_the_link_is_back(
    node: Node, far: Daemon, api: Any, link: CutLink, layered: Layered
) -> None:
    image = layered(BIG)
    broken = link.cut_after(BIG // 2)
    started = asyncio.ensure_future(node.run({"Image": image, "Parameters": ["echo", "whole"]}))
    async with asyncio.timeout(60):
        await broken.wait()
    await lasts(1)
    assert not started.done()
    link.heal()
    assert (await started).stdout == "whole\n"
    assert far.api.inspect_image(image)["Id"] == api.inspect_image(image)["Id"]


async def test_a_start_that_is_cancelled_ends_the_copy(node: Node, far: Daemon, layered: Layered) -> None:
    image = layered(2 * BIG)
    begun, loop, called_off = asyncio.Event(), asyncio.get_running_loop(), threading.Event()
    request = node.request({"Image": image, "Parameters": ["true"]})

    def on_progress(reading: Reading) -> None:
        if reading.phase == "copying image" and reading.done:
            loop.call_soon_threadsafe(begun.set)
            # The copy could be whole before the loop gets to it.
            called_off.wait(60)

    start = asyncio.ensure_future(node.engine.start(request, on_progress))
    async with asyncio.timeout(60):
        await begun.wait()
    cancelling = asyncio.create_task(node.engine.cancel(request.execution.id))
    # It calls the start off before it waits for anything.
    await asyncio.sleep(0)
    called_off.set()
    await cancelling
    with pytest.raises(EngineError) as caught:
        await start
    assert caught.value.code == "RequestCancelled"
    assert not far.api.images(image)


async def test_layers_that_somebody_removes_meanwhile_are_sent_after_all(
    node: Node, far: Daemon, api: Any, layered: Layered, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = layered(BIG)
    await node.engine.push(base)
    top = layered(1000, base=base)
    real = Daemon.stream

    def stream(self: Daemon, method: str, path: str, *arguments: Any, **named: Any) -> Any:
        # Between the plan and the load.
        if path == "/images/load":
            remove_image(far.api, base)
        return real(self, method, path, *arguments, **named)

    monkeypatch.setattr(Daemon, "stream", stream)
    assert await node.engine.push(top) > BIG
    assert far.api.inspect_image(top)["Id"] == api.inspect_image(top)["Id"]


async def test_an_image_for_another_platform_is_refused_in_words(node: Node, api: Any) -> None:
    other = "arm64" if api.version()["Arch"] == "amd64" else "amd64"
    image = load_image(api, "bacalhau-jupyter-test/other-platform", other)
    try:
        with pytest.raises(
            EngineError, match=f"is for linux/{other}, and the Docker Engine of host gpu1 runs"
        ):
            await node.engine.push(image)
        # No registry has it, either.
        bid = await node.engine.bid(execution_of({"Image": image}))
    finally:
        remove_image(api, image)
    assert bid.reason.startswith(f"this node does not support the available image platforms [linux/{other}]")


async def test_an_image_that_nobody_has_is_told_as_such(node: Node) -> None:
    with pytest.raises(EngineError, match='this machine has no image "nowhere-at-all:1"'):
        await node.engine.push("nowhere-at-all:1")


async def test_a_full_disk_there_is_told_in_words(
    node: Node, far_host: FarHost, far: Daemon, layered: Layered
) -> None:
    image = layered(BIG)
    # Where the engine unpacks what it loads.
    far_host.shell("mount -t tmpfs -o size=4m none /var/lib/docker/tmp")
    try:
        with pytest.raises(IOFailure, match="the disk of the Docker Engine of host gpu1 is full") as caught:
            await node.engine.push(image)
        assert "docker system df" in caught.value.hint
    finally:
        far_host.shell("umount -l /var/lib/docker/tmp")
    assert await node.engine.push(image) > BIG


async def test_an_engine_of_this_machine_gets_no_copies(
    docker_engine: str, tmp_path: Path, busybox_image: str
) -> None:
    options = PluginOptions(node_id="n-near", data_dir=tmp_path)
    engine = DockerEngine(options, env={"DOCKER_HOST": docker_engine})
    assert (await engine.probe()).available
    with pytest.raises(EngineError, match="only be copied to a Docker Engine elsewhere"):
        await engine.push(busybox_image, no_progress)
    await engine.close()
