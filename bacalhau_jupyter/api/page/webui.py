"""The stand-alone web page: the built front end, a login, and the node's API on one origin.

A page in a browser is never trusted for its socket (a hostile page could use it): on this listener everything
needs a session, or the key. The session is a cookie that no script can read and no other site can send; what it
changes, and every websocket, must come from our own origin as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import mimetypes
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

from bacalhau_jupyter.api.app import build_app
from bacalhau_jupyter.api.base import ApiServices
from bacalhau_jupyter.api.http.answers import answer, error_answer
from bacalhau_jupyter.api.http.auditing import IS_AUDITED, Door, audited
from bacalhau_jupyter.api.http.binding import OPEN_BODY, body
from bacalhau_jupyter.api.http.callers import PRINCIPAL
from bacalhau_jupyter.api.http.serving import prove
from bacalhau_jupyter.api.page.logins import LoginRequest, principal_of_login
from bacalhau_jupyter.api.page.sessions import LONGEST_S, Sessions
from bacalhau_jupyter.auth.access import Access
from bacalhau_jupyter.auth.audit.entries import Origin
from bacalhau_jupyter.auth.audit.verbs import LOG_IN, LOG_OUT
from bacalhau_jupyter.auth.forwarding import scheme_seen_by_caller
from bacalhau_jupyter.auth.guesses import GuessLimit
from bacalhau_jupyter.auth.principals import Principal
from bacalhau_jupyter.auth.sockets import Caller
from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest, Forbidden, NotFound, Unauthorized

COMPONENT = "WebUI"

COOKIE = "bacalhau-session"
LOGIN_GUESSES = 5
"""Bad logins that one address may make in a minute; all addresses together, ten times as many."""
LOGIN, LOGOUT, SESSION = "/login", "/logout", "/session"
OPEN = frozenset({LOGIN, "/login.js", "/login.css"})
"""Paths that need no session."""

_OWN = Path(__file__).parent / "login"
_SAFE_METHODS = ("GET", "HEAD")
_COMMON = "default-src 'none'; script-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
_COMMON += "frame-ancestors 'none'; "
_STRICT = _COMMON + "style-src 'self'"
# JupyterLab's components write their styles into the page; scripts have no such licence.
_PAGE = _COMMON + "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:"
_NOTHING = "default-src 'none'; frame-ancestors 'none'; sandbox"


class WebUI:
    """The page's routes and its gate.

    Parameters
    ----------
    services
        What the API works on.
    clock
        Ends sessions.
    built
        Directory of the built front end; it may be missing.
    """

    def __init__(self, services: ApiServices, clock: Clock, built: Path) -> None:
        self.sessions = Sessions(clock)
        self._limit = GuessLimit(clock, LOGIN_GUESSES, in_all=10 * LOGIN_GUESSES)
        self._access = services.access
        self._built = built
        self._services = services
        acts = {("POST", LOGIN): LOG_IN, ("POST", LOGOUT): LOG_OUT}
        self._door = Door(services.access, acts, Origin.PAGE)

    def app(self) -> web.Application:
        """Return the application of the listener: the API of this node behind the gate, and the page."""
        admitted = _Admitted()
        # A page registers no environments: what it does, any script in it may have done.
        services = replace(self._services, access=admitted, environments=None, packages=None, audit=None)
        app = build_app(services)
        # Outside of the gate: there it is known who calls, and whom the gate refuses.
        audit = self._services.audit
        app[IS_AUDITED] = audit is not None
        app.middlewares.insert(0, self._gate if audit is None else audited(audit, self._door, self._gate))
        app.on_response_prepare.append(_seal)
        return app

    # ---- the gate

    @web.middleware
    async def _gate(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            # Looked at once, because a wrong one counts.
            principal = await self._by_credential(request)
            self._check_origin(request, principal is not None)
            if request.path not in OPEN:
                principal = principal or self.sessions.principal(self._cookie(request))
                if principal is None:
                    return self._to_login(request)
                request[PRINCIPAL] = principal
                prove(request)
            if request.path.startswith("/api/"):
                return await handler(request)
            return await self._own(request)
        except BacalhauError as error:
            return error_answer(request, error)
        except web.HTTPRequestEntityTooLarge:
            return error_answer(request, BadRequest("the body is too large"))

    async def _by_credential(self, request: web.Request) -> Principal | None:
        try:
            return await self._access.with_credential(request.headers, request.transport)
        except Unauthorized:
            return None

    def _check_origin(self, request: web.Request, has_credential: bool) -> None:
        """Refuse other names (DNS rebinding), other sites' requests, and changes without a proven origin."""
        host = request.headers.get("Host", "")
        # A name can be made to lead here by anybody; an address can't.
        if not _is_address(host) and self._access.looks_like_a_browser({"Host": host}):
            raise Forbidden(
                f"this node is not called {host[:100]!r}",
                hint="API.Names lists further names by which it may be addressed",
            )
        origin = request.headers.get("Origin")
        if origin is not None and not _is_same(origin, request):
            raise Forbidden("this request comes from another site")
        if request.headers.get("Sec-Fetch-Site", "same-origin") in ("cross-site", "same-site"):
            # A link from elsewhere may lead here; nothing else may.
            if request.method != "GET" or request.headers.get("Sec-Fetch-Mode") != "navigate":
                raise Forbidden("this request comes from another site")
            if request.path.startswith("/api/"):
                raise Forbidden("this address can't be opened from a link")
        changes = request.method not in _SAFE_METHODS or "Upgrade" in request.headers
        if changes and origin is None and not has_credential:
            raise Forbidden("a request that changes something must say its origin")

    @staticmethod
    def _to_login(request: web.Request) -> web.Response:
        """Send a person to the login; raises Unauthorized for a program."""
        if request.method == "GET" and "text/html" in request.headers.get("Accept", ""):
            return web.Response(status=302, headers={"Location": LOGIN})
        raise Unauthorized("log in first", hint=f"the page {LOGIN} asks for an API key, or a password")

    @staticmethod
    def cookie_name(request: web.Request) -> str:
        """Return the cookie's name: browsers share cookies among the ports of a host."""
        port = request.url.port or 0
        return f"{COOKIE}-{port}"

    def _cookie(self, request: web.Request) -> str:
        return request.cookies.get(self.cookie_name(request), "")

    # ---- the page

    async def _own(self, request: web.Request) -> web.StreamResponse:
        route = (request.method if request.method != "HEAD" else "GET", request.path)
        if route == ("POST", LOGIN):
            return await self._log_in(request)
        if route == ("POST", LOGOUT):
            return self._log_out(request)
        if route == ("GET", SESSION):
            return answer(request, _session(request[PRINCIPAL]))
        if route[0] != "GET":
            raise NotFound("there is nothing here")
        return await asyncio.to_thread(self._file, request.path)

    async def _log_in(self, request: web.Request) -> web.Response:
        address = self._access.guesser(request.headers, request.transport)
        self._limit.check(address, "WebUI")
        login = await body(request, LoginRequest, OPEN_BODY)
        with self._limit.trying(address, login.attempt, "WebUI"):
            try:
                principal = await principal_of_login(login, self._access, self.sessions)
            except Unauthorized:
                self._limit.failed(address)
                raise
        request[PRINCIPAL] = principal
        done = answer(request, _session(principal))
        done.set_cookie(
            self.cookie_name(request),
            self.sessions.open(principal),
            path="/",
            httponly=True,
            samesite="Strict",
            secure=scheme_seen_by_caller(request.headers, request.scheme) == "https",
            max_age=LONGEST_S,
        )
        return done

    def _log_out(self, request: web.Request) -> web.Response:
        self.sessions.close(self._cookie(request))
        done = answer(request, {"Authenticated": False})
        done.del_cookie(self.cookie_name(request), path="/", httponly=True, samesite="Strict")
        return done

    def _file(self, path: str) -> web.Response:
        if path == LOGIN:
            return _page(_OWN / "login.html", _STRICT)
        if path in OPEN:
            return _page(_OWN / path.lstrip("/"), _STRICT)
        if path == "/":
            index = self._built / "index.html"
            return _page(index, _PAGE) if index.is_file() else _page(_OWN / "missing.html", _STRICT)
        return _page(_below(self._built, path), _PAGE)


class _Admitted(Access):
    """For the API behind the gate, which has judged the caller already; its socket proves nothing here."""

    def __init__(self) -> None:
        """Need neither credentials nor sockets."""

    async def identify(
        self, headers: Mapping[str, str], transport: asyncio.BaseTransport | None
    ) -> Principal:
        raise Unauthorized("log in first")

    async def is_trusted(self, headers: Mapping[str, str], transport: asyncio.BaseTransport | None) -> bool:
        return False

    def caller(self, transport: asyncio.BaseTransport | None) -> Caller:
        return Caller("web page", is_own_user=False)


def _session(principal: Principal) -> dict[str, object]:
    """Tell a page in whose name it acts, and what that allows."""
    return {
        "Authenticated": True,
        "User": principal.called,
        "Capabilities": sorted(principal.capabilities),
    }


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False
    return True


def _is_same(origin: str, request: web.Request) -> bool:
    parts = urlsplit(origin)
    scheme = scheme_seen_by_caller(request.headers, request.scheme)
    return (parts.scheme, parts.netloc.lower()) == (scheme, request.headers.get("Host", "").lower())


def _below(root: Path, path: str) -> Path:
    """Return the built file of a path; raises NotFound for anything else."""
    parts = path.split("/")[1:]
    if not any(
        part in ("", ".", "..") or part.startswith(".") or "\\" in part or "\0" in part for part in parts
    ):
        # A name may be too long, or a link lead round in circles.
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            file = root.joinpath(*parts).resolve()
            if file.is_relative_to(root.resolve()) and file.is_file():
                return file
    raise NotFound("there is no such page")


def _page(file: Path, policy: str) -> web.Response:
    kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    text = kind.startswith("text/") or kind in ("application/javascript", "application/json")
    return web.Response(
        body=file.read_bytes(),
        headers={
            "Content-Type": f"{kind}; charset=utf-8" if text else kind,
            "Content-Security-Policy": policy,
            "Cache-Control": "no-cache",
        },
    )


async def _seal(request: web.Request, response: web.StreamResponse) -> None:
    """Give every answer, streams included, the headers that keep it where it belongs."""
    response.headers.setdefault("Content-Security-Policy", _NOTHING)
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["X-Frame-Options"] = "DENY"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
