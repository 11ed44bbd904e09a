from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from bacalhau_jupyter.api.app import build_runner
from bacalhau_jupyter.api.base import ApiServices
from bacalhau_jupyter.auth.access import Access
from bacalhau_jupyter.auth.challenge import ChallengeMethod
from bacalhau_jupyter.auth.credentials import Bearer, Credential
from bacalhau_jupyter.auth.node_key import NodeKey
from bacalhau_jupyter.auth.principals import Principal
from bacalhau_jupyter.auth.sockets import TrustedSockets
from tests.api.recorder import Agent, Links, Recorder

KEY = "k" * 40
READ_KEY = "r" * 40
"""The key of somebody who may only look at jobs."""


class Reader:
    """Knows the key that is worth less than the owner's."""

    async def authenticate(self, credential: Credential) -> Principal | None:
        reader = Principal("key:reader", frozenset({"read:job"}), "reader")
        return reader if credential == Bearer(READ_KEY) else None


@dataclass
class Api:
    """A running API, what stands behind it, and a client with the key."""

    url: str
    orchestrator: Recorder
    agent: Agent
    results: Path
    client: aiohttp.ClientSession

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    """An API that knows no trusted sockets, so that every test says who calls."""
    orchestrator, agent = Recorder(), Agent()
    sockets = TrustedSockets(enabled=False)
    services = ApiServices(
        agent=agent,
        access=Access([NodeKey(KEY), Reader()], sockets),
        challenge=ChallengeMethod("n-test"),
        orchestrator=orchestrator.service,
        results=Links(tmp_path),
    )
    runner = build_runner(services)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, listener).start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with aiohttp.ClientSession(url, headers={"Authorization": f"Bearer {KEY}"}) as client:
        yield Api(url, orchestrator, agent, tmp_path, client)
    await runner.cleanup()
    sockets.close()
