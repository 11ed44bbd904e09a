"""Images of several layers on this machine's engine, and the engine of a second machine."""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from docker.errors import ImageNotFound

from bacalhau_jupyter.engines.docker import DockerEngine
from bacalhau_jupyter.engines.docker.daemon import Daemon, connect
from bacalhau_jupyter.engines.docker.endpoints import Endpoint
from bacalhau_jupyter.plugins.options import PluginOptions
from tests.engines.docker.conftest import Node
from tests.engines.docker.cut_link import CutLink
from tests.services import leaks
from tests.services.far_host import FarHost

Layered = Callable[..., str]


def add_layer(api: Any, base: str, name: str, size: int) -> str:
    """Put a new file of random bytes on top of an image; return the name of the new one."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        member = tarfile.TarInfo(f"data-{uuid.uuid4()}")
        member.size = size
        tar.addfile(member, io.BytesIO(os.urandom(size)))
    container = api.create_container(base, ["true"])["Id"]
    try:
        api.put_archive(container, "/", packed.getvalue())
        repository, _, tag = name.rpartition(":")
        api.commit(container, repository=repository, tag=tag)
    finally:
        api.remove_container(container)
    return name


def remove_image(api: Any, name: str) -> None:
    with contextlib.suppress(ImageNotFound):
        api.remove_image(name, force=True)


@pytest.fixture
def layered(api: Any, busybox_image: str) -> Iterator[Layered]:
    """Make an image with a layer of each of these sizes on top of another one, by default busybox."""
    made: list[str] = []

    def make(*sizes: int, base: str = busybox_image, name: str = "") -> str:
        name = name or f"bacalhau-jupyter-test/layered-{uuid.uuid4().hex[:12]}:1"
        for size in sizes:
            base = add_layer(api, base, name, size)
        made.append(name)
        return name

    yield make
    for name in reversed(made):
        remove_image(api, name)


@pytest.fixture
def far(far_host: FarHost) -> Iterator[Daemon]:
    """The engine of a second machine; images that the test brought are removed."""
    daemon = connect([Endpoint(far_host.engine_url, "the second machine")])
    before = {image["Id"] for image in daemon.api.images()}
    yield daemon
    far_host.reset()
    for image in daemon.api.images():
        if image["Id"] not in before:
            for name in image["RepoTags"] or [image["Id"]]:
                remove_image(daemon.api, image["Id"] if name == "<none>:<none>" else name)
    daemon.close()


@pytest.fixture
async def link(far_host: FarHost, tmp_path: Path) -> AsyncIterator[CutLink]:
    link = CutLink(tmp_path, far_host.engine_url)
    await link.start()
    yield link
    await link.close()


@pytest.fixture
async def node(docker_engine: str, far: Daemon, link: CutLink, tmp_path: Path) -> AsyncIterator[Node]:
    """A node whose engine is that of the second machine, and which knows this machine's engine, too."""
    options = PluginOptions(node_id=leaks.owns(f"n-{uuid.uuid4()}"), data_dir=tmp_path)
    engine = DockerEngine(options, env={"DOCKER_HOST": docker_engine, "PATH": os.environ["PATH"]}, link=link)
    assert (await engine.probe()).available
    node = Node(engine, tmp_path, f"unix://{link.socket.path}", options)
    yield node
    await node.engine.close()
