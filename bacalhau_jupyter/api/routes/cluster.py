"""``/cluster`` +: whether nodes of other machines may join this node, and the owner's say in it."""

from __future__ import annotations

from aiohttp import web

from bacalhau_jupyter.api.http.answers import answer
from bacalhau_jupyter.api.http.auditing import DEED, Deed
from bacalhau_jupyter.api.http.binding import body
from bacalhau_jupyter.api.services.cluster import ClusterService
from bacalhau_jupyter.models.records.cluster import PATH, OpenCluster


class ClusterRoutes:
    """Show, open and close the link of a cluster."""

    def __init__(self, cluster: ClusterService) -> None:
        self._cluster = cluster

    def routes(self) -> list[web.RouteDef]:
        """Method, path and handler of each route."""
        return [
            web.get(PATH, self.show, allow_head=False),
            web.post(f"{PATH}/open", self.open),
            web.post(f"{PATH}/close", self.close),
        ]

    async def show(self, request: web.Request) -> web.Response:
        """How the link is; never its token."""
        return answer(request, await self._cluster.state())

    async def open(self, request: web.Request) -> web.Response:
        """Let nodes join; answer with how the link is then."""
        order = await body(request, OpenCluster)
        request[DEED] = Deed(name=order.host)
        return answer(request, await self._cluster.open(order))

    async def close(self, request: web.Request) -> web.Response:
        """Let no node of another process join any more."""
        return answer(request, await self._cluster.close())
