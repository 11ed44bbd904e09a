"""NATS servers of ours, and clients of them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client

from bacalhau_jupyter.transport.server.door.identities import MemoryIdentities
from bacalhau_jupyter.transport.server.nats_server import NatsServer
from bacalhau_jupyter.transport.server.settings import NatsServerSettings

TOKEN = "a token of this cluster, and long enough"


class Servers:
    """Makes servers, and clients of any server; ends them all."""

    def __init__(self, directory: Path, program: Path, stack: contextlib.AsyncExitStack) -> None:
        self.settings = NatsServerSettings(directory / "link", "n-orchestrator", token=TOKEN)
        self.identities = MemoryIdentities()
        self._program = program
        self._stack = stack

    def make(self, is_reserved: Callable[[str], bool] = lambda node_id: False, **changes: Any) -> NatsServer:
        """Return a server that is not started yet; `changes` are settings, or arguments of `NatsServer`."""
        arguments = {name: changes.pop(name) for name in ("clock", "check_certificates_s") if name in changes}
        server = NatsServer(
            replace(self.settings, **changes),
            self.identities,
            is_reserved=is_reserved,
            program=self._program,
            **arguments,
        )
        self._stack.push_async_callback(server.stop)
        return server

    async def started(self, **changes: Any) -> NatsServer:
        server = self.make(**changes)
        await server.start()
        return server

    async def client(self, url: str, errors: list[str] | None = None, **options: Any) -> Client:
        """Connect; what the server objects to later goes to `errors`."""
        client = Client()

        async def note(error: Exception) -> None:
            if errors is not None:
                errors.append(str(error))

        settings: dict[str, Any] = {"connect_timeout": 30, "allow_reconnect": False, "error_cb": note}
        try:
            await client.connect(url, **(settings | options))
        except BaseException:
            await client.close()
            raise
        self._stack.push_async_callback(client.close)
        return client


@pytest.fixture
async def servers(no_leaks: None, tmp_path: Path, nats_server_program: Path) -> AsyncIterator[Servers]:
    async with contextlib.AsyncExitStack() as stack:
        yield Servers(tmp_path, nats_server_program, stack)
