"""Fixtures for every room's tests."""

from __future__ import annotations

import pytest

from tests.services.fixtures import (
    SERVICE_TIMEOUT,
    busybox_image,
    docker_engine,
    http_server,
    no_leaks,
    python_image,
    registry,
)
from tests.services.kubo import kubo, own_kubo, private_kubo
from tests.services.s3 import s3_credentials, s3_server

__all__ = [
    "busybox_image",
    "docker_engine",
    "http_server",
    "kubo",
    "no_leaks",
    "own_kubo",
    "private_kubo",
    "python_image",
    "registry",
    "s3_credentials",
    "s3_server",
]

BUILT = {"s3_server", "kubo", "own_kubo", "private_kubo"}
SERVICES = {"docker_engine", "busybox_image", "python_image", "registry"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs an engine, and let the first such test wait for the services to be set up."""
    for item in items:
        names = getattr(item, "fixturenames", ())
        if BUILT.intersection(names) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(SERVICE_TIMEOUT))
        if SERVICES.intersection(names):
            item.add_marker(pytest.mark.docker)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(SERVICE_TIMEOUT))
