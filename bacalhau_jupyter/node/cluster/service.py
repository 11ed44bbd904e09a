"""The link as the API shows and changes it (``api.services.cluster.ClusterService``)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

from bacalhau_jupyter.models.errors import BadRequest, ConfigurationError
from bacalhau_jupyter.models.records.cluster import ClusterState, OpenCluster
from bacalhau_jupyter.models.records.node import NodeConnection, NodeState
from bacalhau_jupyter.node.cluster.link import Link


class Clustering:
    """Tells of the link, and changes it for the node's owner.

    Parameters
    ----------
    link
        The link.
    nodes
        The nodes that the orchestrator knows.
    has_near
        Whether a node ID belongs to this process.
    far_url
        Where nodes of other processes reach the API; empty where they don't.
    cut_off
        Tells the orchestrator, with the reason, that nodes of other processes can't be heard any more.
    """

    def __init__(
        self,
        link: Link,
        nodes: Callable[[], Awaitable[Collection[NodeState]]],
        has_near: Callable[[str], bool],
        far_url: Callable[[], str],
        cut_off: Callable[[str], Awaitable[None]],
    ) -> None:
        self._link = link
        self._nodes = nodes
        self._has_near = has_near
        self._far_url = far_url
        self._cut_off = cut_off

    async def state(self) -> ClusterState:
        """Return how the link is."""
        plan, opened = self._link.plan, self._link.opened
        if plan is None:
            return ClusterState(link=self._link.status())
        ca_file = None if opened is None else opened.ca_file
        return ClusterState(
            is_open=True,
            opened_by=self._link.reason,
            address=self._link.address,
            is_public=plan.is_public,
            is_encrypted=plan.is_encrypted,
            needs_token=bool(plan.token),
            token_file=str(self._link.token_file or ""),
            ca_file=str(ca_file or ""),
            api_address=self._far_url(),
            link=self._link.status(),
            nodes=await self._count(),
        )

    async def open(self, order: OpenCluster) -> ClusterState:
        """Let nodes of other processes join, until `close`."""
        try:
            await self._link.open(order)
        except ConfigurationError as error:
            # What a caller asked for is no fault of the node.
            raise BadRequest(error.message, hint=error.hint, component=error.component) from error
        return await self.state()

    async def close(self) -> ClusterState:
        """Let none join any more."""
        await self._link.close()
        await self._cut_off("the cluster was closed")
        return await self.state()

    async def _count(self) -> int:
        return sum(
            state.connection is NodeConnection.CONNECTED and not self._has_near(state.info.node_id)
            for state in await self._nodes()
        )
