"""A node on the test's own loop, and what leads to the second machine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from bacalhau_jupyter.client.connection.api import AsyncAPI
from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.config.endpoint import Endpoint
from bacalhau_jupyter.models.records.host_orders import AddHost, SshSettings
from bacalhau_jupyter.node.node import Node
from tests.services.far_host import FarHost
from tests.services.node import running_node

MakeConfig = Callable[..., Config]


def order(
    far_host: FarHost, user: str = "alice", name: str = "gpu1", port: int = 22, **more: object
) -> AddHost:
    """Return what a person orders: nothing is known of the machine but its address and a key."""
    options = {
        "IdentityFile": str(far_host.users.key),
        "IdentitiesOnly": "yes",
        "Port": str(port),
    }
    members: dict[str, object] = {
        "name": name,
        "url": f"ssh://{user}@{far_host.address}",
        "ssh": SshSettings(options=options),
        "trust": far_host.users.fingerprint,
    }
    return AddHost(**(members | more))  # type: ignore[arg-type]


@asynccontextmanager
async def client_of(node: Node) -> AsyncIterator[AsyncAPI]:
    """Give a client of a node."""
    it = AsyncAPI(Endpoint(url=node.url, token=node.key))
    try:
        yield it
    finally:
        await it.close()


@pytest.fixture
async def node(node_config: MakeConfig) -> AsyncIterator[Node]:
    async with running_node(node_config(WebUI__Enabled=False)) as it:
        yield it


@pytest.fixture
async def api(node: Node) -> AsyncIterator[AsyncAPI]:
    async with client_of(node) as it:
        yield it
