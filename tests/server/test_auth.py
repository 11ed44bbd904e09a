"""Who may do what: every route and every verb of the extension, without a token and with less than all rights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import aiohttp
import pytest
from jupyter_server.auth import Authorizer
from tornado.routing import PathMatches
from tornado.web import RequestHandler

from bacalhau_jupyter.server.handlers.routes import default_handlers
from tests.server.conftest import TOKEN, Cluster, Jupyter, Starter

EXAMPLES = {
    "/bacalhau/status": "/status",
    "/bacalhau/notebooks": "/notebooks",
    "/bacalhau/submissions": "/submissions",
    "/bacalhau/connections": "/connections",
    "/bacalhau/connections/current": "/connections/current",
    "/bacalhau/connections/test": "/connections/test",
    "/bacalhau/connections/saved/([^/]+)": "/connections/saved/prod",
    "/bacalhau/login": "/login",
    "/bacalhau/login/codes": "/login/codes",
    r"/bacalhau/login/codes/([\w-]+)": "/login/codes/x-1",
    "/bacalhau/api/v1/orchestrator/events": "/api/v1/orchestrator/events",
    "/bacalhau/api/v1/orchestrator/jobs/[^/]+/logs": "/api/v1/orchestrator/jobs/j-1/logs",
    "/bacalhau/.*": "/api/v1/orchestrator/jobs",
}
VERBS = ("GET", "HEAD", "POST", "DELETE", "PATCH", "PUT", "OPTIONS")


def routes() -> list[tuple[str, str]]:
    """Return path and verb of everything the extension answers, from its own route list."""
    routes = []
    for pattern, handler in default_handlers:
        path = EXAMPLES[pattern]  # a new route needs an example here
        for verb in handler.SUPPORTED_METHODS:
            assert verb in VERBS
            if getattr(handler, verb.lower()) is not getattr(RequestHandler, verb.lower()):
                routes.append((path, verb))
    return routes


ROUTES = routes()
GUARDED = [(path, verb) for path, verb in ROUTES if verb != "OPTIONS"]
STREAMS = {path for path in EXAMPLES.values() if path.endswith(("/events", "/logs"))}
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


class Recorder(Authorizer):
    """Notes what it is asked and allows only what the test names."""

    asked: ClassVar[list[tuple[str, str]]] = []
    allowed: ClassVar[set[str]] = set()

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        self.asked.append((action, resource))
        return action in self.allowed


@pytest.fixture
def recorder() -> type[Recorder]:
    Recorder.asked, Recorder.allowed = [], set()
    return Recorder


async def call(jupyter: Jupyter, path: str, verb: str, *, auth: bool, **headers: str) -> int:
    if path in STREAMS and verb == "GET":
        headers |= UPGRADE
    async with jupyter.request(verb, path, auth=auth, headers=headers, allow_redirects=False) as answer:
        return int(answer.status)


def test_the_routes_are_the_ones_we_know() -> None:
    assert {path for path, _ in ROUTES} == set(EXAMPLES.values())
    gateway = {verb for path, verb in ROUTES if path == EXAMPLES["/bacalhau/.*"]}
    assert gateway == {"GET", "PUT", "POST", "DELETE", "OPTIONS"}


def patterns(router: Any) -> Iterator[str]:
    """Yield the pattern of every route that Tornado really has."""
    for rule in router.rules:
        if hasattr(rule.target, "rules"):
            yield from patterns(rule.target)
        elif isinstance(rule.matcher, PathMatches):
            yield rule.matcher.regex.pattern


async def test_jupyter_serves_no_other_route_of_ours(jupyter: Jupyter) -> None:
    base = jupyter.base_url.rstrip("/")
    ours = {pattern for pattern in patterns(jupyter.app.web_app.default_router) if "bacalhau" in pattern}
    known = {f"{base}{pattern}$" for pattern, _ in default_handlers}
    assert known <= ours
    static = {pattern for pattern in ours - known if pattern.startswith(f"{base}/static/")}
    assert ours - known == static, "a route that the tests below don't call"


async def test_nobody_gets_anything_without_a_token(jupyter: Jupyter, cluster: Cluster) -> None:
    answers = {route: await call(jupyter, *route, auth=False) for route in GUARDED}
    assert set(answers.values()) <= {401, 403}, answers
    wrong = {route: await call(jupyter, *route, auth=False, Authorization="token no") for route in GUARDED}
    assert set(wrong.values()) <= {401, 403}, wrong
    assert cluster.requests == []


async def test_a_denying_authorizer_denies_every_verb(
    start_jupyter: Starter, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, recorder: type[Recorder]
) -> None:
    monkeypatch.setenv("BACALHAU_API_PORT", str(cluster.port))
    jupyter = await start_jupyter(ServerApp={"authorizer_class": recorder})
    answers = {route: await call(jupyter, *route, auth=True) for route in GUARDED}
    assert set(answers.values()) == {403}, answers
    assert len(recorder.asked) == len(GUARDED)
    assert {resource for _, resource in recorder.asked} == {"bacalhau"}
    assert cluster.requests == []


async def test_users_with_read_permission_can_neither_write_nor_execute(
    start_jupyter: Starter, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, recorder: type[Recorder]
) -> None:
    monkeypatch.setenv("BACALHAU_API_PORT", str(cluster.port))
    recorder.allowed = {"read"}
    jupyter = await start_jupyter(ServerApp={"authorizer_class": recorder})
    assert await call(jupyter, "/api/v1/orchestrator/jobs", "GET", auth=True) == 200
    for path, verb in (
        ("/api/v1/orchestrator/jobs", "PUT"),
        ("/api/v1/orchestrator/jobs", "POST"),
        ("/api/v1/orchestrator/jobs/j-1/rerun", "PUT"),
        ("/api/v1/orchestrator/jobs/j-1", "DELETE"),
        ("/api/v1/orchestrator/nodes/n-1", "PUT"),
    ):
        assert await call(jupyter, path, verb, auth=True) == 403
    assert [action for action, _ in recorder.asked] == ["read", *["execute"] * 3, "write", "write"]
    assert [request.method for request in cluster.requests] == ["GET"]
    # Streams are for readers.
    with pytest.raises(aiohttp.WSServerHandshakeError):
        recorder.allowed = set()
        await jupyter.ws("/api/v1/orchestrator/events")


async def test_preflights_are_answered_by_jupyter_alone(jupyter: Jupyter, cluster: Cluster) -> None:
    for path, verb in ROUTES:
        if verb == "OPTIONS":
            async with jupyter.request("OPTIONS", path, auth=False) as answer:
                assert await answer.read() == b""
    assert cluster.requests == []


async def test_a_browser_session_needs_the_xsrf_header_to_change_anything(
    jupyter: Jupyter, cluster: Cluster
) -> None:
    async with jupyter.session.get(
        f"http://127.0.0.1:{jupyter.port}{jupyter.base_url}api/status?token={TOKEN}"
    ) as answer:
        assert answer.status == 200
        jar = {name: morsel.value for name, morsel in answer.cookies.items()}
    jar["_xsrf"] = "2|12345678|00000000000000000000000000000000|1700000000"
    cookie = "; ".join(f"{name}={value}" for name, value in jar.items())
    origin = {"Cookie": cookie, "Referer": jupyter.url("/lab")}
    for verb in ("PUT", "POST", "DELETE"):
        assert await call(jupyter, "/api/v1/orchestrator/jobs/j-1", verb, auth=False, **origin) == 403
    assert cluster.requests == []
    with_header = origin | {"X-XSRFToken": jar["_xsrf"]}
    assert await call(jupyter, "/api/v1/orchestrator/jobs", "PUT", auth=False, **with_header) == 200
    assert await call(jupyter, "/api/v1/orchestrator/jobs", "GET", auth=False, **origin) == 200
    foreign = {"Cookie": cookie, "Origin": "http://evil.example", "X-XSRFToken": jar["_xsrf"]}
    assert await call(jupyter, "/api/v1/orchestrator/jobs", "PUT", auth=False, **foreign) in (403, 404)
    assert await call(jupyter, "/api/v1/orchestrator/jobs", "GET", auth=False, **foreign) in (403, 404)
