"""``/orchestrator/jobs/{id}/logs``: output as it is written."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from aiohttp import web

from bacalhau_jupyter.api.http.binding import Query
from bacalhau_jupyter.api.http.websocket import push
from bacalhau_jupyter.api.routes.jobs import JOBS
from bacalhau_jupyter.models.codec import encode
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.wire.api import LogFrame
from bacalhau_jupyter.orchestrator.base import LogQuery
from bacalhau_jupyter.orchestrator.service import Orchestrator


class LogRoutes:
    """The log websocket: 101 always (errors travel in a frame), one JSON document per frame, close 1000."""

    def __init__(self, orchestrator: Orchestrator) -> None:
        self._orchestrator = orchestrator

    def routes(self) -> list[web.RouteDef]:
        """Method, path and handler."""
        return [web.get(f"{JOBS}/{{id}}/logs", self.logs, allow_head=False)]

    async def logs(self, request: web.Request) -> web.StreamResponse:
        """Stream the output of one execution."""
        query = Query(request)
        log_query = LogQuery(
            namespace=query.text("namespace"),
            execution_id=query.text("execution_id"),
            version=query.uint("job_version"),
            tail=query.flag("tail"),
            follow=query.flag("follow"),
        )
        return await push(request, self._frames(request.match_info["id"], log_query))

    async def _frames(self, job: str, query: LogQuery) -> AsyncIterator[str]:
        try:
            async with aclosing(self._orchestrator.logs(job, query)) as frames:
                async for frame in frames:
                    yield encode(frame).decode() + "\n"
        except BacalhauError as error:
            yield encode(LogFrame(error=error.message)).decode() + "\n"
