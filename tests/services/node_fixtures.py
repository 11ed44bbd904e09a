"""`node_factory` and `node`: real node processes as pytest fixtures."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.config.config import Config
from tests.services.fixtures import service_or_skip
from tests.services.node import TEST_SERVERS, ServedNode, start_node

NodeFactory = Callable[..., ServedNode]


@contextmanager
def factory(parent: Path) -> Iterator[NodeFactory]:
    """Start nodes below a directory; all are stopped at the end."""
    nodes: list[ServedNode] = []
    outside: list[str] = []

    def start(*options: str, name: str = "node", **arguments: Any) -> ServedNode:
        directory = arguments.pop("data_dir", None) or parent / name
        if arguments.get("uid") is not None:
            # Another user can't look below pytest's own directory.
            outside.append(tempfile.mkdtemp(prefix="bacalhau-node-"))
            Path(outside[-1]).chmod(0o755)
            directory = Path(outside[-1]) / name
        started = service_or_skip(lambda: start_node(directory, *options, **arguments))
        nodes.append(started)
        return started

    try:
        yield start
    finally:
        for started in nodes:
            started.stop()
        for path in outside:
            shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def node_factory(tmp_path: Path) -> Iterator[NodeFactory]:
    """Start nodes: ``node_factory(*options, name="node", **arguments of start_node)``; all are stopped at the end."""
    with factory(tmp_path) as start:
        yield start


@pytest.fixture
def node(node_factory: NodeFactory) -> ServedNode:
    """A node process with both roles, its own repo directory and any port."""
    return node_factory()


@pytest.fixture
def node_config(tmp_path: Path) -> Callable[..., Config]:
    """Return configurations for nodes on the test's own loop (`running_node`): both roles, any port, own directory."""

    def make(**values: Any) -> Config:
        named = {key.replace("__", "."): value for key, value in values.items()}
        base = {
            "DataDir": str(tmp_path / "repo"),
            "Orchestrator.Enabled": True,
            "Compute.Enabled": True,
            "API.Port": 0,
            "Engines.Disabled": ["docker", "wasm"],
            "Compute.AllowListedAddresses": list(TEST_SERVERS),
        }
        return Config(base | named)

    return make
