"""An image that official nodes run: they ask a registry about each, and refuse one that none knows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import docker
import pytest

from tests.services.registry import Registry


@contextlib.contextmanager
def pushed(engine_url: str, image: str, registry: Registry) -> Iterator[str]:
    """Give an image a name of a registry of the tests, and that name back in the end."""
    tagged = registry.push(image, "tests/official-busybox:1").tagged
    try:
        yield tagged
    finally:
        engine = docker.DockerClient(base_url=engine_url)
        with contextlib.suppress(docker.errors.ImageNotFound):
            engine.images.remove(tagged, noprune=True)
        engine.close()


@pytest.fixture(scope="module")
def pushed_busybox(docker_engine: str, busybox_image: str, registry: Registry) -> Iterator[str]:
    """The busybox image under the name of a registry of the tests."""
    with pushed(docker_engine, busybox_image, registry) as tagged:
        yield tagged
