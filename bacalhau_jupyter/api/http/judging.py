"""In whose name a request may go on: by its capability, or by the policy of the node."""

from __future__ import annotations

from aiohttp import web

from bacalhau_jupyter.api.base import ApiServices
from bacalhau_jupyter.api.http.binding import JUDGED, ORDINARY_BODY, BodyLimit, held_body
from bacalhau_jupyter.api.http.callers import PRINCIPAL
from bacalhau_jupyter.api.http.matching import route_of
from bacalhau_jupyter.api.http.serving import prove
from bacalhau_jupyter.auth.capabilities import NOTHING, check_capability, is_official, needed_capability
from bacalhau_jupyter.auth.policies.order import Asking, PolicyForbids, PolicyOrder
from bacalhau_jupyter.auth.policies.requests import HttpRequest
from bacalhau_jupyter.auth.principals import ANONYMOUS, OWNER, Principal
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.records.published import RESULTS_PATH
from bacalhau_jupyter.models.records.uploads import CONTENT_PATH
from bacalhau_jupyter.models.records.uploads import PATH as UPLOADS_PATH

_SIGNED = (f"{RESULTS_PATH}/", f"{CONTENT_PATH}/")
_STRANGERS_BODY = BodyLimit(1 << 20, 10.0)
"""For callers without a token of this node: a policy reads bodies before anybody knows who sent them."""


async def judge(services: ApiServices, request: web.Request) -> None:
    """Find out in whose name a request goes on, and keep that with it; for what everybody may ask, nobody's.

    Raises
    ------
    BacalhauError
        It may not go on.
    """
    route = await route_of(request)
    # The web page knows already who is logged in.
    principal: Principal | None = request.get(PRINCIPAL)
    if principal is None and services.policy is not None and not route.startswith(_SIGNED):
        await _judge_by_policy(services.policy, request, route)
        return
    capability = needed_capability(request.method, route)
    if capability == NOTHING:
        # Every connection is judged before its first request is answered, whatever that asks for.
        await services.access.is_trusted(request.headers, request.transport)
        return
    if principal is None:
        principal = request[PRINCIPAL] = await services.access.identify(request.headers, request.transport)
        prove(request)
    check_capability(principal, capability)


async def _judge_by_policy(policy: PolicyOrder, request: web.Request, route: str) -> None:
    try:
        principal = await policy.identify(_asking(request, route))
    except PolicyForbids as error:
        # The audit log wants to know whom.
        request[PRINCIPAL] = error.principal
        raise
    request[PRINCIPAL] = principal
    if principal != OWNER:
        request[JUDGED] = True
    if principal != ANONYMOUS:
        prove(request)


def _asking(request: web.Request, route: str) -> Asking:
    async def read(is_ours: bool) -> HttpRequest:
        body = b""
        # Uploads are too large to be shown to a policy. No header may hide a body, which handlers read.
        if request.body_exists and not route.startswith(UPLOADS_PATH):
            try:
                body = await held_body(request, ORDINARY_BODY if is_ours else _STRANGERS_BODY)
            except web.HTTPRequestEntityTooLarge as error:
                raise BacalhauError("Request Entity Too Large", status=413) from error
        return HttpRequest(
            host=request.headers.get("Host", ""),
            method=request.method,
            path=request.path,
            query=request.rel_url.raw_query_string,
            headers=tuple(request.headers.items()),
            body=body,
        )

    return Asking(request.headers, request.transport, read, is_official(route))
