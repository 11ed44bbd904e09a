"""``/cluster/join`` and ``/cluster/leave`` +: further clusters to which the owner offers this machine."""

from __future__ import annotations

from aiohttp import web

from bacalhau_jupyter.api.http.answers import answer
from bacalhau_jupyter.api.http.auditing import DEED, Deed
from bacalhau_jupyter.api.http.binding import body
from bacalhau_jupyter.api.services.cluster import JoiningService
from bacalhau_jupyter.models.records.cluster import PATH
from bacalhau_jupyter.models.records.joining import JOINED_PATH, JoinCluster, LeaveCluster


class JoiningRoutes:
    """Join, leave and list clusters."""

    def __init__(self, joining: JoiningService) -> None:
        self._joining = joining

    def routes(self) -> list[web.RouteDef]:
        """Method, path and handler of each route."""
        return [
            web.get(JOINED_PATH, self.joined, allow_head=False),
            web.post(f"{PATH}/join", self.join),
            web.post(f"{PATH}/leave", self.leave),
        ]

    async def joined(self, request: web.Request) -> web.Response:
        """The clusters, and how the way to each is; never a token."""
        return answer(request, self._joining.states())

    async def join(self, request: web.Request) -> web.Response:
        """Offer this machine to a cluster."""
        order = await body(request, JoinCluster)
        request[DEED] = Deed(name=order.url)
        return answer(request, await self._joining.join(order))

    async def leave(self, request: web.Request) -> web.Response:
        """Take this machine back from a cluster."""
        order = await body(request, LeaveCluster)
        request[DEED] = Deed(name=order.url)
        return answer(request, await self._joining.leave(order.url))
