"""What every request passes: access, the version gate, the time limit, the error envelope, the headers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from bacalhau_jupyter.api.base import ApiServices
from bacalhau_jupyter.api.http import answers, versions
from bacalhau_jupyter.api.http.auditing import Door, audited
from bacalhau_jupyter.api.http.binding import header
from bacalhau_jupyter.api.http.judging import judge
from bacalhau_jupyter.api.http.tracing import traced
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.records.hosts import PATH as HOSTS_PATH
from bacalhau_jupyter.models.records.kept.images import PATH as IMAGES_PATH
from bacalhau_jupyter.models.records.published import RESULTS_PATH
from bacalhau_jupyter.models.records.uploads import PATH as UPLOADS_PATH

log = logging.getLogger(__name__)

HANDLER_TIMEOUT_S = 30.0
HUNG_UP = 499
"""The status in the audit log where the caller had gone; HTTP has none."""

_ORCHESTRATORS = "/api/v1/orchestrator/"


def guard(services: ApiServices) -> Middleware:
    """Return the one middleware of the API (one, because each costs a call per request)."""
    version = services.agent.version()
    headers = {
        "X-Bacalhau-Git-Version": version.git_version,
        "X-Bacalhau-Git-Commit": version.git_commit,
        "X-Bacalhau-Build-Date": _go_time(version.build_date),
        "X-Bacalhau-Build-Os": version.goos,
        "X-Bacalhau-Arch": version.goarch,
        "Vary": "Origin",
        "X-Content-Type-Options": "nosniff",
    }
    telemetry = services.telemetry
    handled = partial(_handle, orchestrators=services.orchestrators)

    @web.middleware
    async def admitted(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            await judge(services, request)
        except BacalhauError as error:
            return answers.error_answer(request, error)
        refused = versions.refusal(header(request, "X-Bacalhau-Git-Version"), version)
        if refused is not None:
            return answers.answer(request, refused[1], status=refused[0])
        # Only now: a refused caller must not fill the owner's traces.
        response = await traced(telemetry, request, partial(handled, handler=handler))
        if not response.prepared:
            response.headers.update(headers)
            response.headers[answers.REQUEST_ID] = answers.request_id()
        return response

    return admitted if services.audit is None else audited(services.audit, Door(services.access), admitted)


async def _handle(request: web.Request, handler: Handler, orchestrators: Sequence[str]) -> web.StreamResponse:
    limit = asyncio.timeout(None if _takes_its_time(request) else HANDLER_TIMEOUT_S)
    try:
        async with limit:
            return await handler(request)
    except BacalhauError as error:
        return answers.error_answer(request, error)
    except web.HTTPException as error:
        return _from_http(request, error, orchestrators)
    except asyncio.CancelledError:
        # The node stops: no caller is left.
        raise
    except Exception as error:
        if isinstance(error, ConnectionResetError) and (
            request.transport is None or request.transport.is_closing()
        ):
            # The caller hung up, and nobody reads this. Raised, it would be a stack trace in the log each time.
            return web.Response(status=HUNG_UP)
        if isinstance(error, TimeoutError) and limit.expired():
            log.warning("%s %s took longer than %.0f s", request.method, request.path, HANDLER_TIMEOUT_S)
            return web.Response(status=503, text="Server Timeout!")
        log.exception("%s %s failed", request.method, request.path)
        return answers.error_answer(request, answers.internal_error())


def _from_http(
    request: web.Request, error: web.HTTPException, orchestrators: Sequence[str]
) -> web.StreamResponse:
    if error.status < 400:
        return web.Response(status=error.status, headers=error.headers)
    if error.status == 404 and orchestrators and request.path.startswith(_ORCHESTRATORS):
        return answers.error_answer(request, answers.placed_elsewhere(orchestrators))
    if error.status in (404, 405):
        return answers.error_answer(request, answers.no_such_route())
    reason = "Request Entity Too Large" if error.status == 413 else error.reason
    return answers.error_answer(request, BacalhauError(reason, status=error.status))


def _takes_its_time(request: web.Request) -> bool:
    path = request.path
    streams = path.startswith((RESULTS_PATH, UPLOADS_PATH)) or "/results/files/" in path
    # Machines elsewhere take their time, which has limits of its own: to answer, to end jobs, to get an image.
    # So does a disk, with images of many gigabytes.
    streams = streams or (request.method in ("POST", "DELETE") and path.startswith(IMAGES_PATH))
    streams = streams or (request.method == "POST" and path.startswith(HOSTS_PATH))
    return streams or (request.method == "GET" and "Upgrade" in request.headers)


def _go_time(rfc3339: str) -> str:
    return rfc3339.replace("T", " ").replace("Z", " +0000 UTC")
