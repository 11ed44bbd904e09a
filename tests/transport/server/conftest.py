"""NATS servers of ours, and clients of them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client

from bacalhau_jupyter.transport.nats.subjects import node_inbox
from bacalhau_jupyter.transport.server.door.identities import MemoryIdentities
from bacalhau_jupyter.transport.server.nats_server import NatsServer
from bacalhau_jupyter.transport.server.settings import NatsServerSettings

PATIENCE_S = 60
TOKEN = "a token of this cluster, and long enough"


class Servers:
    """Makes servers, and clients of any server; ends them all."""

    def __init__(self, directory: Path, program: Path, stack: contextlib.AsyncExitStack) -> None:
        self.settings = NatsServerSettings(
            directory / "link", "n-orchestrator", token=TOKEN, tls_timeout_s=PATIENCE_S
        )
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

    async def client(self, url: str, errors: list[str] | None = None, **options: Any) -> NodeClient:
        """Connect; what the server objects to later goes to `errors`."""
        client = NodeClient()

        async def note(error: Exception) -> None:
            if errors is not None:
                errors.append(str(error))

        settings: dict[str, Any] = {"connect_timeout": PATIENCE_S, "allow_reconnect": False, "error_cb": note}
        try:
            await client.connect(url, **(settings | options))
        except BaseException:
            await client.close()
            raise
        self._stack.push_async_callback(client.close)
        return client

    async def node(
        self,
        server: NatsServer,
        options: dict[str, Any],
        errors: list[str] | None = None,
        token: str = TOKEN,
    ) -> NodeClient:
        """Connect as a node: the token beside user and password where there are any."""
        if "user" not in options:
            return await self.client(server.url, errors, token=token or None, **options)
        inbox_prefix = node_inbox(options["user"])
        return await self.client(
            server.url, errors, token=token or None, inbox_prefix=inbox_prefix, **options
        )


class NodeClient(Client):
    """A client that sends the token beside user and password; nats-py sends one of the two."""

    async def settle(self) -> None:
        """Wait until the server has done all that it was asked so far."""
        # The library's question overtakes what it has queued; the second one comes after that.
        await self.flush(PATIENCE_S)
        await self.flush(PATIENCE_S)

    def _connect_command(self) -> bytes:
        command = super()._connect_command()
        options = json.loads(command.removeprefix(b"CONNECT "))
        token = self.options["token"]
        return (
            b"CONNECT " + json.dumps(options | {"auth_token": token} if token else options).encode() + b"\r\n"
        )


@pytest.fixture
async def servers(no_leaks: None, tmp_path: Path, nats_server_program: Path) -> AsyncIterator[Servers]:
    async with contextlib.AsyncExitStack() as stack:
        yield Servers(tmp_path, nats_server_program, stack)
