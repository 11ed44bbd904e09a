"""Which route of ours a request's path has, also where that route lacks the request's verb."""

from __future__ import annotations

from aiohttp import web

_NOT_ALLOWED = 405


async def route_of(request: web.Request) -> str:
    """Return the path of the matched route, as it was declared; empty where no route has the request's path."""
    match = request.match_info
    resource = match.route.resource
    if resource is not None:
        return resource.canonical
    if match.http_exception is None or match.http_exception.status != _NOT_ALLOWED:
        return ""
    for candidate in request.app.router.resources():
        _, methods = await candidate.resolve(request)
        if methods:
            return candidate.canonical
    return ""
