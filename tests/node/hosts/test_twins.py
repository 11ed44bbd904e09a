"""Two ways to one engine: only one of them takes jobs, however the other one came into the file."""

from __future__ import annotations

from pathlib import Path

from bacalhau_jupyter.client.connection.api import AsyncAPI
from bacalhau_jupyter.client.jobs.build import docker
from bacalhau_jupyter.models.errors import Conflict
from bacalhau_jupyter.models.jobs.job import JobStateType
from bacalhau_jupyter.models.records.host_orders import AddHost, RemoveHost
from bacalhau_jupyter.models.records.hosts import HostState
from bacalhau_jupyter.node.node import Node
from tests.node.hosts.conftest import MakeConfig, client_of, order
from tests.node.hosts.test_hosts import ended, in_state, submit
from tests.node.hosts.test_ways import tls_files
from tests.services.far_host import FarHost
from tests.services.node import running_node
from tests.services.waiting import until


async def test_the_engine_of_this_machine_is_no_host(docker_engine: str, node_config: MakeConfig) -> None:
    config = node_config(WebUI__Enabled=False, Engines__Disabled=[])
    async with running_node(config) as node, client_of(node) as api:

        async def is_refused() -> bool:
            # Not before the node has found its own engine.
            try:
                await api.hosts.add(AddHost(name="here", url=docker_engine))
            except Conflict as error:
                assert str(error).startswith(f"{docker_engine} is the Docker Engine of this machine")
                assert error.hint == "jobs run there without --host"
                return True
            await api.hosts.remove("here", RemoveHost())
            return False

        await until(is_refused, timeout_s=60)
        assert (await api.hosts.list()).items == []
        await api.hosts.add(AddHost(name="here", url=docker_engine, anyway=True))
        refused = await in_state(api, "here", HostState.REFUSED)
        assert "is the Docker Engine of this machine" in refused.problem
        state = (await api.node(refused.node_id)).node
        assert state.info.compute_node_info.available_capacity.cpu == 0


async def test_without_an_engine_of_its_own_the_machine_s_is_a_host(
    docker_engine: str, busybox_image: str, api: AsyncAPI
) -> None:
    added = await api.hosts.add(AddHost(name="here", url=docker_engine))
    assert added.state is HostState.READY
    answer = await api.submit(docker(busybox_image, "true", host="here"))
    assert await ended(api, answer.job_id) is JobStateType.COMPLETED


async def test_the_first_in_the_file_takes_the_jobs_until_it_goes(
    far_host: FarHost, node: Node, api: AsyncAPI, tmp_path: Path
) -> None:
    await api.hosts.add(order(far_host))
    files = far_host.certificates(tmp_path)
    names = ", ".join(f"{name}: {files / f'{name}.pem'}" for name in ("ca", "cert", "key"))
    file = node.repo.path / "hosts.yaml"
    file.write_text(f"{file.read_text()}  gpu2: {{url: '{far_host.tls_url}', tls: {{{names}}}}}\n")

    async def is_there() -> bool:
        return any(each.name == "gpu2" for each in (await api.hosts.list()).items)

    await until(is_there)
    refused = await in_state(api, "gpu2", HostState.REFUSED)
    assert refused.problem == f"{far_host.tls_url} is the same Docker Engine as host gpu1"
    assert refused.hint == "it can be used as --host gpu1"
    job = docker(far_host.busybox_image(), "true", host="gpu2")
    waiting = (await api.submit(job)).job_id

    async def is_told() -> bool:
        return any("is the same Docker Engine" in each.reason for each in (await api.explain(waiting)).nodes)

    await until(is_told, timeout_s=60)
    assert await ended(api, await submit(api, far_host, "true")) is JobStateType.COMPLETED
    await api.hosts.remove("gpu1", RemoveHost())
    assert await ended(api, waiting) is JobStateType.COMPLETED


async def test_a_host_that_was_away_when_it_was_added_is_compared_on_its_return(
    far_host: FarHost, api: AsyncAPI, tmp_path: Path
) -> None:
    far_host.cut()
    await api.hosts.add(order(far_host, trust="", anyway=True))
    tls = tls_files(far_host.certificates(tmp_path))
    await api.hosts.add(AddHost(name="gpu2", url=far_host.tls_url, tls=tls, anyway=True))
    await in_state(api, "gpu2", HostState.UNREACHABLE)
    far_host.heal()
    # The way over ssh is refused for ever: the key of the machine is not known.
    await api.hosts.retry("gpu2")
    await in_state(api, "gpu1", HostState.REFUSED)
    await in_state(api, "gpu2", HostState.READY)
    await api.hosts.add(AddHost(name="gpu3", url=far_host.tls_url, tls=tls, anyway=True))
    refused = await in_state(api, "gpu3", HostState.REFUSED)
    assert refused.problem.endswith("is the same Docker Engine as host gpu2")
