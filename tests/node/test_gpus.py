"""A node on a host with GPUs, by stand-ins for the vendors' tools: what it says, and who gets which."""

from __future__ import annotations

import os
from pathlib import Path

from bacalhau_jupyter import Client
from bacalhau_jupyter.client.jobs.job import Job
from bacalhau_jupyter.models.jobs.job import Job as JobModel
from bacalhau_jupyter.models.jobs.spec import ResourcesConfig, SpecConfig, Task, Timeouts
from bacalhau_jupyter.models.records.node import ComputeNodeInfo
from tests.compute.test_gpus import OFFICIAL_LABELS
from tests.services import gpu_tools
from tests.services.common import wait_until
from tests.services.node_fixtures import NodeFactory

SOON_S = 60.0


def job_of(gpus: int, engine: SpecConfig | None = None, name: str = "") -> JobModel:
    task = Task(
        name="main",
        engine=engine or SpecConfig(type="noop", params={"Sleep": 600.0}),
        resources=ResourcesConfig(cpu="10m", memory="1mb", gpu=str(gpus)),
        timeouts=Timeouts(queue_timeout=600),
    )
    return JobModel(name=name, type="batch", count=1, tasks=[task])


def with_tools(directory: Path, docker: str = "") -> dict[str, str]:
    directory.mkdir()
    gpu_tools.install(directory)
    return {"PATH": f"{directory}:{os.environ['PATH']}", **({"DOCKER_HOST": docker} if docker else {})}


def compute(client: Client) -> ComputeNodeInfo:
    (node,) = client.nodes()
    return node.info.compute_node_info


def free(client: Client) -> list[tuple[str, int]]:
    return [gpu.key for gpu in compute(client).available_capacity.gpus]


def frees(client: Client, keys: list[tuple[str, int]]) -> bool:
    return wait_until(lambda: bool(client.nodes()) and free(client) == keys, timeout_s=SOON_S)


def runs(job: Job) -> bool:
    return wait_until(lambda: job.state.value == "Running" and bool(job.executions()), timeout_s=SOON_S)


LAST_TWO = [("AMD/ATI", 1), ("Intel", 0)]


def test_a_killed_node_still_knows_whose_its_gpus_are(node_factory: NodeFactory, tmp_path: Path) -> None:
    env = with_tools(tmp_path / "tools")
    first = node_factory(data_dir=tmp_path / "repo", env=env)
    with Client(first.url, api_key=first.key) as client:
        (node,) = client.nodes()
        assert {key: text for key, text in node.info.labels.items() if "GPU" in key} == OFFICIAL_LABELS
        assert compute(client).max_capacity.gpu == 5
        holder = client.submit(job_of(3, name="holder"))
        assert frees(client, LAST_TWO)
    first.kill()
    second = node_factory(data_dir=tmp_path / "repo", env=env)
    with Client(second.url, api_key=second.key) as client:
        assert frees(client, LAST_TWO)
        waiting = client.submit(job_of(3))
        holder = client.job(holder.id)
        words = "waiting for 3 GPU, 2 is free; `holder` holds the rest"
        # It is looked at after its submission was answered.
        queued = client.job(waiting.id)
        assert wait_until(lambda: queued.explain().summary.startswith(words), timeout_s=SOON_S), (
            queued.explain().summary
        )
        fitting = client.submit(job_of(2))
        assert runs(fitting)
        assert frees(client, [])
        holder.stop()
        assert runs(client.job(waiting.id))
        for job in (fitting, client.job(waiting.id)):
            job.stop()


def test_a_node_without_runtime_and_driver_says_so_and_explains_it(
    node_factory: NodeFactory, docker_engine: str, busybox_image: str, tmp_path: Path
) -> None:
    served = node_factory(env=with_tools(tmp_path / "tools", docker_engine))
    with Client(served.url, api_key=served.key) as client:
        assert wait_until(lambda: "docker" in compute(client).gpu_problems, timeout_s=SOON_S)
        problems = compute(client).gpu_problems
        assert "it has no GPU runtime" in problems["docker"]
        assert "process" not in problems or "GPU" in problems["process"] or "/dev/" in problems["process"]
        job = client.submit(job_of(1, SpecConfig(type="docker", params={"Image": busybox_image})))
        assert wait_until(lambda: "GPUs" in client.job(job.id).explain().summary, timeout_s=SOON_S)
        reason = client.job(job.id).explain().nodes[0].reason
        assert "can give docker jobs 0 of its 5 GPUs" in reason
        assert "it has no GPU runtime (install the NVIDIA Container Toolkit)" in reason
        job.stop()
