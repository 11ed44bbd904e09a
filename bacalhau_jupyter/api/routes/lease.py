"""``/agent/lease`` +: an open socket here keeps an embedded node alive."""

from __future__ import annotations

from aiohttp import web

from bacalhau_jupyter.api.base import ApiServices
from bacalhau_jupyter.api.http.websocket import hold
from bacalhau_jupyter.models.codec import encode

LEASE = "/api/v1/agent/lease"


class LeaseRoutes:
    """The lease websocket: one frame ``{"instance": …}``, then silence until the client goes."""

    def __init__(self, services: ApiServices) -> None:
        self._agent = services.agent

    def routes(self) -> list[web.RouteDef]:
        """Method, path and handler."""
        return [web.get(LEASE, self.lease, allow_head=False)]

    async def lease(self, request: web.Request) -> web.StreamResponse:
        """Hold a lease for as long as the socket is open."""
        with self._agent.lease():
            return await hold(request, encode({"instance": self._agent.instance_id}).decode())
