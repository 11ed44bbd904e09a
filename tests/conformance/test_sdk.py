"""The official Python SDK, unmodified and without any credential, against a node process."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.services import sdk
from tests.services.fixtures import service_or_skip
from tests.services.node import ServedNode

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(900)]

SESSION = Path(__file__).with_name("sdk_session.py")


def sdk_session(node: ServedNode, engine: str, params: dict[str, Any], publisher: str) -> dict[str, Any]:
    """Run the session and return what it found."""
    python = service_or_skip(sdk.obtain)
    done = subprocess.run(
        [python, SESSION, engine, json.dumps(params), publisher],
        env={"PATH": "/usr/bin:/bin", "HOME": str(node.repo.path), **node.client_env()},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert lines, f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}\n{node.tail()}"
    report: dict[str, Any] = json.loads(lines[0].removeprefix("RESULT "))
    return report


def check_session(node: ServedNode, report: dict[str, Any], engine: str) -> None:
    """Check everything that does not depend on the engine."""
    assert report["state"] == "Completed"
    assert (report["name"], report["engine"]) == ("sdk-job", engine)
    assert report["included"][0] == 1
    assert report["included"][1] >= 4
    assert (report["compute_state"], report["exit_code"]) == (9, 0)
    assert report["stdout"] == "hello from the SDK\n"
    # The SDK asks for execution-level events only.
    assert report["history"][0].startswith("Requested execution on ")
    assert report["history"][-1] == "Completed successfully"
    assert report["job_id"] in report["listed"]
    assert report["stop_evaluation"]
    assert report["stopped"] == ["Stopped", "enough"]
    assert "OK" in report["alive"]
    assert report["version"].startswith("v1.9.3")
    assert report["nodes"] == [report["agent"]] == [report["node"]]


def test_the_official_sdk_drives_a_noop_job(node: ServedNode) -> None:
    report = sdk_session(node, "noop", {"Stdout": "hello from the SDK\n"}, "")
    check_session(node, report, "noop")
    assert report["results"] == []


def test_the_official_sdk_drives_a_docker_job_and_gets_its_results(
    node: ServedNode, busybox_image: str
) -> None:
    params = {"Image": busybox_image, "Entrypoint": ["echo", "hello from the SDK"]}
    report = sdk_session(node, "docker", params, "local")
    check_session(node, report, "docker")
    (result,) = report["results"]
    assert result["type"] == "urlDownload"
    with urllib.request.urlopen(result["params"]["URL"], timeout=60) as answer:
        data = answer.read()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        stdout = archive.extractfile(next(name for name in archive.getnames() if name.endswith("stdout")))
        assert stdout is not None
        assert stdout.read() == b"hello from the SDK\n"
