"""The same over ssh, where packets vanish: nothing fails for that, and what fails is told in the engine's words."""

from __future__ import annotations

import asyncio
import os
import threading
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.engines.docker import DockerEngine
from bacalhau_jupyter.engines.docker.daemon import Daemon
from bacalhau_jupyter.engines.docker.link.ssh import SshLink
from bacalhau_jupyter.engines.docker.link.target import SshTarget
from bacalhau_jupyter.lib.clock import SystemClock
from bacalhau_jupyter.models.errors import IOFailure
from bacalhau_jupyter.models.records.hosts import HostState
from bacalhau_jupyter.models.records.progress import Reading
from bacalhau_jupyter.plugins.contract import InputMount
from bacalhau_jupyter.plugins.options import PluginOptions
from tests.engines.docker.carrying.conftest import Layered
from tests.engines.docker.conftest import Node
from tests.engines.docker.link.conftest import runtime_dir
from tests.services import leaks
from tests.services.far_host import FarHost
from tests.services.far_users import Way
from tests.services.waiting import lasts

__all__ = ["runtime_dir"]
pytestmark = [pytest.mark.docker, pytest.mark.far, pytest.mark.slow, pytest.mark.timeout(300)]
SIZE = 40_000_000


@pytest.fixture
async def ssh(far_host: FarHost, tmp_path: Path, runtime_dir: Path) -> AsyncIterator[SshLink]:
    config = far_host.users.config(tmp_path / "ssh_config", gpu1=Way())
    link = SshLink("gpu1", SshTarget("gpu1", config=config), runtime_dir=runtime_dir, clock=SystemClock())
    await link.start()
    async with asyncio.timeout(60):
        await link.ready()
    yield link
    await link.close()


@pytest.fixture
async def node(docker_engine: str, far: Daemon, ssh: SshLink, tmp_path: Path) -> AsyncIterator[Node]:
    options = PluginOptions(node_id=leaks.owns(f"n-{uuid.uuid4()}"), data_dir=tmp_path)
    engine = DockerEngine(options, env={"DOCKER_HOST": docker_engine, "PATH": os.environ["PATH"]}, link=ssh)
    assert (await engine.probe()).available
    yield Node(engine, tmp_path, ssh.endpoint.url, options)
    await engine.close()


async def unreachable(link: SshLink) -> None:
    changed = asyncio.Event()
    end = link.watch(lambda _: changed.set())
    async with asyncio.timeout(90):
        while link.status.state is not HostState.UNREACHABLE:
            changed.clear()
            await changed.wait()
    end()


class Milestone:
    """Says when so many bytes of a phase have gone, and holds up the rest until `go_on`: all could be there before."""

    def __init__(self, phase: str, size: int) -> None:
        self.reached = asyncio.Event()
        self._phase, self._size = phase, size
        self._loop = asyncio.get_running_loop()
        self._goes_on = threading.Event()

    def __call__(self, reading: Reading) -> None:
        if reading.phase == self._phase and reading.done >= self._size:
            self._loop.call_soon_threadsafe(self.reached.set)
            self._goes_on.wait(60)

    def go_on(self) -> None:
        self._goes_on.set()


async def test_an_image_arrives_although_packets_vanished_for_long(
    node: Node, ssh: SshLink, far_host: FarHost, far: Daemon, api: Any, layered: Layered
) -> None:
    image, half = layered(SIZE), Milestone("copying image", SIZE // 4)
    push = asyncio.ensure_future(node.engine.push(image, half))
    async with asyncio.timeout(60):
        await half.reached.wait()
    far_host.cut()
    half.go_on()
    await unreachable(ssh)
    assert not push.done()
    far_host.heal()
    async with asyncio.timeout(120):
        assert await push > SIZE
    assert far.api.inspect_image(image)["Id"] == api.inspect_image(image)["Id"]


async def test_an_image_arrives_although_packets_vanished_for_a_moment(
    node: Node, far_host: FarHost, far: Daemon, layered: Layered
) -> None:
    image, half = layered(SIZE), Milestone("copying image", SIZE // 4)
    push = asyncio.ensure_future(node.engine.push(image, half))
    async with asyncio.timeout(60):
        await half.reached.wait()
    far_host.cut()
    half.go_on()
    await lasts(8)
    far_host.heal()
    async with asyncio.timeout(120):
        assert await push > SIZE
    assert far.api.images(image)


async def test_an_input_arrives_although_packets_vanished_for_long(
    node: Node, ssh: SshLink, far_host: FarHost, tmp_path: Path
) -> None:
    image, half = far_host.busybox_image(), Milestone("copying inputs", SIZE // 4)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_bytes(os.urandom(SIZE))
    count = {"Image": image, "Parameters": ["sh", "-c", "wc -c < /in/file"]}
    request = node.request(count, inputs=[InputMount(tmp_path / "data", "/in")])
    start = asyncio.ensure_future(node.engine.start(request, half))
    async with asyncio.timeout(60):
        await half.reached.wait()
    far_host.cut()
    half.go_on()
    await unreachable(ssh)
    far_host.heal()
    async with asyncio.timeout(120):
        await start
    assert (await node.engine.wait(request.execution.id)).exit_code == 0
    await node.engine.clean(request.execution.id)
    assert len(node.volumes()) == 1


async def test_a_full_disk_there_is_told_and_not_tried_for_ever(
    node: Node, far_host: FarHost, far: Daemon, layered: Layered
) -> None:
    image = layered(SIZE)
    far_host.shell("mount -t tmpfs -o size=4m none /var/lib/docker/tmp")
    try:
        with pytest.raises(IOFailure, match="the disk of the Docker Engine of host gpu1 is full"):
            async with asyncio.timeout(60):
                await node.engine.push(image)
    finally:
        far_host.shell("umount -l /var/lib/docker/tmp")
