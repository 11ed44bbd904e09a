"""Jobs with a network of type ``HTTP`` on node processes: of root and of an ordinary user, killed and started again."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import docker
import pytest

from bacalhau_jupyter import Client
from bacalhau_jupyter.client.jobs.job import Job, JobFailed
from bacalhau_jupyter.models.jobs.spec import NetworkConfig, NetworkType, ResourcesConfig, Timeouts
from tests.node.test_left_behind import DISABLED, start, submit
from tests.services.node import ServedNode
from tests.services.node_fixtures import NodeFactory
from tests.services.waiting import until

pytestmark = [pytest.mark.process, pytest.mark.docker]

NETWORK = NetworkConfig(type=NetworkType.HTTP, domains=["good.example"])
ASK = {
    "docker": "wget -q -O - http://bad.example/",
    "process": "python3 -c 'import urllib.request as r; r.urlopen(\"http://bad.example/\")' 2>&1 | tail -1",
}
TOLD = "bacalhau: this job may not reach bad.example:80: its Network.Domains are good.example\n"


def job_of(client: Client, engine: str, image: str, script: str) -> Job:
    return submit(client, engine, image, script, network=NETWORK)


@pytest.mark.parametrize("user", [False, True], ids=["root", "user"])
@pytest.mark.parametrize("engine", ["docker", "process"])
def test_a_refused_request_is_told_in_the_log_of_the_job(
    node_factory: NodeFactory, docker_engine: str, busybox_image: str, engine: str, user: bool
) -> None:
    served = start(node_factory, engine, docker_engine, user=user)
    with Client(served.url, api_key=served.key) as client:
        result = job_of(client, engine, busybox_image, f"{ASK[engine]}; exit 0").result()
        assert TOLD in result.stderr
        assert "403" in result.stdout + result.stderr


@pytest.mark.parametrize("engine", ["docker", "process"])
async def test_nothing_is_left_of_a_job_whose_node_was_killed(
    node_factory: NodeFactory, docker_engine: str, busybox_image: str, engine: str
) -> None:
    served = start(node_factory, engine, docker_engine, user=False)
    with Client(served.url, api_key=served.key) as client:
        job = job_of(client, engine, busybox_image, f"while true; do {ASK[engine]}; sleep .2; done")
        await until(lambda: "403" in log_of(job))
    assert remains(docker_engine, served, job.id)
    served.kill()
    disabled = f"Engines.Disabled={DISABLED[engine]}"
    again = node_factory("-c", disabled, data_dir=served.repo.path, env={"DOCKER_HOST": docker_engine})
    with Client(again.url, api_key=again.key) as client:
        same_job = client.job(job.id)
        before = log_of(same_job).count("403")
        await until(lambda: log_of(same_job).count("403") > before + 2)
        assert len(same_job.executions()) == 1
        same_job.stop()
        await until(lambda: not remains(docker_engine, again, job.id))


def log_of(job: Job) -> str:
    return "".join(job.logs())


def is_clean(url: str, served: ServedNode, job_id: str) -> bool:
    return not remains(url, served, job_id)


def remains(url: str, served: ServedNode, job_id: str) -> list[str]:
    """Return the containers and processes that hold networks of a node's jobs."""
    api = docker.APIClient(base_url=url)
    try:
        listed = api.containers(all=True, filters={"name": job_id})
    finally:
        api.close()
    holding = []
    marker = str(served.repo.path)
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cmdline").read_bytes() == b"holder\0":
                holding += [entry.name] if marker in str((entry / "cwd").readlink()) else []
        except OSError:
            continue
    return [*(item["Id"] for item in listed), *holding]


@pytest.mark.parametrize("engine", ["docker", "process"])
async def test_nothing_is_left_of_jobs_that_end_badly(
    node_factory: NodeFactory, docker_engine: str, busybox_image: str, engine: str
) -> None:
    served = start(node_factory, engine, docker_engine, user=False)
    eats = "x=x; while true; do x=$x$x; done" if engine == "docker" else "exit 3"
    small = ResourcesConfig(memory="20mb" if engine == "docker" else "100mb")
    with Client(served.url, api_key=served.key) as client:
        slow = submit(
            client, engine, busybox_image, "sleep 60", network=NETWORK, timeouts=Timeouts(execution_timeout=2)
        )
        hungry = submit(client, engine, busybox_image, eats, network=NETWORK, resources=small)
        expected = "memory limit exceeded" if engine == "docker" else "exit code 3"
        with pytest.raises(JobFailed, match=expected):
            hungry.result()
        with pytest.raises(JobFailed, match="timed out"):
            slow.result()
        for job_id in (slow.id, hungry.id):
            await until(partial(is_clean, docker_engine, served, job_id))
