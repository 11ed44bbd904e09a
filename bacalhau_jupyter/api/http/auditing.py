"""Writes down who changed something, and who was refused: after the answer is made, from what is known then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from bacalhau_jupyter.api.http.answers import FAILURE, REQUEST_ID, request_id
from bacalhau_jupyter.api.http.callers import PRINCIPAL
from bacalhau_jupyter.api.http.matching import route_of
from bacalhau_jupyter.auth.access import Access
from bacalhau_jupyter.auth.audit.entries import NOBODY, Entry, Origin, Outcome, Subject, origin_of
from bacalhau_jupyter.auth.audit.log import AuditLog
from bacalhau_jupyter.auth.audit.verbs import Act, act_of
from bacalhau_jupyter.auth.capabilities import needed_capability
from bacalhau_jupyter.models.errors import BacalhauError

IS_AUDITED: web.AppKey[bool] = web.AppKey("is_audited", bool)
"""Whether handlers should look up what they change, for the log's sake."""

_REFUSALS = (401, 403, 429)
_SAFE = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True)
class Deed:
    """What a handler knows of what it did: a verb where the route has several, and which thing was changed."""

    verb: str = ""
    id: str = ""
    name: str = ""


DEED = web.RequestKey("deed", Deed)


@dataclass(frozen=True)
class Door:
    """A listener as the log sees it.

    Attributes
    ----------
    access
        Tells who calls.
    acts
        Method and path of what is no route: a page's log-in, say.
    origin
        From where all its requests come; None where each connection tells.
    """

    access: Access
    acts: Mapping[tuple[str, str], Act] = field(default_factory=dict)
    origin: Origin | None = None


def is_audited(request: web.Request) -> bool:
    """Whether what a request changes is written down."""
    return request.app.get(IS_AUDITED, False)


def audited(audit: AuditLog, door: Door, inner: Middleware) -> Middleware:
    """Return a middleware that does what another does, and writes down what was changed or why it was refused."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            response = await inner(request, handler)
        except BaseException:
            # The caller hung up, or the node stops: what it asked for may have been done.
            await _note(audit, door, request, None)
            raise
        if response.status >= 400 or request.method not in _SAFE:
            await _note(audit, door, request, response)
        return response

    return middleware


async def _note(
    audit: AuditLog, door: Door, request: web.Request, response: web.StreamResponse | None
) -> None:
    route = await route_of(request)
    status = _status_of(response)
    act = door.acts.get((request.method, request.path)) or act_of(request.method, route)
    is_route = request.match_info.http_exception is None or (request.method, request.path) in door.acts
    if not (act and is_route) and status not in _REFUSALS:
        return
    act = act or Act("read", route or "no such route")
    caller = door.access.caller(request.transport)
    principal = request[PRINCIPAL].name if PRINCIPAL in request else NOBODY
    repeated = 0
    if status in _REFUSALS:
        # Wrong credentials are one thing, whatever they were sent to.
        asked = () if principal == NOBODY else (principal, *act)
        left_out = audit.repeated(caller.key, str(status), *asked)
        if left_out is None:
            return
        repeated = left_out
    failure = request.get(FAILURE)
    deed = request.get(DEED) or Deed()
    entry = Entry(
        time_ns=audit.clock.now_ns(),
        request=_id_of(request, response),
        principal=principal,
        verb=deed.verb or act.verb,
        subject=Subject(act.kind, deed.id or _id_in_path(request), deed.name),
        outcome=_outcome(status),
        status=status,
        origin=door.origin or origin_of(caller, request.headers),
        caller=caller.key,
        code="" if failure is None else failure.code,
        needs=_missing_capability(request, route, failure),
        repeated=repeated,
    )
    await audit.write(entry)


def _status_of(response: web.StreamResponse | None) -> int:
    return 0 if response is None else response.status


def _outcome(status: int) -> Outcome:
    if not status:
        return Outcome.BROKEN_OFF
    if status in _REFUSALS:
        return Outcome.REFUSED
    return Outcome.DONE if status < 400 else Outcome.FAILED


def _id_of(request: web.Request, response: web.StreamResponse | None) -> str:
    """Return the ID that the answer carries, giving it one where it has none."""
    if response is None:
        return ""
    if REQUEST_ID not in response.headers and not response.prepared:
        response.headers[REQUEST_ID] = request_id()
    return response.headers.get(REQUEST_ID, "")


def _id_in_path(request: web.Request) -> str:
    names = request.match_info
    return names.get("id") or names.get("draft") or names.get("name") or ""


def _missing_capability(request: web.Request, route: str, failure: BacalhauError | None) -> str:
    if failure is None or failure.status != 403 or failure.component != "Authorizer":
        return ""
    return needed_capability(request.method, route)
