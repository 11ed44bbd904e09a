"""In whose name the request at hand is made; the middleware finds out, once."""

from __future__ import annotations

from aiohttp import web

from bacalhau_jupyter.auth.principals import Principal

PRINCIPAL = web.RequestKey("principal", Principal)


def principal_of(request: web.Request) -> Principal:
    """Return in whose name a request of a protected route is made."""
    return request[PRINCIPAL]
