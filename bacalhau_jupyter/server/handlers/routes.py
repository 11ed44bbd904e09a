"""The routes of the extension, below Jupyter's base URL."""

from __future__ import annotations

from tornado.web import RequestHandler

from bacalhau_jupyter.server.handlers.base import PREFIX
from bacalhau_jupyter.server.handlers.connections import (
    ConnectionHandler,
    ConnectionsHandler,
    ConnectionTestHandler,
    CurrentConnectionHandler,
)
from bacalhau_jupyter.server.handlers.gateway import GatewayHandler
from bacalhau_jupyter.server.handlers.login import LoginCodeHandler, LoginCodesHandler, LoginHandler
from bacalhau_jupyter.server.handlers.notebooks import NotebooksHandler
from bacalhau_jupyter.server.handlers.status import StatusHandler
from bacalhau_jupyter.server.handlers.streams import GatewayStreamHandler
from bacalhau_jupyter.server.handlers.submissions import SubmissionsHandler

default_handlers: list[tuple[str, type[RequestHandler]]] = [
    (rf"/{PREFIX}/status", StatusHandler),
    (rf"/{PREFIX}/notebooks", NotebooksHandler),
    (rf"/{PREFIX}/submissions", SubmissionsHandler),
    (rf"/{PREFIX}/connections", ConnectionsHandler),
    (rf"/{PREFIX}/connections/current", CurrentConnectionHandler),
    (rf"/{PREFIX}/connections/test", ConnectionTestHandler),
    (rf"/{PREFIX}/connections/saved/([^/]+)", ConnectionHandler),
    (rf"/{PREFIX}/login", LoginHandler),
    (rf"/{PREFIX}/login/codes", LoginCodesHandler),
    (rf"/{PREFIX}/login/codes/([\w-]+)", LoginCodeHandler),
    (rf"/{PREFIX}/api/v1/orchestrator/events", GatewayStreamHandler),
    (rf"/{PREFIX}/api/v1/orchestrator/jobs/[^/]+/logs", GatewayStreamHandler),
    # Also what does not belong to the API: it gets its refusal from the gateway, in the official envelope.
    (rf"/{PREFIX}/.*", GatewayHandler),
]
