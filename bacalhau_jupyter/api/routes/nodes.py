"""``/orchestrator/nodes``: the compute nodes."""

from __future__ import annotations

from aiohttp import web

from bacalhau_jupyter.api.http.answers import answer
from bacalhau_jupyter.api.http.auditing import DEED, Deed
from bacalhau_jupyter.api.http.binding import Query, body
from bacalhau_jupyter.models.wire.api import (
    GetNodeResponse,
    ListNodesResponse,
    PutNodeRequest,
    PutNodeResponse,
)
from bacalhau_jupyter.orchestrator.base import NodeQuery
from bacalhau_jupyter.orchestrator.service import Orchestrator

_ACTIONS = ("approve", "reject", "delete")
NODES = "/api/v1/orchestrator/nodes"


class NodeRoutes:
    """Handlers of ``/api/v1/orchestrator/nodes``."""

    def __init__(self, orchestrator: Orchestrator) -> None:
        self._orchestrator = orchestrator

    def routes(self) -> list[web.RouteDef]:
        """Method, path and handler of each route; the two with POST are what the official SDK and its docs send."""
        return [
            web.get(NODES, self.list, allow_head=False),
            web.get(f"{NODES}/{{id}}", self.get, allow_head=False),
            web.put(f"{NODES}/{{id}}", self.change),
            web.post(f"{NODES}/{{id}}", self.change),
            web.post(NODES, self.change),
        ]

    async def list(self, request: web.Request) -> web.Response:
        """All nodes that fit."""
        query = Query(request)
        nodes = await self._orchestrator.nodes(
            NodeQuery(
                labels=query.texts("labels"),
                limit=query.uint("limit"),
                order_by=query.text("order_by"),
                reverse=query.flag("reverse"),
                approval=query.text("filter-approval"),
                status=query.text("filter-status"),
            )
        )
        return answer(request, ListNodesResponse(nodes=[*nodes]))

    async def get(self, request: web.Request) -> web.Response:
        """One node, by its ID or a unique prefix of it."""
        return answer(request, GetNodeResponse(node=await self._orchestrator.node(request.match_info["id"])))

    async def change(self, request: web.Request) -> web.Response:
        """Approve, reject or delete a node."""
        order = await body(request, PutNodeRequest)
        node = request.match_info.get("id") or order.node_id
        request[DEED] = Deed(verb=order.action if order.action in _ACTIONS else "", id=node)
        await self._orchestrator.change_node(node, order.action, order.message)
        return answer(request, PutNodeResponse())
