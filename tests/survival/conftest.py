from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.node_fixtures import node_factory
from tests.survival.slow_server import SlowServer
from tests.survival.world import World

__all__ = ["node_factory"]


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that jobs of another user can reach, too (pytest's own is closed to them)."""
    path = Path(tempfile.mkdtemp(prefix="bacalhau-survival-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def slow_server() -> Iterator[SlowServer]:
    """An HTTP server whose file takes most of a second."""
    server = SlowServer()
    yield server
    server.close()


@pytest.fixture
def world(open_directory: Path, docker_engine: str, busybox_image: str) -> Iterator[World]:
    """A repo, a side-effect counter and a node over them that is not started yet; nothing outlives the test."""
    place = World(open_directory, docker_engine, busybox_image)
    yield place
    place.close()
