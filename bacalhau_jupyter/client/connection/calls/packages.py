"""Calls about the sets of Python packages that a node keeps for jobs."""

from __future__ import annotations

from urllib.parse import quote

from bacalhau_jupyter.client.connection.connection import Connection
from bacalhau_jupyter.models.records.node import DiskUsage
from bacalhau_jupyter.models.records.packages import PATH, FindPackages, KeepPackages, PackagesState


class PackageCalls:
    """The routes of ``/agent/packages``, for the node's own user only. Each raises BacalhauError."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def find(self, request: str) -> PackagesState:
        """Find a set, or begin a draft."""
        return await self._connection.request("POST", PATH, PackagesState, body=FindPackages(request=request))

    async def keep(self, draft: str, order: KeepPackages) -> PackagesState:
        """Turn a draft into a set. Takes as long as reading the files takes."""
        return await self._connection.send_order("PUT", _one(draft), PackagesState, order)

    async def drop(self, draft: str) -> None:
        """Give a draft up."""
        await self._connection.request("DELETE", _one(draft), dict)

    async def clear(self) -> DiskUsage:
        """Remove the packages that no job uses (feature ``clean-up``); return what is gone."""
        return await self._connection.request("DELETE", "/api/v1/compute/packages", DiskUsage)


def _one(draft: str) -> str:
    return f"{PATH}/{quote(draft, safe='')}"
