"""An engine of a node of its own per test, and what tests do with it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.engines.docker import DockerEngine
from bacalhau_jupyter.engines.docker.files.placement import Placement
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import NetworkConfig, NetworkType, SpecConfig, Task
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.plugins.contract import InputMount, OutputMount
from bacalhau_jupyter.plugins.engine import Outcome, RunRequest
from bacalhau_jupyter.plugins.logfile import END, STDERR, STDOUT, read_frames
from bacalhau_jupyter.plugins.options import PluginOptions
from tests.services import docker_engine as services
from tests.services import leaks

UNTIL_LET_GO = "until [ -e /tmp/go ]; do sleep 0.1; done"


def execution_of(
    params: dict[str, Any], network: NetworkConfig | None = None, identifier: str = ""
) -> Execution:
    """An execution of a docker task; without a network (it starts faster) unless the test names one."""
    task = Task(
        name="main",
        engine=SpecConfig(type="docker", params=params),
        network=network or NetworkConfig(type=NetworkType.NONE),
    )
    return Execution(
        id=identifier or f"e-{uuid.uuid4()}", job_id="j-test", job=Job(id="j-test", name="t", tasks=[task])
    )


def output_of(path: Path) -> tuple[str, str, bool]:
    """Return stdout, stderr and whether the end frame is there."""
    frames = list(read_frames(path))
    texts = {
        stream: b"".join(frame.data for frame in frames if frame.stream == stream).decode()
        for stream in (STDOUT, STDERR)
    }
    return texts[STDOUT], texts[STDERR], bool(frames) and frames[-1].stream == END


@dataclass
class Finished:
    """How a task ended and what it printed."""

    outcome: Outcome
    stdout: str
    stderr: str


@dataclass
class Node:
    """An engine with the directories that a compute node would give it."""

    engine: DockerEngine
    directory: Path
    url: str
    options: PluginOptions
    placement: Placement | None = None
    requests: dict[str, RunRequest] = field(default_factory=dict)

    def another(self, env: dict[str, str] | None = None) -> DockerEngine:
        """An engine of the same node, as after a restart."""
        env = {"DOCKER_HOST": self.url} if env is None else env
        return DockerEngine(self.options, env=env, placement=self.placement)

    def request(
        self,
        params: dict[str, Any],
        *,
        env: dict[str, str] | None = None,
        inputs: list[InputMount] | None = None,
        outputs: dict[str, str] | None = None,
        resources: Resources | None = None,
        network: NetworkConfig | None = None,
        identifier: str = "",
    ) -> RunRequest:
        execution = execution_of(params, network, identifier)
        directory = self.directory / execution.id
        directory.mkdir(mode=0o700)
        request = RunRequest(
            execution=execution,
            node_id=self.options.node_id,
            env=env or {},
            resources=resources or Resources(),
            inputs=inputs or [],
            outputs=[
                OutputMount(name, directory / "results" / name, target)
                for name, target in (outputs or {}).items()
            ],
            directory=directory,
            log_path=directory / "log",
        )
        self.requests[execution.id] = request
        return request

    async def run(self, params: dict[str, Any], **kwargs: Any) -> Finished:
        """Run a task to its end and remove its container."""
        request = self.request(params, **kwargs)
        await self.engine.start(request)
        outcome = await self.engine.wait(request.execution.id)
        stdout, stderr, ended = output_of(request.log_path)
        assert ended, "the log has no end frame"
        await self.engine.clean(request.execution.id)
        return Finished(outcome, stdout, stderr)

    def containers(self) -> list[dict[str, Any]]:
        """What the Docker Engine itself says of this node's containers."""
        client = services.client(self.url)
        try:
            summaries = client.api.containers(
                all=True, filters={"label": f"bacalhau-executor={self.options.node_id}"}
            )
            return services.inspections(client.api, summaries)
        finally:
            client.close()

    def let_go(self) -> None:
        """Make the file ``/tmp/go`` in the one container that runs: the task waits for it by `UNTIL_LET_GO`."""
        task = next(container for container in self.containers() if container["State"]["Running"])
        services.touch(self.url, task["Id"], "/tmp/go")

    def volumes(self) -> list[str]:
        """The names of this node's volumes."""
        client = services.client(self.url)
        try:
            listing = client.api.volumes(filters={"label": f"bacalhau-executor={self.options.node_id}"})
            return [volume["Name"] for volume in listing["Volumes"] or []]
        finally:
            client.close()


@pytest.fixture
def api(docker_engine: str) -> Iterator[Any]:
    """The low-level client that tests look at the Docker Engine with."""
    client = services.client(docker_engine)
    yield client.api
    client.close()


@pytest.fixture
def placement() -> Placement | None:
    """How the node's files reach containers; None lets the engine find out."""
    return None


@pytest.fixture
async def node(
    docker_engine: str, tmp_path: Path, api: Any, placement: Placement | None
) -> AsyncIterator[Node]:
    """A node with a probed engine; its containers and volumes are removed whatever the test did."""
    options = PluginOptions(node_id=leaks.owns(f"n-{uuid.uuid4()}"), data_dir=tmp_path)
    env = {"DOCKER_HOST": docker_engine, "PATH": os.environ["PATH"]}
    engine = DockerEngine(options, env=env, placement=placement)
    assert (await engine.probe()).available
    node = Node(engine, tmp_path, docker_engine, options, placement)
    yield node
    await engine.close()
    for container in node.containers():
        api.remove_container(container["Id"], force=True, v=True)
    for volume in node.volumes():
        api.remove_volume(volume)


def derived_image(api: Any, base: str, name: str, changes: list[str]) -> str:
    """Import the files of ``base`` as an image without registry digest and with the given defaults only."""
    container = api.create_container(base, ["true"])["Id"]
    try:
        archive = b"".join(api.export(container))
    finally:
        api.remove_container(container)
    params = [("fromSrc", "-"), ("repo", name), ("tag", "1")]
    params += [("changes", change) for change in ("ENV PATH=/bin:/usr/bin", *changes)]
    url = f"{api.base_url}/v{api.api_version}/images/create"
    api.post(url, params=params, data=archive, headers={"Content-Type": "application/tar"}).raise_for_status()
    return f"{name}:1"


def load_image(api: Any, name: str, architecture: str) -> str:
    """Load an image of one empty file for an architecture that need not be this machine's."""
    layer, archive = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("empty"))
    config = {
        "architecture": architecture,
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer.getvalue()).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [f"{name}:1"], "Layers": ["layer.tar"]}]
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for file, data in (
            ("config.json", json.dumps(config).encode()),
            ("layer.tar", layer.getvalue()),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            member = tarfile.TarInfo(file)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    for event in api.load_image(archive.getvalue()):
        assert "error" not in event, event
    return f"{name}:1"
