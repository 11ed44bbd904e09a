"""What a job says of itself while something takes long: the image is looked up, its host is away or was restarted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bacalhau_jupyter.client.connection.api import AsyncAPI
from bacalhau_jupyter.client.jobs.build import docker
from bacalhau_jupyter.models.jobs.job import JobStateType
from bacalhau_jupyter.models.records.history import StreamEvent
from bacalhau_jupyter.node.node import Node
from bacalhau_jupyter.notebook.live.phases import phase_of
from tests.node.hosts.conftest import MakeConfig, client_of, order
from tests.node.hosts.test_hosts import ended, job_state, submit
from tests.services.far_host import FarHost
from tests.services.node import running_node
from tests.services.waiting import until

WAIT_S = 90.0


@pytest.fixture
async def node(
    node_config: MakeConfig, docker_engine: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Node]:
    """A node with an engine of its own, too."""
    monkeypatch.setenv("DOCKER_HOST", docker_engine)
    async with running_node(node_config(Engines__Disabled=["process"], WebUI__Enabled=False)) as it:
        async with client_of(it) as api:

            async def offers_docker() -> bool:
                compute = (await api.node(it.node_id)).node.info.compute_node_info
                return "docker" in (compute.execution_engines or ())

            # It refuses jobs that come before its own engine has answered, and does not wait long for that.
            await until(offers_docker, timeout_s=60)
        yield it


@asynccontextmanager
async def silent_registry(address: str) -> AsyncIterator[str]:
    """A registry that takes connections and never answers."""
    held: list[asyncio.StreamWriter] = []

    async def hold(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)

    server = await asyncio.start_server(hold, address, 0)
    try:
        yield f"{address}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in held:
            writer.close()


async def says(api: AsyncAPI, words: str, job: str = "") -> StreamEvent:
    """Wait until the line of a job says something."""
    async with asyncio.timeout(WAIT_S):
        async for event in api.events():
            if words in phase_of(event) and job in ("", event.job):
                return event
    raise AssertionError(f"the stream has ended, and nothing said {words!r}")


@pytest.mark.parametrize("host", ["", "gpu1"])
async def test_a_job_says_that_its_image_is_being_looked_up(
    host: str, far_host: FarHost, api: AsyncAPI
) -> None:
    if host:
        await api.hosts.add(order(far_host))
    async with silent_registry(far_host.near_address) as registry:
        saying = asyncio.create_task(says(api, "looking up the image"))
        elsewhere = "" if host else "!host"
        job = docker(f"{registry}/slow:1", ["true"], cpu="0.1", host=host, constraints=elsewhere)
        submitted = await api.submit(job)
        event = await saying
        assert event.job == submitted.job_id
        assert phase_of(event) == f"looking up the image at {registry}"
        assert event.node.endswith("-gpu1") == bool(host)
        await api.stop(submitted.job_id)


async def messages(api: AsyncAPI, job: str) -> list[str]:
    """Return what the history of a job says, oldest first."""
    return [row.event.message for row in await api.full_history(job)]


async def test_the_history_says_at_once_that_a_host_is_away_and_that_it_is_back(
    far_host: FarHost, api: AsyncAPI
) -> None:
    await api.hosts.add(order(far_host))
    command = "echo up; while [ ! -e /tmp/go ]; do sleep 0.2; done"
    job = await submit(api, far_host, command, cpu="0.1")
    await until(lambda: bool(far_host.shell("docker ps -q")), timeout_s=WAIT_S)
    far_host.cut()
    away = "; the task goes on there"
    await until(lambda: has(api, job, away), timeout_s=WAIT_S)
    far_host.heal()
    back = "its host answers again, after "
    await until(lambda: has(api, job, back), timeout_s=WAIT_S)
    assert await job_state(api, job) is JobStateType.RUNNING
    far_host.shell("docker exec $(docker ps -q) touch /tmp/go")
    assert await ended(api, job) is JobStateType.COMPLETED
    # The last report tells it again, and it is known.
    texts = await messages(api, job)
    assert [sum(words in text for text in texts) for words in (away, back)] == [1, 1]


async def test_of_an_engine_that_is_stopped_nobody_says_that_the_task_goes_on(
    far_host: FarHost, api: AsyncAPI
) -> None:
    await api.hosts.add(order(far_host))
    # It is dead at once: that it has ended is heard of after the engine is back only.
    job = await submit(api, far_host, "sleep 600", cpu="0.1")
    await until(lambda: bool(far_host.shell("docker ps -q")), timeout_s=WAIT_S)
    far_host.shell("kill -KILL $(cat /run/docker.pid); rm -f /run/docker.pid /run/docker.sock")
    await until(lambda: has(api, job, "; the task may have ended with it"), timeout_s=WAIT_S)
    assert not await has(api, job, "goes on there")
    far_host.start_docker()
    await api.stop(job)


async def has(api: AsyncAPI, job: str, words: str) -> bool:
    return any(words in text for text in await messages(api, job))


async def test_the_history_says_that_a_job_began_again_because_its_host_was_restarted(
    far_host: FarHost, api: AsyncAPI
) -> None:
    await api.hosts.add(order(far_host))
    job = await submit(api, far_host, "sleep 600", cpu="0.1")
    await until(lambda: bool(far_host.shell("docker ps -q")), timeout_s=WAIT_S)
    await asyncio.to_thread(far_host.reboot)
    await until(lambda: bool(far_host.shell("docker ps -q")), timeout_s=WAIT_S)
    reason = "host gpu1 was restarted while the task ran"
    words = f"Requested execution on gpu1, where the task begins again: {reason}"
    await until(lambda: has(api, job, words), timeout_s=WAIT_S)
    async for event in api.events(since=0, job=job):
        if event.message == words:
            assert phase_of(event) == f"asking for bids, to begin again: {reason}"
            break
    await api.stop(job)
