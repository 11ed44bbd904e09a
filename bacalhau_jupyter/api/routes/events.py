"""``/orchestrator/events`` +: every transition, pushed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from aiohttp import web

from bacalhau_jupyter.api.http.binding import Query
from bacalhau_jupyter.api.http.websocket import push
from bacalhau_jupyter.models.codec import encode
from bacalhau_jupyter.orchestrator.service import Orchestrator

EVENTS = "/api/v1/orchestrator/events"


class EventRoutes:
    """The event websocket: one `StreamEvent` per frame; a reader that falls behind is closed with 1013."""

    def __init__(self, orchestrator: Orchestrator) -> None:
        self._orchestrator = orchestrator

    def routes(self) -> list[web.RouteDef]:
        """Method, path and handler."""
        return [web.get(EVENTS, self.events, allow_head=False)]

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Replay what came after ``since`` (when given), then go on live; ``job`` and ``topic`` filter."""
        query = Query(request)
        since = query.uint("since") if query.text("since") else None
        topics = [topic for value in query.texts("topic") for topic in value.split(",") if topic]
        return await push(request, self._frames(since, query.text("job"), topics))

    async def _frames(self, since: int | None, job: str, topics: list[str]) -> AsyncIterator[str]:
        async with aclosing(self._orchestrator.events(since, job, topics)) as events:
            async for event in events:
                yield encode(event).decode()
