"""``/agent``: what this node is."""

from __future__ import annotations

from aiohttp import web

from bacalhau_jupyter.api.base import ApiServices
from bacalhau_jupyter.api.http.answers import answer
from bacalhau_jupyter.models.records.node import OFFER_PATH
from bacalhau_jupyter.models.wire.api import AgentAliveResponse


class AgentRoutes:
    """Handlers of ``/api/v1/agent`` and the three redirects at the root."""

    def __init__(self, services: ApiServices) -> None:
        self._agent = services.agent

    def routes(self) -> list[web.RouteDef]:
        """Method, path and handler of each route."""
        base = "/api/v1/agent"
        return [
            web.get(f"{base}/alive", self.alive, allow_head=False),
            web.get(f"{base}/version", self.version, allow_head=False),
            web.get(f"{base}/node", self.node, allow_head=False),
            web.get(f"{base}/debug", self.debug, allow_head=False),
            web.get(f"{base}/config", self.config, allow_head=False),
            web.get(f"{base}/authconfig", self.authconfig, allow_head=False),
            web.get(OFFER_PATH, self.offer, allow_head=False),
            web.get("/", self.to_version, allow_head=False),
            web.get("/version", self.to_version, allow_head=False),
            web.get("/livez", self.to_alive, allow_head=False),
        ]

    async def alive(self, request: web.Request) -> web.Response:
        """Answer ``OK``: the caller has reached a node that serves."""
        return answer(request, AgentAliveResponse())

    async def version(self, request: web.Request) -> web.Response:
        """Say which version of Bacalhau the node speaks."""
        return answer(request, self._agent.version())

    async def node(self, request: web.Request) -> web.Response:
        """The node itself, not wrapped."""
        return answer(request, self._agent.node_info())

    async def offer(self, request: web.Request) -> web.Response:
        """What the node offers to jobs; callers need no capability to read it."""
        return answer(request, self._agent.node_info().offer())

    async def debug(self, request: web.Request) -> web.Response:
        """Facts for finding faults."""
        return answer(request, self._agent.debug())

    async def config(self, request: web.Request) -> web.Response:
        """Effective configuration."""
        return answer(request, {"config": self._agent.config()})

    async def authconfig(self, request: web.Request) -> web.Response:
        """What clients need for single sign-on."""
        return answer(request, {"Version": "1.0.0", "Config": self._agent.sign_on()})

    async def to_version(self, request: web.Request) -> web.Response:
        raise web.HTTPMovedPermanently("/api/v1/agent/version")

    async def to_alive(self, request: web.Request) -> web.Response:
        raise web.HTTPMovedPermanently("/api/v1/agent/alive")
