"""However a container's job ends, nothing of it stays at the engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from bacalhau_jupyter import Client
from bacalhau_jupyter.models.jobs.job import Job as JobModel
from bacalhau_jupyter.models.jobs.job import JobStateType
from bacalhau_jupyter.models.jobs.spec import (
    NetworkConfig,
    NetworkType,
    ResourcesConfig,
    ResultPath,
    SpecConfig,
    Task,
    Timeouts,
)
from tests.services import docker_engine as services
from tests.services.common import wait_until
from tests.services.node import ServedNode
from tests.services.node_fixtures import factory

SOON_S = 60.0


@pytest.fixture(scope="module")
def shared_node(
    tmp_path_factory: pytest.TempPathFactory, docker_engine: str, busybox_image: str
) -> Iterator[ServedNode]:
    with factory(tmp_path_factory.mktemp("left")) as start:
        yield start(env={"DOCKER_HOST": docker_engine})


@pytest.fixture
def client(shared_node: ServedNode) -> Iterator[Client]:
    with Client(shared_node.url, api_key=shared_node.key) as connected:
        yield connected


def left(api: Any, node_id: str) -> list[str]:
    """What the engine has of a node."""
    label = {"label": f"bacalhau-executor={node_id}"}
    containers = [str(item["Names"]) for item in api.containers(all=True, filters=label)]
    volumes = [str(item["Name"]) for item in api.volumes(filters=label)["Volumes"] or ()]
    networks = [str(item["Name"]) for item in api.networks(filters=label)]
    return containers + volumes + networks


def job_of(image: str, script: str, timeout_s: int = 0) -> JobModel:
    task = Task(
        name="main",
        engine=SpecConfig(type="docker", params={"Image": image, "Entrypoint": ["sh", "-c", script]}),
        network=NetworkConfig(type=NetworkType.BRIDGE),
        resources=ResourcesConfig(cpu="100m", memory="16mb"),
        publisher=SpecConfig(type="local"),
        result_paths=[ResultPath(name="outputs", path="/outputs")],
        timeouts=Timeouts(execution_timeout=timeout_s),
    )
    return JobModel(type="batch", count=1, tasks=[task])


ENDS = {
    "out of memory": ("tail /dev/zero", 0, "memory limit exceeded"),
    "out of time": ("trap '' TERM; while :; do sleep 1; done", 2, "timed out after 2s"),
    "stopped": ("trap '' TERM; echo up; while :; do sleep 1; done", 0, ""),
    "done": ("echo done", 0, ""),
}


@pytest.mark.parametrize("way", ENDS)
def test_nothing_stays_at_the_engine_however_a_job_ends(
    way: str, client: Client, shared_node: ServedNode, docker_engine: str, busybox_image: str
) -> None:
    script, timeout_s, words = ENDS[way]
    (node,) = client.nodes()
    engine = services.client(docker_engine)
    try:
        job = client.submit(job_of(busybox_image, script, timeout_s))
        if way == "stopped":
            assert next(iter(job.logs(follow=True))) == "up\n"
            assert left(engine.api, node.info.node_id), "the control: there is something to leave"
            job.stop()
        assert wait_until(lambda: job.describe().is_terminal, timeout_s=60)
        assert wait_until(lambda: left(engine.api, node.info.node_id) == [], timeout_s=SOON_S), left(
            engine.api, node.info.node_id
        )
    finally:
        engine.close()
    states = {"stopped": JobStateType.STOPPED, "done": JobStateType.COMPLETED}
    assert job.state is states.get(way, JobStateType.FAILED)
    messages = [execution.compute_state.message for execution in job.executions()]
    assert any(words in message for message in messages), messages
