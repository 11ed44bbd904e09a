"""Calls about Docker hosts elsewhere that run jobs of a node."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import quote

from bacalhau_jupyter.client.connection.connection import Connection
from bacalhau_jupyter.models.codec import encode
from bacalhau_jupyter.models.records.hosts import (
    PATH,
    AddHost,
    CleanHost,
    HostCleaning,
    HostRecord,
    Hosts,
    HostTest,
    PushImage,
    RemoveHost,
)


class HostCalls:
    """The routes below ``/hosts``; only nodes that list the feature have them. Each raises BacalhauError."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def list(self) -> Hosts:
        """Return the hosts as they were seen last."""
        return await self._connection.request("GET", PATH, Hosts)

    async def show(self, name: str) -> HostRecord:
        """Return one host."""
        return await self._connection.request("GET", _one(name), HostRecord)

    async def add(self, order: AddHost) -> HostRecord:
        """Let a host run jobs."""
        return await self._connection.request("POST", PATH, HostRecord, body=order)

    async def try_out(self, order: AddHost) -> HostTest:
        """Try the way to a host that is not there yet."""
        return await self._connection.request("POST", f"{PATH}/test", HostTest, body=order)

    async def test(self, name: str) -> HostTest:
        """Try the way to a host step by step."""
        return await self._connection.request("POST", f"{_one(name)}/test", HostTest, body={})

    async def pause(self, name: str) -> HostRecord:
        """Let a host take no new jobs."""
        return await self._connection.request("POST", f"{_one(name)}/pause", HostRecord, body={})

    async def resume(self, name: str) -> HostRecord:
        """Let a host take jobs again."""
        return await self._connection.request("POST", f"{_one(name)}/resume", HostRecord, body={})

    async def retry(self, name: str) -> HostRecord:
        """Try now to connect, where that waits for its turn."""
        return await self._connection.request("POST", f"{_one(name)}/retry", HostRecord, body={})

    async def remove(self, name: str, order: RemoveHost) -> HostRecord:
        """Let a host run no more jobs."""
        return await self._connection.request("POST", f"{_one(name)}/remove", HostRecord, body=order)

    async def push(self, name: str, order: PushImage) -> HostRecord:
        """Copy an image of the node's machine to a host, however long that takes."""

        async def text() -> AsyncIterator[bytes]:
            yield encode(order)

        headers = {"Content-Type": "application/json"}
        return await self._connection.send("POST", f"{_one(name)}/push", HostRecord, text(), headers)

    async def clean(self, name: str, order: CleanHost) -> HostCleaning:
        """Return what nodes have on a host, and remove what some left there."""
        return await self._connection.request("POST", f"{_one(name)}/clean", HostCleaning, body=order)


def _one(name: str) -> str:
    return f"{PATH}/{quote(name, safe='')}"
