"""Copying an image at a person's order: how far it is, and an end to it that leaves nothing half."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import pytest

from bacalhau_jupyter.api.http import middleware
from bacalhau_jupyter.client.connection.api import AsyncAPI
from bacalhau_jupyter.engines.docker import engine as docker_engines
from bacalhau_jupyter.models.errors import BacalhauError, Conflict
from bacalhau_jupyter.models.records.host_orders import HostProgress, PushImage
from bacalhau_jupyter.models.records.progress import Reading
from bacalhau_jupyter.node.hosts.copying import Copying
from bacalhau_jupyter.plugins.contract import Progress
from tests.engines.docker.carrying.conftest import add_layer, remove_image
from tests.node.hosts.conftest import MakeConfig, client_of, order
from tests.node.hosts.test_processes import client
from tests.node.hosts.test_ways import host
from tests.services import docker_engine as services
from tests.services.common import wait_until
from tests.services.far_host import FarHost
from tests.services.node import running_node
from tests.services.node_fixtures import NodeFactory
from tests.services.waiting import until

IMAGE = "bacalhau-jupyter-test/to-push:1"
SIZES = (1_000_000, 250_000_000)
"""The second layer takes a while."""


@pytest.fixture
def large(docker_engine: str, busybox_image: str, far_host: FarHost) -> Iterator[str]:
    """An image of this machine that takes a second or two."""
    near, far = services.client(docker_engine), services.client(far_host.engine_url)
    add_layer(near.api, busybox_image, f"{IMAGE}-base", SIZES[0])
    add_layer(near.api, f"{IMAGE}-base", IMAGE, SIZES[1])
    yield IMAGE
    for engine in (near, far):
        remove_image(engine.api, IMAGE)
        remove_image(engine.api, f"{IMAGE}-base")
        engine.close()


@pytest.fixture
async def api(
    node_config: MakeConfig, docker_engine: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[AsyncAPI]:
    monkeypatch.setenv("DOCKER_HOST", docker_engine)
    async with running_node(node_config(WebUI__Enabled=False)) as node, client_of(node) as it:
        yield it


def images(far_host: FarHost) -> list[str]:
    return sorted(far_host.shell("docker images --all --quiet --no-trunc").split())


async def begun(api: AsyncAPI) -> HostProgress:
    """Wait until some of an image has been sent."""
    async with asyncio.timeout(60):
        async for each in api.hosts.progress("gpu1"):
            if each.done:
                return each
    raise AssertionError


async def test_a_copy_tells_how_far_it_is_and_one_that_is_stopped_leaves_nothing(
    far_host: FarHost, api: AsyncAPI, large: str
) -> None:
    await api.hosts.add(order(far_host))
    far_host.busybox_image()
    before = images(far_host)
    with pytest.raises(Conflict, match="nothing is being copied to host gpu1"):
        await api.hosts.stop_push("gpu1")
    pushed = asyncio.create_task(api.hosts.push("gpu1", PushImage(image=large)))
    first = await begun(api)
    # So that it can't be through before it is stopped.
    far_host.cut()
    assert first.image == large
    assert 0 < first.done < first.total
    assert first.total == pytest.approx(sum(SIZES), rel=0.05)
    assert "layer " in first.note
    assert first.text.startswith(f"copying image {large} ")
    with pytest.raises(Conflict, match=r"^host gpu1 is busy: copying image"):
        await api.hosts.push("gpu1", PushImage(image=large))
    await api.hosts.stop_push("gpu1")
    with pytest.raises(Conflict, match=r"the copy of .* to host gpu1 was stopped: nothing of it is there"):
        await pushed
    assert (await api.hosts.show("gpu1")).progress == ""
    far_host.heal()
    assert images(far_host) == before
    # Another one begins at once, and tells its client of itself.
    readings: list[Reading] = []
    await api.hosts.push("gpu1", PushImage(image=large), readings.append)
    assert any("MB/s" in each.note for each in readings)
    assert len(images(far_host)) > len(before)


async def test_a_copy_waits_for_a_broken_way_for_a_while_only(
    far_host: FarHost, api: AsyncAPI, large: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.hosts.add(order(far_host))
    monkeypatch.setattr(docker_engines, "PUSH_PATIENCE_S", 10.0)
    # No request that is about a machine elsewhere is cut off by the API.
    monkeypatch.setattr(middleware, "HANDLER_TIMEOUT_S", 5.0)
    far_host.cut()
    pushed = asyncio.create_task(api.hosts.push("gpu1", PushImage(image=large)))

    async def waits() -> bool:
        return "(waiting: " in (await api.hosts.show("gpu1")).progress

    await until(waits, timeout_s=90)
    with pytest.raises(BacalhauError) as caught:
        await pushed
    assert "gpu1" in caught.value.message
    assert (await api.hosts.show("gpu1")).progress == ""


@pytest.mark.process
def test_who_interrupts_a_copy_in_a_shell_ends_it(
    far_host: FarHost, node_factory: NodeFactory, large: str
) -> None:
    node = node_factory()
    way = ("--ssh-option", f"IdentityFile={far_host.users.key}", "--trust", far_host.users.fingerprint)
    added = host(node, "add", f"ssh://alice@{far_host.address}", "--name", "gpu1", *way)
    assert added.returncode == 0, added
    before = images(far_host)
    pushing = subprocess.Popen(
        [sys.executable, "-m", "bacalhau_jupyter", "host", "push", "gpu1", large],
        env={"PATH": os.environ["PATH"], "HOME": str(node.repo.path), **node.client_env()},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )

    async def is_copying() -> None:
        async with client(node) as api:
            await begun(api)

    try:
        asyncio.run(is_copying())
        # So that it can't be through before it is interrupted.
        far_host.cut()
        pushing.send_signal(signal.SIGINT)
        output, _ = pushing.communicate(timeout=60)
    finally:
        pushing.kill()
    assert "Traceback" not in output
    assert pushing.returncode != 0
    # The node hears of it when its connection to the shell has ended.
    assert wait_until(lambda: "copying image" not in host(node, "list").stdout, timeout_s=60)
    far_host.heal()
    assert images(far_host) == before


async def test_a_node_that_stops_is_no_wish_of_a_person() -> None:
    class Slow:
        async def push(self, image: str, progress: Progress) -> int:
            progress(Reading("copying image", 1, 2))
            await asyncio.Event().wait()
            return 0

    copying = Copying("gpu1", lambda: "")
    task = asyncio.create_task(copying.push(Slow(), "busybox:1"))
    async for each in copying.follow():
        if each.done:
            break
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert copying.text == ""
