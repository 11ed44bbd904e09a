"""The way to a host breaks while its image is pulled from a registry, or copied from this machine."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import tarfile
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.engines.docker.registry.images import PULLING
from bacalhau_jupyter.models.wire.messages import RunResult
from tests.compute.far import FarBench
from tests.compute.test_far_ssh import LONG_CUTS, kill_ssh, node_over_ssh, vanishing
from tests.services import docker_engine as services
from tests.services.far_host import FarHost
from tests.services.registry import Registry
from tests.services.waiting import lasts

pytestmark = [
    pytest.mark.docker,
    pytest.mark.slow,
    pytest.mark.usefixtures("no_leaks"),
    pytest.mark.timeout(1200),
]
SIZE = 48 << 20
PIECE = 1 << 18
RATE = 16 << 20
"""Bytes a second of the way to the registry, so that a pull lasts."""


@pytest.fixture
async def node(far_host: FarHost, tmp_path: Path) -> AsyncIterator[FarBench]:
    async with node_over_ssh(far_host, tmp_path) as it:
        yield it


@pytest.fixture
def built(docker_engine: str, busybox_image: str) -> Iterator[str]:
    """An image that was built here, with a layer that does not shrink."""
    engine = services.client(docker_engine)
    name = f"bacalhau-jupyter-test/built-{uuid.uuid4().hex[:12]}"
    container = engine.api.create_container(busybox_image, ["true"])["Id"]
    try:
        engine.api.put_archive(container, "/", _archive("ballast", os.urandom(SIZE)))
        engine.api.commit(container, name, "1")
        yield f"{name}:1"
    finally:
        engine.api.remove_container(container)
        _remove(engine.api, f"{name}:1")
        engine.close()


def _archive(name: str, data: bytes) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        member = tarfile.TarInfo(name)
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
    return archive.getvalue()


def _remove(api: Any, image: str) -> None:
    from docker.errors import NotFound

    with contextlib.suppress(NotFound):
        api.remove_image(image, force=True)


def _large_images(api: Any) -> set[str]:
    return {each["Id"] for each in api.images(all=True) if each["Size"] > SIZE}


@asynccontextmanager
async def slow_way(address: str, registry: str) -> AsyncIterator[str]:
    """Listen at an address of this machine that the host can reach; what comes from the registry comes slowly."""
    tasks = set[asyncio.Task[None]]()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rate: int) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(PIECE):
                writer.write(piece)
                await writer.drain()
                await lasts(len(piece) / rate)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        host, _, port = registry.partition(":")
        inner, outer = await asyncio.open_connection(host, int(port))
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(copy(reader, outer, 1 << 40), copy(inner, writer, RATE))
        for end in (writer, outer):
            end.close()
        tasks.discard(task)

    server = await asyncio.start_server(serve, address, 0)
    try:
        yield f"{address}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.contextmanager
def without_tls(far_host: FarHost) -> Iterator[None]:
    """Let the host's engine use registries of this machine."""

    def configure(text: str) -> None:
        far_host.write("/etc/docker/daemon.json", text)
        far_host.shell("kill -HUP $(cat /run/docker.pid)")

    configure('{"insecure-registries": ["10.99.0.0/16"]}')
    try:
        yield
    finally:
        configure("{}")


async def breaks_in(node: FarBench, phase: str, image: str, break_off: Callable[[], object]) -> None:
    """Run a job whose way is broken in a phase before its start."""
    node.image = image
    execution = await node.begin(node.shell("echo begun >> /outputs/count; wc -c < /ballast"))
    await node.reaches(execution, phase)
    await asyncio.to_thread(break_off)
    result = await node.ends()
    assert isinstance(result, RunResult), result
    files = node.publisher.published[execution.id]
    assert (files["stdout"], files["outputs/count"]) == (f"{SIZE}\n", "begun\n")
    await node.idle()
    assert node.left() == []


@pytest.mark.parametrize("seconds", LONG_CUTS)
async def test_the_way_breaks_while_an_image_is_pulled(
    node: FarBench, far_host: FarHost, built: str, registry: Registry, docker_engine: str, seconds: int
) -> None:
    pushed = registry.push(built, f"tests/{built.rpartition('/')[2]}")
    local, far = services.client(docker_engine), services.client(far_host.engine_url)
    try:
        _remove(local.api, built)
        async with slow_way(far_host.near_address, registry.address) as way:
            image = pushed.tagged.replace(registry.address, way)
            with without_tls(far_host):
                await breaks_in(node, PULLING, image, vanishing(far_host, seconds) if seconds else kill_ssh)
                _remove(far.api, image)
    finally:
        _remove(local.api, pushed.tagged)
        local.close()
        far.close()


@pytest.mark.parametrize("seconds", LONG_CUTS)
async def test_the_way_breaks_while_an_image_is_copied(
    node: FarBench, far_host: FarHost, built: str, docker_engine: str, seconds: int
) -> None:
    engine = services.client(far_host.engine_url)
    try:
        # Others may be on the host, and the copy has no name that tells it apart.
        before = _large_images(engine.api)
        await breaks_in(node, "copying image", built, vanishing(far_host, seconds) if seconds else kill_ssh)
        (copied,) = _large_images(engine.api) - before
        _remove(engine.api, copied)
    finally:
        engine.close()
