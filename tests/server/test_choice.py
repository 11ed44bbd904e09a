"""A switch that a kernel or a terminal makes takes the panel and new terminals along, without a restart."""

from __future__ import annotations

import asyncio
import os

import aiohttp

from bacalhau_jupyter.config.profiles import Profile, ProfileStore
from bacalhau_jupyter.config.repo import Repo
from tests.server.conftest import Starter, nodes_of
from tests.services.node_fixtures import NodeFactory
from tests.services.waiting import until


async def test_a_profile_selected_elsewhere_takes_streams_requests_and_new_terminals_along(
    start_jupyter: Starter, own_node: Repo, node_factory: NodeFactory
) -> None:
    other = await asyncio.to_thread(node_factory)
    jupyter = await start_jupyter(BacalhauApp={"node_options": ["--api-port=0"]})
    await until(lambda: nodes_of(own_node))

    async def cluster() -> str:
        async with jupyter.request("GET", "/status") as answer:
            return str((await answer.json())["cluster"]["url"])

    own = await cluster()
    assert os.environ["BACALHAU_API_PORT"] == own.rpartition(":")[2]
    store = ProfileStore(own_node.profiles_dir)
    store.save("other", Profile(endpoint=other.url, token=other.key))
    async with jupyter.ws("/api/v1/orchestrator/events") as events:
        # As `connect` does in a kernel or a shell.
        store.select("other")
        async with asyncio.timeout(30):
            assert (await events.receive()).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
        assert events.close_code == 1001
    assert await cluster() == other.url
    # A terminal that opens now finds the profile: official programs prefer these variables to it.
    await until(lambda: "BACALHAU_API_HOST" not in os.environ and "BACALHAU_API_KEY" not in os.environ)
    store.deselect()
    await until(lambda: os.environ.get("BACALHAU_API_PORT") is not None)
    assert await cluster() != other.url
