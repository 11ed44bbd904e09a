"""A node of ours under an official orchestrator, and jobs for it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.services.node import ServedNode
from tests.services.node_fixtures import NodeFactory
from tests.services.official_orchestrator import OfficialOrchestrator


def joined(
    node_factory: NodeFactory,
    orchestrator: OfficialOrchestrator,
    *options: str,
    token: str = "",
    **arguments: Any,
) -> ServedNode:
    """Start a node that only runs jobs, for this orchestrator."""
    return node_factory(
        "-c",
        f"Compute.Orchestrators={orchestrator.link}",
        "-c",
        "Compute.Heartbeat.Interval=2s",
        *options,
        roles=["--compute"],
        env={"BACALHAU_COMPUTE_AUTH_TOKEN": token or orchestrator.token},
        **arguments,
    )


def shell(name: str, script: str, kind: str = "batch", **task: Any) -> dict[str, Any]:
    """Return a job that runs a script by the engine that only nodes of ours have."""
    engine = {"Type": "process", "Params": {"Command": ["sh", "-c", script]}}
    return {"Name": name, "Type": kind, "Count": 1, "Tasks": [{"Name": "main", "Engine": engine, **task}]}


def waiting_for(gate: Path, then: str) -> str:
    """Return a script that says that it runs, waits for a file, and goes on."""
    return f"echo begun; while [ ! -e {gate} ]; do sleep 0.1; done; {then}"


def answer_of(node: ServedNode, path: str) -> tuple[int, dict[str, Any]]:
    """Return the status and the JSON with which a node answers."""
    try:
        with urllib.request.urlopen(f"{node.url}{path}", timeout=60) as answer:
            return int(answer.status), dict(json.load(answer))
    except urllib.error.HTTPError as error:
        return error.code, dict(json.load(error))


def live(node: ServedNode) -> list[str]:
    """Return the executions that a node is at work on."""
    status, facts = answer_of(node, "/api/v1/agent/debug")
    assert status == 200
    return list(facts["Compute"]["LiveExecutions"])
