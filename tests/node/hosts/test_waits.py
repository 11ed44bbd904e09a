"""What a job says of itself while something takes long: the image is looked up, its host is away or was restarted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bacalhau_jupyter.client.connection.api import AsyncAPI
from bacalhau_jupyter.client.jobs.build import docker
from bacalhau_jupyter.models.records.history import StreamEvent
from bacalhau_jupyter.node.node import Node
from bacalhau_jupyter.notebook.live.phases import phase_of
from tests.node.hosts.conftest import MakeConfig, order
from tests.services.far_host import FarHost
from tests.services.node import running_node

WAIT_S = 90.0


@pytest.fixture
async def node(
    node_config: MakeConfig, docker_engine: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Node]:
    """A node with an engine of its own, too."""
    monkeypatch.setenv("DOCKER_HOST", docker_engine)
    async with running_node(node_config(Engines__Disabled=["process"], WebUI__Enabled=False)) as it:
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
        told = asyncio.create_task(says(api, "looking up the image"))
        where = {"host": host} if host else {"constraints": "!host"}
        job = docker(f"{registry}/slow:1", ["true"], cpu="0.1", memory="50Mb", **where)
        submitted = await api.submit(job)
        event = await told
        assert event.job == submitted.job_id
        assert phase_of(event) == f"looking up the image at {registry}"
        assert event.node.endswith("-gpu1") == bool(host)
        await api.stop(submitted.job_id)
