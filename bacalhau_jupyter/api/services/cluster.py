"""The links between this node and others."""

from __future__ import annotations

from typing import Protocol

from bacalhau_jupyter.models.records.cluster import ClusterState, JoinedCluster, OpenCluster
from bacalhau_jupyter.models.records.joining import JoinCluster, JoinedClusters


class ClusterService(Protocol):
    """The link between this node and others."""

    async def state(self) -> ClusterState:
        """Return how the link is."""
        ...

    async def open(self, order: OpenCluster) -> ClusterState:
        """Let nodes of other processes join, until `close`.

        Raises
        ------
        BacalhauError
            The link can't be opened like that; it is as it was.
        """
        ...

    async def close(self) -> ClusterState:
        """Let none join any more; those that joined are away then.

        Raises
        ------
        Conflict
            The configuration opens the link.
        """
        ...


class JoiningService(Protocol):
    """Further clusters to which this machine is offered."""

    def states(self) -> JoinedClusters:
        """Return how the way to each is."""
        ...

    async def join(self, order: JoinCluster) -> JoinedCluster:
        """Offer this machine to a cluster; raises BacalhauError where that can't be, and then nothing has changed."""
        ...

    async def leave(self, url: str) -> JoinedCluster:
        """Take it back; raises NotFound where it is not offered."""
        ...
