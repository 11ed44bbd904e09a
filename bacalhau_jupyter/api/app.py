"""The API as an aiohttp application."""

from __future__ import annotations

import logging
import re
from weakref import WeakSet

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from bacalhau_jupyter.api.base import ApiServices
from bacalhau_jupyter.api.http import websocket
from bacalhau_jupyter.api.http.auditing import IS_AUDITED
from bacalhau_jupyter.api.http.binding import BODY_LIMIT
from bacalhau_jupyter.api.http.middleware import guard
from bacalhau_jupyter.api.http.serving import Gatekeeper, LimitedRunner
from bacalhau_jupyter.api.routes.agent import AgentRoutes
from bacalhau_jupyter.api.routes.auth import AuthRoutes
from bacalhau_jupyter.api.routes.browse import CleanUpRoutes, DataRoutes, ResultFileBrowser
from bacalhau_jupyter.api.routes.cluster import ClusterRoutes
from bacalhau_jupyter.api.routes.environments import EnvironmentRoutes
from bacalhau_jupyter.api.routes.events import EventRoutes
from bacalhau_jupyter.api.routes.explanations import ExplanationRoutes
from bacalhau_jupyter.api.routes.hosts import HostRoutes
from bacalhau_jupyter.api.routes.jobs import JobRoutes
from bacalhau_jupyter.api.routes.joining import JoiningRoutes
from bacalhau_jupyter.api.routes.kept.images import ImageRoutes
from bacalhau_jupyter.api.routes.lease import LeaseRoutes
from bacalhau_jupyter.api.routes.logs import LogRoutes
from bacalhau_jupyter.api.routes.nodes import NodeRoutes
from bacalhau_jupyter.api.routes.packages import PackageRoutes
from bacalhau_jupyter.api.routes.results import ResultFileRoutes, ResultListRoutes, ResultUploadRoutes
from bacalhau_jupyter.api.routes.uploads import UploadRoutes
from bacalhau_jupyter.models.records.cluster import FEATURE as CLUSTER
from bacalhau_jupyter.models.records.environments import FEATURE as PYTHON_ENVIRONMENTS
from bacalhau_jupyter.models.records.explanation import FEATURE as EXPLAIN
from bacalhau_jupyter.models.records.hosts import FEATURE as HOSTS
from bacalhau_jupyter.models.records.joining import FEATURE as JOIN_CLUSTERS
from bacalhau_jupyter.models.records.kept.images import FEATURE as IMAGES
from bacalhau_jupyter.models.records.packages import FEATURE as PYTHON_PACKAGES
from bacalhau_jupyter.models.records.uploads import FEATURE as UPLOADS

FEATURES = [
    "browse-data",
    "clean-up",
    CLUSTER,
    "delete-jobs",
    "events",
    EXPLAIN,
    HOSTS,
    IMAGES,
    JOIN_CLUSTERS,
    "lease",
    PYTHON_ENVIRONMENTS,
    PYTHON_PACKAGES,
    "result-files",
    "signed-results",
    UPLOADS,
]
"""What this API offers beyond the official one, as ``agent/node`` lists it."""

_OF_ORCHESTRATORS = {CLUSTER, "delete-jobs", "events", EXPLAIN, HOSTS, "result-files", UPLOADS}

KEEPALIVE_S = 75.0
BACKLOG = 1024
LINE_LIMIT = 64 * 1024
"""Bytes of a request line or header; label selectors and tokens are longer than a browser's addresses."""

log = logging.getLogger(__name__)


def features_of(*, places_jobs: bool) -> list[str]:
    """Return what the API of a node offers beyond the official one; less where the node places no jobs."""
    return [feature for feature in FEATURES if places_jobs or feature not in _OF_ORCHESTRATORS]


def build_app(services: ApiServices) -> web.Application:
    """Return the application with the routes that this node's roles give it."""
    app = web.Application(middlewares=[guard(services)], client_max_size=BODY_LIMIT)
    app[websocket.OPEN_SOCKETS] = WeakSet()
    app[IS_AUDITED] = services.audit is not None
    app.on_shutdown.append(websocket.close_all)
    app.add_routes(AgentRoutes(services).routes())
    app.add_routes(AuthRoutes(services).routes())
    app.add_routes(LeaseRoutes(services).routes())
    if services.results is not None:
        app.add_routes(ResultFileRoutes(services.results).routes())
    if services.receiver is not None:
        app.add_routes(ResultUploadRoutes(services.receiver).routes())
    if services.data is not None:
        app.add_routes(DataRoutes(services.data).routes())
    if services.cleaner is not None:
        app.add_routes(CleanUpRoutes(services.cleaner).routes())
    if services.environments is not None:
        app.add_routes(EnvironmentRoutes(services.environments, services.access).routes())
    if services.packages is not None:
        app.add_routes(PackageRoutes(services.packages, services.access).routes())
    if services.images is not None:
        app.add_routes(ImageRoutes(services.images, services.access).routes())
    if services.uploads is not None:
        app.add_routes(UploadRoutes(services.uploads, services.access).routes())
    if services.cluster is not None:
        app.add_routes(ClusterRoutes(services.cluster).routes())
    if services.joining is not None:
        app.add_routes(JoiningRoutes(services.joining).routes())
    if services.hosts is not None:
        app.add_routes(HostRoutes(services.hosts).routes())
    if services.orchestrator is not None:
        if services.result_files is not None:
            app.add_routes(ResultFileBrowser(services.orchestrator, services.result_files).routes())
        for group in (
            JobRoutes(services.orchestrator, services.cleaner),
            ExplanationRoutes(services.orchestrator),
            LogRoutes(services.orchestrator),
            ResultListRoutes(services.orchestrator, services.results, services.access),
            NodeRoutes(services.orchestrator),
            EventRoutes(services.orchestrator),
        ):
            app.add_routes(group.routes())
    return app


def build_results_app(services: ApiServices) -> web.Application:
    """Return an application that serves signed results and nothing else."""
    app = web.Application(middlewares=[guard(services)], client_max_size=BODY_LIMIT)
    if services.results is not None:
        app.add_routes(ResultFileRoutes(services.results).routes())
    return app


def build_runner(
    services: ApiServices, gatekeeper: Gatekeeper | None = None, shutdown_timeout_s: float = 2.0
) -> web.AppRunner:
    """Return a runner for `build_app`; the caller sets it up, gives it sockets, and cleans it up."""
    gatekeeper = gatekeeper or Gatekeeper(services.access)
    return runner_of(build_app(services), gatekeeper, shutdown_timeout_s)


def runner_of(app: web.Application, gatekeeper: Gatekeeper, shutdown_timeout_s: float = 2.0) -> web.AppRunner:
    """Return a runner with this API's limits for an application that `build_app` made."""
    app[websocket.SOCKET_LIMIT] = gatekeeper.book.limits.sockets
    return LimitedRunner(
        app,
        gatekeeper,
        access_log=None,
        handle_signals=False,
        keepalive_timeout=KEEPALIVE_S,
        max_line_size=LINE_LIMIT,
        max_field_size=LINE_LIMIT,
        logger=_server_log(),
        shutdown_timeout=shutdown_timeout_s,
    )


_SENT = re.compile(r"(?: when reading)?:? (?:bytearray\()?b?['\"]")


def _server_log() -> logging.Logger:
    """Return a log in which what is not HTTP leaves one line rather than a stack trace: anybody can send it."""
    server = log.getChild("server")
    server.filters = [_without_trace]
    return server


def _without_trace(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, (HttpProcessingError, web.RequestPayloadError)):
        # Behind these signs stands what was sent, a credential perhaps.
        problem = _SENT.split(" ".join(str(error).split()), maxsplit=1)[0]
        record.msg, record.args, record.exc_info = "a request that is not HTTP: %.120s", (problem,), None
    return True
