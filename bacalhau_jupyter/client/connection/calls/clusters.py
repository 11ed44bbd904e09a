"""Calls about the links between a node and others."""

from __future__ import annotations

from bacalhau_jupyter.client.connection.connection import Connection
from bacalhau_jupyter.models.records.cluster import PATH, ClusterState, JoinedCluster, OpenCluster
from bacalhau_jupyter.models.records.joining import JOINED_PATH, JoinCluster, JoinedClusters, LeaveCluster


class ClusterCalls:
    """The routes below ``/cluster``. Each raises BacalhauError."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def state(self) -> ClusterState:
        """Return how nodes join (feature ``cluster``)."""
        return await self._connection.request("GET", PATH, ClusterState)

    async def open(self, order: OpenCluster) -> ClusterState:
        """Let nodes of other processes join."""
        return await self._connection.request("POST", f"{PATH}/open", ClusterState, body=order)

    async def close(self) -> ClusterState:
        """Let no node of another process join any more."""
        return await self._connection.request("POST", f"{PATH}/close", ClusterState, body={})

    async def joined(self) -> JoinedClusters:
        """Return further clusters to which the node's machine is offered (feature ``join-clusters``)."""
        return await self._connection.request("GET", JOINED_PATH, JoinedClusters)

    async def join(self, order: JoinCluster) -> JoinedCluster:
        """Offer the node's machine to a cluster."""
        return await self._connection.request("POST", f"{PATH}/join", JoinedCluster, body=order)

    async def leave(self, url: str) -> JoinedCluster:
        """Take the node's machine back from a cluster."""
        return await self._connection.request(
            "POST", f"{PATH}/leave", JoinedCluster, body=LeaveCluster(url=url)
        )
