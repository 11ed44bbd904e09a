"""An index on loopback, and what resolves from it alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bacalhau_jupyter.client.packages.resolver import Place, Resolver
from tests.packages.wheels import Index, serving


@pytest.fixture
def index() -> Iterator[Index]:
    """An empty index."""
    with serving(Index()) as served:
        yield served


@pytest.fixture
def resolver(index: Index, tmp_path: Path) -> Resolver:
    """A resolver that knows this index alone."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "UV_DEFAULT_INDEX": index.url}
    return Resolver(environment={**environment, "UV_HTTP_RETRIES": "0"})


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Where packages are made, with room for 100 MB."""
    return Place(tmp_path / "draft" / "site", tmp_path / "cache", 100_000_000)
