"""The node in a container: with and without the Docker Engine, who may call it, and how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.conftest import docker_command
from tests.services.common import wait_until
from tests.services.leaks import owns

SOCKET = Path("/var/run/docker.sock")
JOBS = "/api/v1/orchestrator/jobs"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class ContainerNode:
    """A node in a container, on a loopback port of this machine."""

    def __init__(self, image: str, *options: str) -> None:
        self.volume = f"bacalhau-test-{uuid.uuid4().hex[:12]}"
        self._image = image
        self._options = options
        self.name = ""
        self.start()

    def start(self) -> None:
        """Start a container with the node's volume."""
        words = ["run", "--detach", "--init", "--publish", "127.0.0.1::1234", "--health-interval=1s"]
        words += ["--volume", f"{self.volume}:/data", *self._options, self._image]
        self.name = docker_command(*words)
        if not wait_until(lambda: self.health == "healthy", timeout_s=120):
            raise AssertionError(docker_command("logs", self.name))
        self.port = docker_command("port", self.name, "1234/tcp").rpartition(":")[2]
        self.key = docker_command("exec", self.name, "cat", "/data/api.key")
        owns(self.call("GET", "/api/v1/agent/node")["NodeID"])

    @property
    def health(self) -> str:
        """What the engine says of the health check."""
        return docker_command("inspect", "--format", "{{.State.Health.Status}}", self.name)

    def call(self, method: str, path: str, body: object = None, *, key: str | None = None) -> Any:
        """Make a request from this machine, with the node's key or another."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self.key if key is None else key}",
                "Content-Type": "application/json",
            },
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    def shell(self, directory: Path, *words: str) -> str:
        """Run the shell command of this machine against the node."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("BACALHAU_")}
        variables = {
            "BACALHAU_API_HOST": "127.0.0.1",
            "BACALHAU_API_PORT": self.port,
            "BACALHAU_API_KEY": self.key,
            "BACALHAU_DIR": str(directory),
        }
        done = subprocess.run(
            [sys.executable, "-m", "bacalhau_jupyter", *words],
            env=kept | variables,
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def stop(self) -> int:
        """End the container as its owner would; return the node's exit status."""
        docker_command("stop", "--time", "100", self.name)
        status = int(docker_command("inspect", "--format", "{{.State.ExitCode}}", self.name))
        docker_command("rm", self.name)
        self.name = ""
        return status

    def close(self) -> None:
        """Remove what is left."""
        if self.name:
            docker_command("rm", "--force", self.name)
        docker_command("volume", "rm", "--force", self.volume)


@pytest.fixture(scope="module")
def alone(node_image: str) -> Iterator[ContainerNode]:
    """A node that sees no engine."""
    running = ContainerNode(node_image)
    yield running
    running.close()


def test_nobody_calls_a_node_in_a_container_without_its_key(alone: ContainerNode) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        alone.call("GET", JOBS, key="")
    assert refused.value.code == 401
    refused.value.close()
    assert alone.call("GET", JOBS) is not None


def test_a_node_in_a_container_is_no_root_and_keeps_its_key_for_itself(alone: ContainerNode) -> None:
    assert docker_command("exec", alone.name, "id", "-u") == "1000"
    assert docker_command("exec", alone.name, "stat", "-c", "%a %u", "/data/api.key") == "600 1000"


def test_its_own_user_needs_no_key_inside(alone: ContainerNode) -> None:
    assert "CREATED" in docker_command("exec", alone.name, "bacalhau-jupyter", "job", "list").upper()


def test_without_an_engine_it_says_so_and_runs_what_needs_none(alone: ContainerNode) -> None:
    assert "engine docker is off" in docker_command("logs", alone.name)
    engines = alone.call("GET", "/api/v1/agent/node")["ComputeNodeInfo"]["ExecutionEngines"]
    assert "docker" not in engines
    assert "noop" in engines


def test_it_ends_in_order_and_finds_its_jobs_again(node_image: str, tmp_path: Path) -> None:
    node = ContainerNode(node_image)
    try:
        task = {"Name": "main", "Engine": {"Type": "noop", "Params": {}}}
        spec = {"Name": "kept", "Type": "batch", "Count": 1, "Tasks": [task]}
        job_id = node.call("PUT", JOBS, {"Job": spec})["JobID"]
        assert node.stop() == 0
        node.start()
        assert node.call("GET", f"{JOBS}/{job_id}")["Job"]["Name"] == "kept"
    finally:
        node.close()


@pytest.mark.skipif(not SOCKET.exists(), reason="the Docker Engine has no socket to mount")
def test_with_the_engines_socket_it_runs_containers_and_hands_over_results(
    node_image: str, busybox_image: str, tmp_path: Path
) -> None:
    group = str(SOCKET.stat().st_gid)
    node = ContainerNode(node_image, "--volume", f"{SOCKET}:{SOCKET}", "--group-add", group)
    try:
        (tmp_path / "in.txt").write_text("from outside\n", encoding="utf-8")
        command = ["sh", "-c", "tr a-z A-Z < /inputs/in.txt > /outputs/out.txt; echo told"]
        flags = ["-f", "-i", "in.txt:/inputs/in.txt", "-o", "outputs:/outputs", "-p", "local"]
        said = node.shell(tmp_path, "docker", "run", *flags, busybox_image, "--", *command)
        assert "told" in said
        (job,) = node.call("GET", JOBS)["Items"]
        node.shell(tmp_path, "job", "get", job["ID"])
        (result,) = tmp_path.glob("job-*/**/out.txt")
        assert result.read_text(encoding="utf-8") == "FROM OUTSIDE\n"
    finally:
        node.close()
