"""``/orchestrator/jobs/{id}/explanation``: why a job waits, or how it came to run where it did (ours)."""

from __future__ import annotations

from aiohttp import web

from bacalhau_jupyter.api.http.answers import answer
from bacalhau_jupyter.api.http.binding import Query
from bacalhau_jupyter.api.http.callers import principal_of
from bacalhau_jupyter.api.routes.jobs import JOBS
from bacalhau_jupyter.orchestrator.service import Orchestrator


class ExplanationRoutes:
    """The explanation of a job, which names other jobs only to callers with the right to see them."""

    def __init__(self, orchestrator: Orchestrator) -> None:
        self._orchestrator = orchestrator

    def routes(self) -> list[web.RouteDef]:
        """Method, path and handler."""
        return [web.get(f"{JOBS}/{{id}}/explanation", self.explain, allow_head=False)]

    async def explain(self, request: web.Request) -> web.Response:
        """Explain one job."""
        principal = principal_of(request)
        namespace = Query(request).text("namespace")
        return answer(
            request,
            await self._orchestrator.explain(
                request.match_info["id"], namespace, principal.may_see_jobs, principal=principal.name
            ),
        )
