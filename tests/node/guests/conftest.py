from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.node.guests.cluster import Cluster, guest_cluster
from tests.services.node_fixtures import node_factory
from tests.services.official import BINARY, NO_BINARY
from tests.services.official_images import pushed
from tests.services.official_orchestrator import official_orchestrator
from tests.services.registry import Registry

__all__ = ["node_factory", "official_orchestrator"]


@pytest.fixture(scope="module")
def busybox_image(docker_engine: str, busybox_image: str, registry: Registry) -> Iterator[str]:
    """The image under a name that official nodes can ask a registry about; they refuse any other."""
    with pushed(docker_engine, busybox_image, registry) as tagged:
        yield tagged


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """An orchestrator of ours with one official node, ``n-guest``, for all tests of a module."""
    if not BINARY:
        pytest.skip(NO_BINARY)
    with guest_cluster(tmp_path_factory.mktemp("cluster")) as running:
        running.guests("n-guest")
        running.wait_connected("n-guest")
        yield running
