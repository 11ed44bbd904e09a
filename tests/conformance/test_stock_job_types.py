"""The unmodified official client with jobs of every type; ``BACALHAU_STOCK_BINARY`` names it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.services.common import wait_until
from tests.services.node_fixtures import NodeFactory

BINARY = os.environ.get("BACALHAU_STOCK_BINARY", "")
pytestmark = pytest.mark.skipif(not BINARY, reason="BACALHAU_STOCK_BINARY names no official client")

SPEC = (
    "Name: {name}\nType: {kind}\nTasks:\n- Name: main\n  Engine: {{Type: noop, Params: {{Sleep: {sleep}}}}}\n"
)
LIVE = (1, 3, 5)
TIMEOUT_S = 60.0

Official = Callable[..., str]


@pytest.fixture
def official(node_factory: NodeFactory, tmp_path: Path) -> Official:
    """Run the official client on a node of ours; returns what it printed."""
    node = node_factory()
    own = {
        "HOME": str(tmp_path),
        "BACALHAU_DIR": str(tmp_path / "official"),
        "BACALHAU_DISABLEANALYTICS": "true",
        "BACALHAU_UPDATECONFIG_INTERVAL": "0",
        "BACALHAU_API_HOST": "127.0.0.1",
        "BACALHAU_API_PORT": str(node.port),
        "BACALHAU_API_KEY": node.key,
    }

    def run(*words: str) -> str:
        done = subprocess.run(
            [BINARY, *words],
            env={**os.environ, **own},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def answer(official: Official, *words: str) -> Any:
    # In its first runs the client prints lines about itself before the document.
    return json.loads(official(*words, "--output", "json").splitlines()[-1])


def live(official: Official, job: str) -> list[dict[str, Any]]:
    executions = answer(official, "job", "executions", job)
    return [item for item in executions if item["ComputeState"]["StateType"] in LIVE]


def state(official: Official, job: str) -> str:
    return str(answer(official, "job", "describe", job)["Job"]["State"]["StateType"])


def write(directory: Path, kind: str, sleep: int) -> str:
    file = directory / f"{kind}.yaml"
    file.write_text(SPEC.format(name=f"stock-{kind}", kind=kind, sleep=sleep))
    return str(file)


def test_the_official_client_waits_for_an_ops_job(official: Official, tmp_path: Path) -> None:
    official("job", "run", write(tmp_path, "ops", 0))
    assert state(official, "stock-ops") == "Completed"


def test_the_official_client_lists_jobs_in_every_order_that_it_names(
    official: Official, tmp_path: Path
) -> None:
    for kind in ("ops", "batch"):
        official("job", "run", write(tmp_path, kind, 0))
    ids = [item["ID"] for item in answer(official, "job", "list", "--order-by", "id")]
    assert len(ids) == 2
    assert ids == sorted(ids)
    back = answer(official, "job", "list", "--order-by", "id", "--order-reversed")
    assert [item["ID"] for item in back] == ids[::-1]
    names = [item["Name"] for item in answer(official, "job", "list", "--order-by", "created_at")]
    assert names == ["stock-ops", "stock-batch"]


@pytest.mark.parametrize("kind", ["service", "daemon"])
def test_the_official_client_runs_updates_and_stops_a_job_without_an_end(
    official: Official, tmp_path: Path, kind: str
) -> None:
    job = f"stock-{kind}"
    official("job", "run", write(tmp_path, kind, 600))
    assert len(live(official, job)) == 1
    official("job", "run", "--wait=false", write(tmp_path, kind, 601))
    assert wait_until(
        lambda: [item["JobVersion"] for item in live(official, job)] == [2], timeout_s=60, interval_s=0.5
    )
    official("job", "stop", job)
    assert wait_until(lambda: not live(official, job), timeout_s=60, interval_s=0.5)
    assert state(official, job) == "Stopped"
