"""Two nodes, each with an orchestrator of its own, and one GPU: it is never given to two jobs at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from bacalhau_jupyter.client.connection.api import AsyncAPI
from bacalhau_jupyter.client.jobs.build import docker
from bacalhau_jupyter.models.jobs.job import JobStateType
from bacalhau_jupyter.models.jobs.resources import GPU
from tests.node.hosts.conftest import MakeConfig, client_of, order
from tests.node.hosts.test_hosts import ended
from tests.node.hosts.test_waits import messages
from tests.services.far_host import FarHost
from tests.services.node import running_node

ADDRESS = "0000:29:00.0"
ONE = GPU(index=0, name="Flex 170", vendor="Intel", memory=5068, pci_address=ADDRESS)
ROUNDS = 3


@pytest.fixture
def gpu_host(far_host: FarHost) -> Iterator[FarHost]:
    """The second machine, with the device files of one GPU."""
    files = Path("/dev/dri")
    was_here = files.exists()
    # The directory is shared with this machine, its content is not.
    files.mkdir(exist_ok=True)
    far_host.shell(
        "mount -t tmpfs none /dev/dri && mkdir /dev/dri/by-path"
        " && mknod /dev/dri/card0 c 1 3 && mknod /dev/dri/renderD128 c 1 3"
        f" && ln -s ../card0 /dev/dri/by-path/pci-{ADDRESS}-card"
        f" && ln -s ../renderD128 /dev/dri/by-path/pci-{ADDRESS}-render"
    )
    yield far_host
    far_host.shell("umount /dev/dri")
    if not was_here:
        files.rmdir()


@pytest.fixture
async def apis(node_config: MakeConfig, tmp_path: Path) -> AsyncIterator[list[AsyncAPI]]:
    async with AsyncExitStack() as stack:
        clients = []
        for name in ("ann", "bob"):
            config = node_config(DataDir=str(tmp_path / name), WebUI__Enabled=False)
            node = await stack.enter_async_context(running_node(config))
            clients.append(await stack.enter_async_context(client_of(node)))
        yield clients


@pytest.mark.timeout(600)
async def test_one_gpu_is_never_given_to_jobs_of_two_nodes_at_a_time(
    gpu_host: FarHost, apis: list[AsyncAPI]
) -> None:
    image = gpu_host.busybox_image()
    since = gpu_host.shell("date +%s").strip()
    for api in apis:
        added = await api.hosts.add(order(gpu_host, gpus=[ONE]))
        assert added.capacity.gpus == [ONE]
    for _ in range(ROUNDS):
        command = ["sh", "-c", "ls /dev/dri; sleep 2"]
        job = docker(image, command, host="gpu1", gpu=1, cpu="0.1", memory="50Mb", queue_timeout=600)
        answers = await asyncio.gather(*(api.submit(job) for api in apis))
        for api, answer in zip(apis, answers, strict=True):
            state = await ended(api, answer.job_id)
            assert state is JobStateType.COMPLETED, (await messages(api, answer.job_id))[-1]
            output = (await api.executions(answer.job_id)).items[-1].run_output
            assert output is not None
            assert output.stdout == "card0\nrenderD128\n"
    running = most = begun = 0
    lines = gpu_host.shell(
        f"docker events --since {since} --until $(date +%s) --filter event=start --filter event=die"
        " --format '{{.Action}} {{.Actor.Attributes.name}}'"
    )
    for line in lines.splitlines():
        action, name = line.split()
        if name.endswith("-executor"):
            running += 1 if action == "start" else -1
            begun += action == "start"
            most = max(most, running)
    assert (most, begun) == (1, 2 * ROUNDS)
