"""An image that official nodes run: they ask a registry about each, and refuse one that none knows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import docker
import pytest

from tests.services.registry import Registry


@pytest.fixture(scope="module")
def pushed_busybox(docker_engine: str, busybox_image: str, registry: Registry) -> Iterator[str]:
    """The busybox image under the name of a registry of the tests."""
    pushed = registry.push(busybox_image, "tests/official-busybox:1")
    yield pushed.tagged
    engine = docker.DockerClient(base_url=docker_engine)
    with contextlib.suppress(docker.errors.ImageNotFound):
        engine.images.remove(pushed.tagged, noprune=True)
    engine.close()
