"""A Docker Engine that is there later than the node, or that never says a word: the node starts all the same."""

from __future__ import annotations

import json
import socket
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.services.common import wait_until
from tests.services.node import ServedNode
from tests.services.node_fixtures import NodeFactory, node_factory

__all__ = ["node_factory"]


def compute_info(node: ServedNode) -> dict[str, Any]:
    """What the orchestrator knows of the node's compute side."""
    request = urllib.request.Request(
        f"{node.url}/api/v1/orchestrator/nodes", headers={"Authorization": f"Bearer {node.key}"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        (node_state,) = json.load(answer)["Nodes"]
    info: dict[str, Any] = node_state["Info"]["ComputeNodeInfo"]
    return info


def test_an_engine_that_starts_later_is_found_without_a_restart(
    node_factory: NodeFactory, docker_engine: str, tmp_path: Path
) -> None:
    if not docker_engine.startswith("unix://"):
        pytest.skip("the engine has no socket that could be linked to")
    late = tmp_path / "late.sock"
    node = node_factory("-c", "Engines.Docker.Runtimes=docker", env={"DOCKER_HOST": f"unix://{late}"})
    # On a busy machine the node starts before it has loaded what asks.
    assert wait_until(lambda: "does not exist" in json.dumps(compute_info(node)), timeout_s=60), node.tail()
    assert "docker" not in compute_info(node)["ExecutionEngines"]
    late.symlink_to(docker_engine.removeprefix("unix://"))
    assert wait_until(lambda: "docker" in compute_info(node)["ExecutionEngines"], timeout_s=60), node.tail()
    assert "does not exist" not in json.dumps(compute_info(node))


def test_a_silent_engine_does_not_hold_up_the_start(node_factory: NodeFactory, tmp_path: Path) -> None:
    path = tmp_path / "silent.sock"
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen()
        node = node_factory(
            *("-c", "Engines.Docker.Runtimes=docker"),
            env={"DOCKER_HOST": f"unix://{path}"},
            awaits_engines=False,
        )
        info = compute_info(node)
        assert "docker" not in info["ExecutionEngines"]
        # A start that had waited for the engine would know by now that it does not answer.
        assert "it has not answered yet" in json.dumps(info), info
        assert node.stop() == 0
