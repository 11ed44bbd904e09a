"""``/auth``: which credentials there are, and the exchange that official clients insist on."""

from __future__ import annotations

from aiohttp import web

from bacalhau_jupyter.api.base import ApiServices
from bacalhau_jupyter.api.http.answers import answer, no_such_route
from bacalhau_jupyter.api.http.binding import OPEN_BODY, body
from bacalhau_jupyter.api.http.callers import PRINCIPAL
from bacalhau_jupyter.auth.challenge import LoginMethods
from bacalhau_jupyter.models.wire.api import AuthnRequest, AuthnResponse, ListAuthMethodsResponse


class AuthRoutes:
    """Handlers of ``/api/v1/auth``."""

    def __init__(self, services: ApiServices) -> None:
        self._challenge = services.challenge
        self._access = services.access

    def routes(self) -> list[web.RouteDef]:
        """Method, path and handler of each route."""
        return [
            web.get("/api/v1/auth", self.methods, allow_head=False),
            web.get("/api/v1/auth/{name}", self.method, allow_head=False),
            web.post("/api/v1/auth/{name}", self.authenticate),
        ]

    async def methods(self, request: web.Request) -> web.Response:
        """List the ways to prove who one is, by name."""
        methods = {} if self._challenge is None else self._challenge.methods()
        return answer(request, ListAuthMethodsResponse(methods=methods))

    async def method(self, request: web.Request) -> web.Response:
        """One method's requirement."""
        return answer(request, self._exchange().requirement(request.match_info["name"]))

    async def authenticate(self, request: web.Request) -> web.Response:
        """Answer credentials; a refusal is 401, because the official CLI repeats the exchange after a 200."""
        exchange = self._exchange()
        credentials = await body(request, AuthnRequest, OPEN_BODY)
        trusted = await self._access.is_trusted(request.headers, request.transport)
        caller = self._access.guesser(request.headers, request.transport)
        # What the body says about the name does not count, as officially.
        name = request.match_info["name"]
        result = await exchange.answer(name, credentials, trusted=trusted, caller=caller)
        if result.success and (holder := exchange.holder(result.token or "")) is not None:
            # The audit log wants to know who logged in.
            request[PRINCIPAL] = holder
        return answer(request, AuthnResponse(authentication=result), status=200 if result.success else 401)

    def _exchange(self) -> LoginMethods:
        """Return the exchange; without one, its paths do not exist, as officially."""
        if self._challenge is None:
            raise no_such_route()
        return self._challenge
