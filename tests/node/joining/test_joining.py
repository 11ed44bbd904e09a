"""`cluster join` and `cluster leave`: a node with an orchestrator of its own runs jobs of an official one, too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.node.joining.official_jobs import answer_of, shell, waiting_for
from tests.services.common import wait_until
from tests.services.node import ServedNode
from tests.services.node_fixtures import NodeFactory
from tests.services.official_orchestrator import TIMEOUT_S, OfficialOrchestrator, needs_official
from tests.services.waiting import found

QUICK = ("-c", "Compute.Heartbeat.Interval=2s")


def cluster(node: ServedNode, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a verb of ours against a node."""
    return subprocess.run(
        [sys.executable, "-m", "bacalhau_jupyter", "cluster", *words],
        env={"PATH": "/usr/bin:/bin", "HOME": str(node.repo.path), **node.client_env()},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def token_file(orchestrator: OfficialOrchestrator, directory: Path) -> str:
    path = directory / "cluster.token"
    path.write_text(orchestrator.token + "\n")
    return str(path)


@needs_official
def test_a_machine_is_offered_to_another_cluster_until_it_is_taken_back(
    node_factory: NodeFactory, official_orchestrator: OfficialOrchestrator, tmp_path: Path
) -> None:
    node = node_factory(*QUICK)
    link = official_orchestrator.link
    words = ("join", link, "--token-file", token_file(official_orchestrator, tmp_path), "--name", "n-guest")
    joined = cluster(node, *words)
    assert joined.returncode == 0, joined
    assert official_orchestrator.token not in joined.stdout + joined.stderr
    assert "n-guest" in joined.stdout
    official_orchestrator.wait_connected("n-guest")
    again = cluster(node, *words)
    assert again.returncode == 1
    assert f"is offered to {link} already" in again.stderr
    job = official_orchestrator.submit(shell("there", "echo done"))
    assert official_orchestrator.wait_for(job, "Completed", "Failed") == "Completed"
    # What the guest runs is not free for jobs of the node's own cluster.
    _, state = answer_of(node, "/api/v1/agent/node")
    cores = state["ComputeNodeInfo"]["MaxCapacity"]["CPU"]
    gate = tmp_path / "gate"
    busy = official_orchestrator.submit(
        shell("busy", waiting_for(gate, "true"), kind="service", Resources={"CPU": str(cores)})
    )
    official_orchestrator.wait_for(busy, "Running")

    def nothing_free() -> bool:
        _, now = answer_of(node, "/api/v1/agent/node")
        return not now["ComputeNodeInfo"]["AvailableCapacity"].get("CPU")

    assert wait_until(nothing_free, timeout_s=TIMEOUT_S)
    left = cluster(node, "leave", link)
    assert left.returncode == 0, left
    assert "1 of its executions were stopped" in left.stdout
    official_orchestrator.wait_connected("n-guest", "DISCONNECTED")
    assert not nothing_free()
    assert cluster(node, "leave", link).returncode == 1


@needs_official
def test_a_restarted_node_joins_again_and_goes_on_with_what_it_ran(
    node_factory: NodeFactory, official_orchestrator: OfficialOrchestrator, tmp_path: Path
) -> None:
    node = node_factory(*QUICK)
    joined = cluster(
        node, "join", official_orchestrator.link, "--token-file", token_file(official_orchestrator, tmp_path)
    )
    assert joined.returncode == 0, joined
    _, state = answer_of(node, "/api/v1/cluster/joined")
    (name,) = (each["NodeID"] for each in state["Items"])
    official_orchestrator.wait_connected(name)
    job = official_orchestrator.submit(shell("kept", "echo begun; sleep 5; echo ended"))
    official_orchestrator.wait_for(job, "Running")
    assert wait_until(
        lambda: "begun" in official_orchestrator.cli("job", "logs", job).stdout, timeout_s=TIMEOUT_S
    )
    node.kill()
    node = node_factory(*QUICK, data_dir=node.repo.path)
    assert official_orchestrator.wait_for(job, "Completed", "Failed") == "Completed"
    assert len(official_orchestrator.executions(job)) == 1
    kept = node.repo.path / "joined-clusters.json"
    assert kept.stat().st_mode & 0o777 == 0o600


def test_a_cluster_that_can_not_be_joined_is_told_and_nothing_is_kept(
    node_factory: NodeFactory, tmp_path: Path
) -> None:
    node = node_factory(*QUICK)
    empty = tmp_path / "empty"
    empty.touch()
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("no certificate")
    wrong = {
        ("nats://127.0.0.1:1",): "can't join nats://127.0.0.1:1",
        ("http://127.0.0.1:1",): "is not the address of a NATS server",
        ("nats://secret@127.0.0.1:1",): "holds a credential",
        ("nats://127.0.0.1:1", "--name", "a b"): "the node ID 'a b' holds a blank",
        ("nats://127.0.0.1:1", "--name", node.repo.node_name()): "is called",
        ("nats://127.0.0.1:1", "--token-file", str(tmp_path / "none")): "can't be read: No such file",
        ("nats://127.0.0.1:1", "--token-file", str(empty)): "holds no token",
        ("nats://127.0.0.1:1", "--ca-file", str(nonsense)): "can't join nats://127.0.0.1:1",
    }
    for words, sentence in wrong.items():
        done = cluster(node, "join", *words)
        assert done.returncode == 1, done
        assert sentence in done.stderr
        assert "Traceback" not in done.stderr
        assert "secret" not in done.stderr
    assert answer_of(node, "/api/v1/cluster/joined")[1] == {"Items": []}
    assert not (node.repo.path / "joined-clusters.json").exists()
    assert found(node.repo.path, "*.pem") == []
    assert list(node.repo.path.glob("joined/*/compute")) == []
