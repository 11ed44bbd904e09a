"""A node whose job takes far more of the machine than it asked for: other nodes are served all the same."""

from __future__ import annotations

import json
import urllib.request
from typing import Any
from uuid import uuid4

import pytest

from tests.node.joining.official_jobs import answer_of, live, shell
from tests.node.joining.test_ours import TOKEN, address_of, placer, state, wait_for
from tests.services.common import wait_until
from tests.services.node import ServedNode
from tests.services.node_fixtures import NodeFactory

pytestmark = [pytest.mark.process, pytest.mark.timeout(500)]

TIMEOUT_S = 120.0
BUSY = 8
"""Loops that never rest, of a job that asked for a tenth of a core."""


def member(node_factory: NodeFactory, address: str, name: str) -> ServedNode:
    """Start a node that joins and offers half a core."""
    return node_factory(
        *("-c", f"Compute.Orchestrators={address}", "-c", "Compute.Heartbeat.Interval=2s"),
        *("-c", "Compute.AllocatedCapacity.CPU=500m"),
        name=name,
        roles=["--compute"],
        env={"BACALHAU_COMPUTE_AUTH_TOKEN": TOKEN},
    )


def submitted(orchestrator: ServedNode, node: str, script: str) -> str:
    job = shell(f"greedy-{uuid4()}", script, Resources={"CPU": "100m", "Memory": "50mb"})
    job["Constraints"] = [{"Key": "name", "Operator": "=", "Values": [node]}]
    request = urllib.request.Request(
        f"{orchestrator.url}/api/v1/orchestrator/jobs",
        data=json.dumps({"Job": job}).encode(),
        headers={"Content-Type": "application/json"},
        method="PUT",
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        return str(json.load(answer)["JobID"])


def nodes_of(orchestrator: ServedNode) -> dict[str, Any]:
    _, listed = answer_of(orchestrator, "/api/v1/orchestrator/nodes")
    return {each["Info"]["NodeID"]: each for each in listed["Nodes"]}


def test_a_job_that_takes_more_cpu_than_it_was_given_holds_up_no_other_node(
    node_factory: NodeFactory,
) -> None:
    orchestrator = placer(node_factory)
    greedy, other = (member(node_factory, address_of(orchestrator), name) for name in ("greedy", "other"))
    mine, theirs = greedy.repo.node_name(), other.repo.node_name()
    assert wait_until(
        lambda: all(
            nodes_of(orchestrator).get(name, {}).get("Connection") == "CONNECTED" for name in (mine, theirs)
        ),
        timeout_s=TIMEOUT_S,
    )
    loops = " ".join(["(while :; do :; done) &"] * BUSY)
    hog = submitted(orchestrator, mine, f"{loops} wait")
    wait_for(orchestrator, hog, "Running")
    assert wait_until(lambda: bool(live(greedy)), timeout_s=TIMEOUT_S)
    for number in range(5):
        wait_for(orchestrator, submitted(orchestrator, theirs, f"echo {number}"), "Completed")
    # Its own node keeps to its offer, and stays in touch: it takes what fits beside the hog, and no more.
    wait_for(orchestrator, submitted(orchestrator, mine, "true"), "Completed")
    shown = nodes_of(orchestrator)
    assert [shown[name]["Connection"] for name in (mine, theirs)] == ["CONNECTED", "CONNECTED"]
    assert shown[mine]["Info"]["ComputeNodeInfo"]["MaxCapacity"]["CPU"] == 0.5
    assert state(orchestrator, hog) == "Running"
    request = urllib.request.Request(
        f"{orchestrator.url}/api/v1/orchestrator/jobs/{hog}",
        data=b"{}",
        method="DELETE",
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_S):
        pass
    assert wait_until(lambda: not live(greedy), timeout_s=TIMEOUT_S)
