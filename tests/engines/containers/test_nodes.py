"""``docker`` jobs of node processes without a Docker Engine, of root and of an ordinary user."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from bacalhau_jupyter import Client
from bacalhau_jupyter.models.jobs.spec import (
    InputSource,
    NetworkConfig,
    NetworkType,
    ResourcesConfig,
    SpecConfig,
)
from tests.engines.daemonless.devices.specification import Fake
from tests.node.test_left_behind import UID, submit
from tests.services import gpu_tools
from tests.services.node import ServedNode
from tests.services.node_fixtures import NodeFactory, node_factory
from tests.services.registry import Registry
from tests.services.waiting import until

__all__ = ["node_factory"]

WITHOUT = "without Docker Engine"


@pytest.fixture(params=["root", "user"])
def served(request: pytest.FixtureRequest, node_factory: NodeFactory) -> ServedNode:
    """A node that finds no Docker Engine."""
    if request.param == "user" and os.geteuid() != 0:
        pytest.skip("only root can start a node of another user")
    return node_factory(
        "-c",
        "Compute.AllowListedAddresses=127.0.0.1",
        uid=UID if request.param == "user" else None,
        env={"DOCKER_HOST": "unix:///nonexistent/docker.sock"},
    )


def test_a_job_runs_on_an_image_of_a_registry(
    served: ServedNode, registry: Registry, busybox_image: str
) -> None:
    image = registry.push(busybox_image, "containers/busybox:1").tagged
    data = "data:text/plain;base64,aGVsbG8K"
    inputs = [InputSource(source=SpecConfig(type="inline", params={"URL": data}), target="/inputs/in.txt")]
    script = (
        "id -u; cat /inputs/in.txt; touch /etc/new; mkdir -m 700 /outputs/d; echo r > /outputs/d/r;"
        "chmod 0 /outputs/d/r"
    )
    with Client(served.url, api_key=served.key) as client:
        job = submit(client, "docker", image, script, input_sources=inputs)
        result = job.result()
        assert result.stdout == "0\nhello\n", (result.stderr, served.tail())
        assert result.text("outputs/d/r") == "r\n"
        history = " ".join(f"{row.event.message} {row.event.details}" for row in job.history())
        assert WITHOUT in history


async def test_a_job_with_a_network_of_type_http(
    served: ServedNode, registry: Registry, busybox_image: str
) -> None:
    image = registry.push(busybox_image, "containers/busybox:1").tagged
    network = NetworkConfig(type=NetworkType.HTTP, domains=["good.example"])
    with Client(served.url, api_key=served.key) as client:
        job = submit(client, "docker", image, "wget -q -O - http://bad.example/; exit 0", network=network)
        result = job.result()
        assert "bad.example:80: its Network.Domains are good.example" in result.stderr
        assert "403" in result.stdout + result.stderr


async def test_a_job_goes_on_while_its_node_is_started_again(
    node_factory: NodeFactory, registry: Registry, busybox_image: str
) -> None:
    image = registry.push(busybox_image, "containers/busybox:1").tagged
    options = ("-c", "Compute.AllowListedAddresses=127.0.0.1")
    env = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}
    first = node_factory(*options, env=env)
    with Client(first.url, api_key=first.key) as client:
        job = submit(
            client, "docker", image, "i=0; while [ $i -lt 100 ]; do echo $i; i=$((i+1)); sleep 0.1; done"
        )
        await until(lambda: "".join(job.logs()).count("\n") > 3)
    first.kill()
    again = node_factory(*options, data_dir=first.repo.path, env=env)
    with Client(again.url, api_key=again.key) as client:
        same = client.job(job.id)
        assert same.result().stdout == "".join(f"{number}\n" for number in range(100))
        assert len(same.executions()) == 1


@pytest.mark.parametrize("who", ["root", "user"])
async def test_two_jobs_at_once_get_one_gpu_each(
    node_factory: NodeFactory, registry: Registry, busybox_image: str, who: str
) -> None:
    if who == "user" and os.geteuid() != 0:
        pytest.skip("only root can start a node of another user")
    image = registry.push(busybox_image, "containers/busybox:1").tagged
    with tempfile.TemporaryDirectory() as place:
        # Where a node of another user gets to.
        Path(place).chmod(0o755)
        fake = Fake(Path(place) / "machine", real=os.geteuid() == 0)
        gpu_tools.nvidia(Path(place), "T4, 15360", "T4, 15360")
        served = node_factory(
            *("-c", "Compute.AllowListedAddresses=127.0.0.1"),
            *("-c", f"Engines.Docker.CDISpecDirs={fake.machine.specifications[0]}"),
            uid=UID if who == "user" else None,
            env={
                "DOCKER_HOST": "unix:///nonexistent/docker.sock",
                "PATH": f"{place}:{os.environ['PATH']}",
            },
        )
        with Client(served.url, api_key=served.key) as client:
            script = "ls /dev/nvidia[0-9]*; /usr/bin/nvidia-smi -L; sleep 600"
            resources = ResourcesConfig(cpu="10m", memory="1mb", gpu="1")
            jobs = [submit(client, "docker", image, script, resources=resources) for _ in range(2)]
            await until(lambda: all("".join(job.logs()).count("\n") == 2 for job in jobs))
            printed = sorted("".join(job.logs()) for job in jobs)
            assert printed == [f"/dev/nvidia{index}\nsmi of the driver -L\n" for index in range(2)]
            for job in jobs:
                job.stop()
