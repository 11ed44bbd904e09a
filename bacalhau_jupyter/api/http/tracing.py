"""A span and a figure for each request, named by its route: never by its address, which may hold a signature."""

from __future__ import annotations

import re
import time

from aiohttp import web
from aiohttp.typedefs import Handler

from bacalhau_jupyter.lib.telemetry.base import Kind, Telemetry, Value, spanning
from bacalhau_jupyter.lib.telemetry.trace import HEADER, read_link

_FIELD = re.compile(r"\{(\w+)(?::[^{}]*)?\}")
_NO_ROUTE = "no route"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})


async def traced(telemetry: Telemetry, request: web.Request, handler: Handler) -> web.StreamResponse:
    """Handle a request below the span that the caller names."""
    incoming = read_link(request.headers.get(HEADER, ""))
    if incoming is None and not (telemetry.traces or telemetry.metrics):
        return await handler(request)
    route = _route(request)
    named: dict[str, Value] = {
        "http.request.method": request.method if request.method in _METHODS else "_OTHER",
        "http.route": route,
        "url.scheme": request.scheme,
    }
    started_s = time.monotonic()
    with spanning(telemetry, route, parent=incoming, kind=Kind.SERVER) as attributes:
        response = await handler(request)
        named["http.response.status_code"] = response.status
        attributes.update(named)
        if response.status >= 500:
            attributes["error.type"] = str(response.status)
    telemetry.measure("http.server.request.duration", time.monotonic() - started_s, named)
    return response


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return _NO_ROUTE if resource is None else _FIELD.sub(r":\1", resource.canonical)
