"""Calls about Docker hosts elsewhere that run jobs of a node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import quote

from bacalhau_jupyter.client.connection.connection import Connection
from bacalhau_jupyter.models.codec import decode
from bacalhau_jupyter.models.records.host_orders import (
    AddHost,
    CleanHost,
    HostCleaning,
    HostProgress,
    HostTest,
    PushImage,
    RemoveHost,
)
from bacalhau_jupyter.models.records.hosts import PATH, HostRecord, Hosts
from bacalhau_jupyter.models.records.progress import Progress, Reading, no_progress


class HostCalls:
    """The routes below ``/hosts``. Each raises BacalhauError.

    What takes as long as a machine elsewhere does is ended only by silence of the network.
    """

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
        return await self._connection.send_order("POST", PATH, HostRecord, order)

    async def try_out(self, order: AddHost) -> HostTest:
        """Try the way to a host that is not added yet."""
        return await self._connection.send_order("POST", f"{PATH}/test", HostTest, order)

    async def test(self, name: str) -> HostTest:
        """Try the way to a host step by step."""
        return await self._connection.send_order("POST", f"{_one(name)}/test", HostTest, {})

    async def pause(self, name: str) -> HostRecord:
        """Let a host take no new jobs."""
        return await self._connection.request("POST", f"{_one(name)}/pause", HostRecord, body={})

    async def resume(self, name: str) -> HostRecord:
        """Let a host take jobs again."""
        return await self._connection.request("POST", f"{_one(name)}/resume", HostRecord, body={})

    async def retry(self, name: str) -> HostRecord:
        """Connect now to a host whose next attempt is due later."""
        return await self._connection.request("POST", f"{_one(name)}/retry", HostRecord, body={})

    async def remove(self, name: str, order: RemoveHost) -> HostRecord:
        """Let a host run no more jobs."""
        return await self._connection.send_order("POST", f"{_one(name)}/remove", HostRecord, order)

    async def push(self, name: str, order: PushImage, progress: Progress = no_progress) -> HostRecord:
        """Copy an image of the node's machine to a host, however long that takes.

        It goes on where this call is given up; see `stop_push`.
        """
        watching = asyncio.create_task(self._watch(name, progress), name="watching a copy")
        try:
            return await self._connection.send_order("POST", f"{_one(name)}/push", HostRecord, order)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def stop_push(self, name: str) -> HostRecord:
        """Stop the copying of an image to a host; nothing of it is left there."""
        return await self._connection.request("POST", f"{_one(name)}/push/stop", HostRecord, body={})

    async def progress(self, name: str) -> AsyncIterator[HostProgress]:
        """Yield how far the copying to a host is, now and at each change, without end."""
        async for text in self._connection.websocket(f"{_one(name)}/progress", []):
            yield decode(text, HostProgress, "progress")

    async def _watch(self, name: str, progress: Progress) -> None:
        async for each in self.progress(name):
            if each.image:
                progress(
                    Reading(f"copying image {each.image}", each.done, each.total or None, note=each.note)
                )

    async def clean(self, name: str, order: CleanHost) -> HostCleaning:
        """Return what nodes have on a host, and remove what some left there."""
        return await self._connection.send_order("POST", f"{_one(name)}/clean", HostCleaning, order)


def _one(name: str) -> str:
    return f"{PATH}/{quote(name, safe='')}"
