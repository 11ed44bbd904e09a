"""A store of images in a directory of its own, and a registry that a test fills."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from bacalhau_jupyter.engines.images.store import Images
from bacalhau_jupyter.transfer.core.reach import Reach
from tests.engines.images.building import Shelf, serving

LOOPBACK = Reach(("127.0.0.1", "localhost"))


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    """A registry that gives false answers where a test says so."""
    with serving() as running:
        yield running


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home directory, with or without a ``.docker``."""
    place = tmp_path / "home"
    place.mkdir()
    return place


@pytest.fixture
async def store(tmp_path: Path, home: Path) -> AsyncIterator[Images]:
    """An open store that may ask registries of this machine."""
    images = Images(tmp_path / "images", reach=LOOPBACK, env={}, home=home, timeout_s=60.0)
    await images.open()
    yield images
    await images.close()
