"""A node that is started with the words of older documents, and a client that speaks to it with them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.services.node_fixtures import NodeFactory

OLD_FILE = """
Node:
  IPFS: {Connect: /ip4/127.0.0.1/tcp/1}
  Compute:
    JobSelection: {RejectStatelessJobs: false, ProbeExec: 'true'}
    JobTimeouts: {MaxJobExecutionTimeout: 2h}
"""
JOB = """
Type: batch
Tasks:
- {Name: main, Engine: {Type: noop}, Resources: {CPU: '1'}, Timeouts: {TotalTimeout: 60}}
"""
FLAGS = (
    "--node-type=requester,compute",
    "--labels=zone=eu",
    "--limit-total-cpu=2",
    "--limit-job-cpu=500m",
    "--job-selection-accept-networked=false",
    "--max-job-execution-timeout=1h",
    "--requester-job-store-type=boltdb",
    "--peer=none",
)


def client(directory: Path, *words: str, **extra: str) -> subprocess.CompletedProcess[str]:
    own = {key: text for key, text in os.environ.items() if not key.startswith(("BACALHAU_", "JPY_"))}
    return subprocess.run(
        [sys.executable, "-m", "bacalhau_jupyter", *words],
        env={**own, "HOME": str(directory), **extra},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_node_and_its_client_understand_older_words(node_factory: NodeFactory, tmp_path: Path) -> None:
    directory = tmp_path / "node"
    directory.mkdir()
    (directory / "config.yaml").write_text(OLD_FILE)
    (directory / "repo.version").write_text('{"Version":1}')
    node = node_factory(*FLAGS, roles=())

    def ask(*words: str, **extra: str) -> subprocess.CompletedProcess[str]:
        return client(tmp_path, *words, "--repo", str(directory), **extra)

    config = json.loads(ask("agent", "config", "--output", "json").stdout)["config"]
    admission = config["JobAdmissionControl"]
    assert admission["RejectNetworkedJobs"] is True
    assert (admission["ProbeExec"], admission["MaxCPU"]) == ("true", "500m")
    assert admission["MaxTimeout"] == "1h0m0s"
    assert config["InputSources"]["Types"]["IPFS"]["Endpoint"] == "/ip4/127.0.0.1/tcp/1"
    listed = ask("node", "list", "--labels", "zone=eu", "--output", "csv")
    assert "/ 2.0" in listed.stdout
    assert "Note: --repo is --data-dir today" in listed.stderr

    (tmp_path / "job.yaml").write_text(JOB)
    refused = ask("create", str(tmp_path / "job.yaml"))
    assert refused.returncode == 1
    assert "Note: create is job run today" in refused.stderr
    assert "this node gives less to one job: CPU (1 > 0.5)" in refused.stderr + refused.stdout

    old = client(
        tmp_path, "list", "--api-host", "127.0.0.1", "--api-port", str(node.port), BACALHAU_API_KEY=node.key
    )
    assert old.returncode == 0, old.stderr
    assert "Note: list is job list today" in old.stderr
    assert old.stdout.startswith("CREATED")

    log = node.output.read_text()
    for words in (
        "--node-type is --orchestrator and --compute today",
        "--peer: no effect: a compute node joins the orchestrator that Compute.Orchestrators names, not peers",
        "config.yaml: Node.IPFS.Connect is InputSources.Types.IPFS.Endpoint today",
        "repo.version: the version stands in system_metadata.yaml",
    ):
        assert log.count(words) == 1, words
