"""Nodes of ours and official ones side by side, under an orchestrator of either kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.models.jobs.job import JobStateType
from bacalhau_jupyter.models.records.execution import ExecutionStateType
from tests.node.guests.cluster import Cluster, guest_cluster, image
from tests.node.joining.official_jobs import joined, shell
from tests.services.node_fixtures import NodeFactory
from tests.services.official_compute import OfficialCompute
from tests.services.official_orchestrator import OfficialOrchestrator, needs_official

pytestmark = [needs_official, pytest.mark.timeout(600)]

DONE, FAILED = JobStateType.COMPLETED, JobStateType.FAILED


@pytest.fixture
def mixed(tmp_path: Path) -> Iterator[tuple[Cluster, str]]:
    """An orchestrator of ours with one node of each kind; and the name of ours."""
    with guest_cluster(tmp_path) as cluster:
        cluster.guests("n-guest")
        node = cluster.start_node(
            "-c",
            f"Compute.Orchestrators={cluster.link}",
            name="ours",
            roles=["--compute"],
            env={"BACALHAU_COMPUTE_AUTH_TOKEN": cluster.token},
        )
        name = node.repo.node_name()
        cluster.wait_connected("n-guest", name)
        yield cluster, name


def test_jobs_go_to_the_nodes_that_can_run_them(mixed: tuple[Cluster, str], busybox_image: str) -> None:
    cluster, ours = mixed
    only_ours = cluster.run(shell("process", "echo here"))
    assert cluster.wait_for(only_ours, DONE, FAILED) is DONE, cluster.executions(only_ours)
    assert [each.node_id for each in cluster.executions(only_ours)] == [ours]
    with cluster.client() as client:
        reasons = {each.node_id: each.reason for each in client.job(only_ours).explain().nodes}
    assert "process" in reasons["n-guest"]
    ops = cluster.run(image(busybox_image, "echo both", kind="ops"))
    assert cluster.wait_for(ops, DONE, FAILED) is DONE, cluster.executions(ops)
    assert sorted(each.node_id for each in cluster.executions(ops)) == sorted(["n-guest", ours])
    many = cluster.run(image(busybox_image, "true", Count=6))
    assert cluster.wait_for(many, DONE, FAILED) is DONE, cluster.executions(many)
    done = [
        each
        for each in cluster.executions(many)
        if each.compute_state.state_type is ExecutionStateType.COMPLETED
    ]
    assert len(done) == 6


def test_an_official_orchestrator_places_jobs_on_both_kinds(
    node_factory: NodeFactory,
    official_orchestrator: OfficialOrchestrator,
    busybox_image: str,
    tmp_path: Path,
) -> None:
    ours = joined(node_factory, official_orchestrator).repo.node_name()
    guest = OfficialCompute(
        tmp_path / "guest", official_orchestrator.link, official_orchestrator.token, "n-guest"
    )
    try:
        for name in (ours, "n-guest"):
            official_orchestrator.wait_connected(name)

        def run(job: dict[str, Any]) -> list[str]:
            identifier = official_orchestrator.submit(job)
            assert official_orchestrator.wait_for(identifier, "Completed", "Failed") == "Completed"
            return sorted(each["NodeID"] for each in official_orchestrator.executions(identifier))

        assert run(shell("process", "true")) == [ours]
        assert run(image(busybox_image, "true", kind="ops", Name="ops")) == sorted([ours, "n-guest"])
    finally:
        guest.close()
