"""A whole node in a container with the engine's socket mounted, as where Jupyter runs in Docker: its disk is not the
engine's, so its jobs' files are copied. Clients run in that container, too, and talk to it as they always do.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.services.common import ServiceUnavailableError, wait_until
from tests.services.docker_engine import client as engine_client
from tests.services.docker_engine import touch
from tests.services.fixtures import service_or_skip
from tests.services.http_server import CONTENT, BadHttpServer
from tests.services.kubo import KuboNode, kubo
from tests.services.node import TEST_SERVERS
from tests.services.s3 import S3Server, s3_server

__all__ = ["kubo", "s3_server"]

ROOT = Path(__file__).parents[3]
IMAGE_PYTHON = (3, 11)
SERVE = (
    "python3 -m bacalhau_jupyter serve --orchestrator --compute --data-dir /node --api-port 0 "
    "-c Compute.AllowListedLocalPaths=/data:rw >> /tmp/node.out 2>&1"
)
PREPARE = """
import os, pathlib
data = pathlib.Path("/data")
(data / "empty").mkdir(parents=True)
(data / "bytes").write_bytes(os.urandom(3_000_000))
(data / "run").write_text("#!/bin/sh")
(data / "run").chmod(0o755)
(data / "link").symlink_to("bytes")
"""
LIBRARY = """
import hashlib, json, pathlib, sys
from bacalhau_jupyter import Client, docker
from bacalhau_jupyter.client.jobs.build import local_path, url
from bacalhau_jupyter.client.inputs.inline import inline_files

def tree(top):
    found = {}
    for path in sorted(pathlib.Path(top).rglob("*")):
        holds = f"-> {path.readlink()}" if path.is_symlink() else "directory"
        if path.is_file() and not path.is_symlink():
            holds = hashlib.sha256(path.read_bytes()).hexdigest()
        found[str(path.relative_to(top))] = [oct(path.lstat().st_mode & 0o777), holds]
    return found

client = Client(data_dir="/node", start=False)
image, *arguments = sys.argv[1:]
"""
ALL_INPUTS = """
inputs = [
    local_path("/data", "/local"), url(arguments[0], "/web"), inline_files({"a b.txt": b"inline"}, "/inline"),
]
inputs += arguments[1:]
command = "cd /outputs; cp -a /local/. .; cp /inline/* .; cp /web/* web; touch /local/x; mkdir none; cp /s3/* /ipfs/* ."
result = client.submit(docker(image, command, inputs=inputs)).result()
print(json.dumps([result.runtime, result.stderr, tree("/data"), tree(result.path / "outputs")]))
"""
REFUSED = """
from bacalhau_jupyter.models.errors import BacalhauError
job = docker(image, "true", inputs=[local_path("/data", "/d", read_write=True)], queue_timeout=1)
try:
    client.submit(job).result()
except BacalhauError as error:
    print(error)
"""
ENDED_EARLY = """
from bacalhau_jupyter.models.errors import BacalhauError
inputs = [inline_files({"a": b"x"}, "/inline")]
job = client.submit(docker(image, "echo part > /outputs/f; sleep 100", inputs=inputs, timeout=3))
try:
    job.result()
except BacalhauError as error:
    print(error)
job = client.submit(docker(image, "echo up; sleep 100", inputs=inputs))
next(job.logs(follow=True))
job.stop()
print(job.wait().state_type.name)
"""
BEGIN = """
command = "echo up; while [ ! -e /tmp/go ]; do sleep 0.1; done; cat /local/run > /outputs/out; chmod 640 /outputs/out"
job = client.submit(docker(image, command, inputs=[local_path("/data", "/local")]))
next(job.logs(follow=True))
print(job.id)
"""
FINISH = """
result = client.job(arguments[0]).result()
print(json.dumps([result.text("outputs/out"), len(client.job(arguments[0]).executions()), result.runtime]))
"""


class Container:
    """The container in which the node lives, and its processes."""

    def __init__(self, engine_url: str, image: str, job_image: str, s3: S3Server, ipfs: KuboNode) -> None:
        if sys.version_info[:2] != IMAGE_PYTHON:
            raise ServiceUnavailableError("the tests' packages are not for the Python 3.11 of the image")
        if not engine_url.startswith("unix://"):
            raise ServiceUnavailableError("the engine has no socket that could be mounted")
        if shutil.which("docker") is None:
            raise ServiceUnavailableError("the docker command is not installed")
        self.url, self.job_image = engine_url, job_image
        keys = {
            **s3.environment(),
            "BACALHAU_INPUTSOURCES_TYPES_IPFS_ENDPOINT": ipfs.endpoint,
            "BACALHAU_COMPUTE_ALLOWLISTEDADDRESSES": ",".join(TEST_SERVERS),
        }
        credentials = [word for name, value in keys.items() for word in ("--env", f"{name}={value}")]
        socket, packages = engine_url.removeprefix("unix://"), sysconfig.get_path("purelib")
        self.id = self._docker(
            "run",
            "--detach",
            "--init",
            "--network",
            "host",
            "--volume",
            f"{socket}:/var/run/docker.sock",
            "--volume",
            f"{ROOT}:/source:ro",
            "--volume",
            f"{packages}:/packages:ro",
            "--env",
            "PYTHONPATH=/source:/packages",
            "--env",
            "PYTHONDONTWRITEBYTECODE=1",
            *credentials,
            "--workdir",
            "/tmp",
            image,
            "sleep",
            "1000",
        ).strip()
        self.python(PREPARE)
        self.serve()
        node = json.loads(self.python(LIBRARY + "print(json.dumps(client.nodes()[0].info.node_id))"))
        self.node_id = str(node)

    def serve(self) -> None:
        """Start the node and wait until it listens."""
        self._docker("exec", "--detach", self.id, "sh", "-c", f"echo $$ > /tmp/node.pid; exec {SERVE}")
        assert wait_until(self._serves, timeout_s=60), self.node_output()

    def _serves(self) -> bool:
        done = self._run("exec", self.id, "python3", "-c", LIBRARY + "print(len(client.nodes()))", "x")
        return done.returncode == 0 and done.stdout.strip() == "1"

    def kill(self) -> None:
        """End the node without any chance to clean up."""
        self._docker("exec", self.id, "sh", "-c", "kill -9 $(cat /tmp/node.pid)")

    def python(self, script: str, *arguments: str) -> str:
        """Run a script in the container; what it printed."""
        return self._docker("exec", self.id, "python3", "-c", script, self.job_image, *arguments)

    def node_output(self) -> str:
        """What the node printed last."""
        return self._run("exec", self.id, "tail", "-n", "30", "/tmp/node.out").stdout

    def tasks(self, api: Any) -> list[str]:
        """The containers of this node's jobs."""
        containers = api.containers(all=True, filters={"label": f"bacalhau-executor={self.node_id}"})
        return [item["Id"] for item in containers if item["State"] == "running"]

    def leftovers(self, api: Any) -> tuple[list[str], list[str]]:
        """All containers and volumes of this node's jobs."""
        filters = {"label": f"bacalhau-executor={self.node_id}"}
        containers = [item["Id"] for item in api.containers(all=True, filters=filters)]
        return containers, [volume["Name"] for volume in api.volumes(filters=filters)["Volumes"] or []]

    def close(self, api: Any) -> None:
        """Remove the container, and what a failed test may have left of jobs."""
        self._docker("rm", "--force", "--volumes", self.id)
        containers, volumes = self.leftovers(api)
        for container in containers:
            api.remove_container(container, force=True, v=True)
        for volume in volumes:
            api.remove_volume(volume)

    def _docker(self, *arguments: str) -> str:
        done = self._run(*arguments)
        assert done.returncode == 0, (
            f"{done.stdout[-2000:]}\n{done.stderr[-3000:]}\n{self.output_after(arguments)}"
        )
        return done.stdout

    def output_after(self, arguments: tuple[str, ...]) -> str:
        return self.node_output() if arguments[0] == "exec" and "tail" not in arguments else ""

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["docker", "--host", self.url, *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={"PATH": os.environ["PATH"]},
        )


@pytest.fixture(scope="module")
def container(
    docker_engine: str, python_image: str, busybox_image: str, s3_server: S3Server, kubo: KuboNode
) -> Iterator[Container]:
    made = service_or_skip(lambda: Container(docker_engine, python_image, busybox_image, s3_server, kubo))
    yield made
    engine = engine_client(docker_engine)
    try:
        gone = wait_until(lambda: made.leftovers(engine.api) == ([], []), timeout_s=60)
        assert gone, made.leftovers(engine.api)
    finally:
        made.close(engine.api)
        engine.close()


def test_jobs_get_every_kind_of_input_and_bring_their_results(
    container: Container, http_server: BadHttpServer, s3_server: S3Server, kubo: KuboNode, tmp_path: Path
) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "from ipfs").write_text("content")
    bucket = s3_server.bucket({"data/from s3": b"object"})
    printed = container.python(
        LIBRARY + ALL_INPUTS,
        f"{http_server.url}/file",
        f"src=s3://{bucket}/data/,dst=/s3,opt=endpoint={s3_server.url},opt=region=us-east-1",
        f"ipfs://{kubo.add(tmp_path / 'tree')}:/ipfs",
    )
    runtime, stderr, inputs, got = json.loads(printed)
    assert runtime.startswith("docker (Docker Engine ") and runtime.endswith(" (archive))")
    assert "Read-only file system" in stderr
    web = got.pop("web")
    assert web[1] == hashlib.sha256(CONTENT).hexdigest()
    assert got.pop("from s3")[1] == hashlib.sha256(b"object").hexdigest()
    assert got.pop("from ipfs")[1] == hashlib.sha256(b"content").hexdigest()
    assert got.pop("a b.txt")[1] == hashlib.sha256(b"inline").hexdigest()
    assert got.pop("none") == ["0o755", "directory"]
    assert got == inputs


def test_a_directory_for_writing_is_refused_with_the_reason(container: Container) -> None:
    output = container.python(LIBRARY + REFUSED)
    assert "this node can't share /data for writing" in output


def test_a_time_out_and_a_stop_end_the_task_and_leave_nothing(container: Container, api: Any) -> None:
    *messages, stopped = container.python(LIBRARY + ENDED_EARLY).splitlines()
    assert "timed out" in " ".join(messages)
    assert stopped == "STOPPED"
    assert wait_until(lambda: container.leftovers(api) == ([], []), timeout_s=60), container.leftovers(api)


def test_a_node_that_is_killed_meets_its_task_again_and_publishes(container: Container, api: Any) -> None:
    job = container.python(LIBRARY + BEGIN).strip()
    container.kill()
    (task,) = container.tasks(api)
    container.serve()
    assert container.tasks(api) == [task]
    touch(container.url, task, "/tmp/go")
    text, executions, runtime = json.loads(container.python(LIBRARY + FINISH, job))
    assert (text, executions) == ("#!/bin/sh", 1)
    assert runtime.endswith(" (archive))")
