"""A node that is lost while it runs a job: one sentence in cell, shell and lists, then and later."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bacalhau_jupyter.config.repo import Repo
from tests.cli.running import shell_of
from tests.node.joining.official_jobs import answer_of
from tests.notebook.conftest import Kernel
from tests.services.common import wait_until
from tests.services.node import ServedNode
from tests.services.node_fixtures import NodeFactory, node, node_factory

__all__ = ["node", "node_factory"]

pytestmark = [pytest.mark.process, pytest.mark.timeout(400)]

TOKEN = "a token that nobody prints"


def test_cell_attach_and_shell_say_the_same_of_a_lost_node(node_factory: NodeFactory, tmp_path: Path) -> None:
    # Long enough for a busy machine, where a heartbeat of two seconds may come late.
    placer = node_factory(
        *("-c", "Orchestrator.Port=0", "-c", "Orchestrator.NodeManager.DisconnectTimeout=15s"),
        name="placer",
        roles=["--orchestrator"],
        env={"BACALHAU_ORCHESTRATOR_AUTH_TOKEN": TOKEN},
    )
    address = str(answer_of(placer, "/api/v1/cluster")[1]["Address"])
    runner = node_factory(
        *("-c", f"Compute.Orchestrators={address}", "-c", "Compute.Heartbeat.Interval=2s"),
        name="runner",
        roles=["--compute"],
        env={"BACALHAU_COMPUTE_AUTH_TOKEN": TOKEN},
    )
    assert wait_until(lambda: answer_of(placer, "/api/v1/cluster")[1]["Nodes"] == 1, timeout_s=90)
    kernel = Kernel(Repo.open(tmp_path / "kernel"), tmp_path)
    try:
        assert kernel.run("%load_ext bacalhau_jupyter").status == "ok"
        assert kernel.run(f"%bacalhau connect {placer.url}").status == "ok"
        killed: list[ServedNode] = []

        def kill(ran: object) -> None:
            if not killed and "begun" in getattr(ran, "stdout", ""):
                killed.append(runner)
                runner.kill()

        cell = kernel.run(
            "%%bacalhau sh --engine process --queue-timeout 10s\necho begun; sleep 300",
            on_output=kill,
            timeout_s=200,
        )
        first = cell.traceback.splitlines()[0]
        assert "node has disappeared" in first
        sentence = first.removeprefix("CellFailed: ")
        attached = kernel.run("%bacalhau attach", timeout_s=200)
        assert attached.traceback.splitlines()[0] == first
        match = re.search(r"j-[0-9a-f]{8}", first)
        assert match is not None
        done = shell_of(placer, tmp_path)("attach", match[0])
        assert f"Error: {sentence}" in done.stderr
        # Lists, the panel and the explanation take the reason from here.
        _, record = answer_of(placer, f"/api/v1/orchestrator/jobs/{match[0]}")
        reason = record["Job"]["State"]["Details"]["Error"]
        assert sentence == f"job {match[0]} failed: {reason}"
        assert f"failed ({reason})" in shell_of(placer, tmp_path)("explain", match[0]).stdout
    finally:
        kernel.close()
