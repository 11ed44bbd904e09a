"""What the tests of this room share: a node of each module, and a shell beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.running import Shell, shell_of
from tests.services.node import ServedNode, start_node


@pytest.fixture(scope="module")
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedNode]:
    """The module's node, started with its ``NODE_OPTIONS``."""
    options: tuple[str, ...] = getattr(request.module, "NODE_OPTIONS", ())
    started = start_node(tmp_path_factory.mktemp("cli") / "repo", *options)
    yield started
    started.stop()


@pytest.fixture
def shell(served: ServedNode, tmp_path: Path) -> Shell:
    """Run a command line against the node."""
    return shell_of(served, tmp_path)
