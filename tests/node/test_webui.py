"""The web page on a real node: logins, allowed origins, and the security headers for browsers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import CookieJar, web

from bacalhau_jupyter.api.page.sessions import LINK_S, SESSION_S, Sessions
from bacalhau_jupyter.api.page.webui import LOGIN, LOGOUT, OPEN, SESSION
from bacalhau_jupyter.api.page.webui import LOGIN_GUESSES as GUESSES
from bacalhau_jupyter.auth.guesses import GUESS_WINDOW_S, GuessLimit
from bacalhau_jupyter.auth.principals import OWNER
from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.models.records.environments import PATH as ENVIRONMENTS
from bacalhau_jupyter.models.records.packages import PATH as PACKAGES
from bacalhau_jupyter.node.doors import webui
from bacalhau_jupyter.node.node import Node
from tests.clock import ManualClock
from tests.node.test_node import noop
from tests.services.node import running_node
from tests.services.node_fixtures import NodeFactory
from tests.services.waiting import found

MakeConfig = Callable[..., Config]
JOBS = "/api/v1/orchestrator/jobs"
EVENTS = "/api/v1/orchestrator/events"


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A built front end, as the build leaves it."""
    directory = tmp_path / "webui"
    (directory / "assets").mkdir(parents=True)
    (directory / "index.html").write_text("<!doctype html><script src='assets/app.js'></script>")
    (directory / "assets" / "app.js").write_text("// app")
    (directory / ".secret").write_text("no")
    (tmp_path / "outside.txt").write_text("no")
    (directory / "link.txt").symlink_to(tmp_path / "outside.txt")
    # The node takes the directory of the installed package.
    monkeypatch.setattr(webui.start_webui, "__kwdefaults__", {"built": directory})
    return directory


@asynccontextmanager
async def page(config: Config) -> AsyncIterator[tuple[Node, str, aiohttp.ClientSession]]:
    async with (
        running_node(config) as node,
        aiohttp.ClientSession(cookie_jar=CookieJar(unsafe=True)) as session,
    ):
        assert node.page is not None
        yield node, node.page.url, session


@pytest.fixture
def ui_config(node_config: MakeConfig) -> Config:
    return node_config(WebUI__Enabled=True, WebUI__Listen="127.0.0.1:0")


async def log_in(session: aiohttp.ClientSession, url: str, **body: str) -> int:
    async with session.post(url + LOGIN, json=body, headers={"Origin": url}) as answer:
        return answer.status


def routes_of(node: Node) -> list[tuple[str, str]]:
    """Return every method and path of the API and of the page."""
    from bacalhau_jupyter.api.app import build_app

    routes = []
    app: web.Application = build_app(node.page._ui._services)  # type: ignore[union-attr]
    for route in app.router.routes():
        assert route.resource is not None
        routes.append((route.method, re.sub(r"\{[^}]+\}", "x-1", route.resource.canonical)))
    own = [("GET", "/"), ("GET", "/assets/app.js"), ("GET", SESSION), ("POST", LOGOUT), ("GET", "/nothing")]
    return routes + own


async def test_nobody_gets_anything_without_a_login(built: Path, ui_config: Config) -> None:
    async with page(ui_config) as (node, url, session):
        routes = routes_of(node)
        assert len(routes) > 25
        answers = {}
        for method, path in routes:
            headers = {} if method in ("GET", "HEAD") else {"Origin": url}
            async with session.request(method, url + path, headers=headers, allow_redirects=False) as answer:
                answers[method, path] = answer.status
        assert set(answers.values()) == {401}, answers
        # A person is shown the login instead; a wrong key, a bearer of nothing and a dead cookie change nothing.
        html = {"Accept": "text/html"}
        async with session.get(url + "/", headers=html, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (302, LOGIN)
        for headers in (
            {"Authorization": "Bearer wrong"},
            {"Cookie": f"bacalhau-session-{url.rpartition(':')[2]}=dead"},
        ):
            async with session.get(url + JOBS, headers=headers) as answer:
                assert answer.status == 401
        for path in OPEN:
            async with session.get(url + path) as answer:
                assert answer.status == 200
                assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


async def test_the_key_opens_a_session_that_logging_out_ends(built: Path, ui_config: Config) -> None:
    async with page(ui_config) as (node, url, session):
        async with session.post(url + LOGIN, json={"key": node.key}, headers={"Origin": url}) as answer:
            assert answer.status == 200
            cookie = answer.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert node.key not in cookie
        async with session.get(url + "/") as answer:
            assert "assets/app.js" in await answer.text()
            policy = answer.headers["Content-Security-Policy"]
        assert "script-src 'self';" in policy
        assert "frame-ancestors 'none'" in policy
        async with session.get(url + JOBS) as answer:
            assert answer.status == 200
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert "sandbox" in answer.headers["Content-Security-Policy"]
        async with session.put(url + JOBS, json=noop(), headers={"Origin": url}) as answer:
            assert answer.status == 200, await answer.text()
        held = {morsel.key: morsel.value for morsel in session.cookie_jar}
        # The cookie is good on this listener only.
        foreign = {"Origin": url}
        async with (
            aiohttp.ClientSession(cookies=held) as other,
            other.get(node.url + JOBS, headers=foreign) as answer,
        ):
            assert answer.status == 401
        async with session.post(url + LOGOUT, headers={"Origin": url}) as answer:
            assert answer.status == 200
        async with aiohttp.ClientSession(cookies=held) as other, other.get(url + JOBS) as answer:
            assert answer.status == 401


async def test_a_page_registers_no_packages(built: Path, ui_config: Config) -> None:
    async with page(ui_config) as (node, url, session):
        assert await log_in(session, url, key=node.key) == 200
        for headers in ({}, {"Authorization": f"Bearer {node.key}"}):
            async with session.post(
                url + PACKAGES, json={"Request": "ab"}, headers={"Origin": url, **headers}
            ) as answer:
                assert answer.status == 404, headers
        assert not found(node.repo.path, "packages/drafts/*")


async def test_a_page_registers_no_python_environment(built: Path, ui_config: Config) -> None:
    async with page(ui_config) as (node, url, session):
        assert await log_in(session, url, key=node.key) == 200
        for headers in ({}, {"Authorization": f"Bearer {node.key}"}):
            body = {"Prefixes": ["/usr"]}
            async with session.post(
                url + ENVIRONMENTS, json=body, headers={"Origin": url, **headers}
            ) as answer:
                assert answer.status == 404, headers
        kept = [file.read_text() for file in found(node.repo.path, "environments/*.json")]
        assert all('"Prefixes":["/usr"]' not in text for text in kept)


async def test_a_one_time_link_works_once(built: Path, ui_config: Config) -> None:
    async with page(ui_config) as (node, url, session):
        assert node.page is not None
        link = node.page.login_link()
        address, _, token = link.partition("#token=")
        assert address == url + LOGIN
        assert await log_in(session, url, token=token) == 200
        async with session.get(url + SESSION) as answer:
            assert answer.status == 200
        assert await log_in(session, url, token=token) == 401


async def test_bad_logins_are_slowed_down_and_then_the_right_key_too(built: Path, ui_config: Config) -> None:
    async with page(ui_config) as (node, url, session):
        answers = [await log_in(session, url, key="wrong") for _ in range(GUESSES)]
        assert answers == [401] * GUESSES
        async with session.post(url + LOGIN, json={"key": node.key}, headers={"Origin": url}) as answer:
            assert answer.status == 429
            assert 0 < int(answer.headers["Retry-After"]) <= GUESS_WINDOW_S + 1


async def test_other_sites_get_nothing_in_spite_of_the_cookie(built: Path, ui_config: Config) -> None:
    async with page(ui_config) as (node, url, session):
        assert await log_in(session, url, key=node.key) == 200
        hostile: list[dict[str, str]] = [
            {"Origin": "http://evil.example"},
            {"Origin": "null"},
            {"Origin": url + "0"},
            {"Origin": url.replace("http:", "https:")},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Host": "evil.example"},
            {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
        ]
        for headers in hostile:
            for method in ("GET", "PUT", "POST", "DELETE"):
                async with session.request(method, url + JOBS, headers=headers, json={}) as answer:
                    assert answer.status == 403, (method, headers)
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await session.ws_connect(url + EVENTS, headers=headers)
            async with session.post(url + LOGIN, json={"key": node.key}, headers=headers) as answer:
                assert answer.status == 403, headers
        # A change must prove its origin; a link from elsewhere may open the page.
        for method in ("PUT", "POST", "DELETE"):
            async with session.request(method, url + JOBS, json={}) as answer:
                assert answer.status == 403
        link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
        async with session.get(url + "/", headers=link) as answer:
            assert answer.status == 200


async def test_events_and_logs_come_through_it(built: Path, ui_config: Config) -> None:
    async with page(ui_config) as (node, url, session):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(url + EVENTS, headers={"Origin": url})
        assert refused.value.status == 401
        assert await log_in(session, url, key=node.key) == 200
        async with session.ws_connect(url + EVENTS, headers={"Origin": url}) as events:
            async with session.put(url + JOBS, json=noop(), headers={"Origin": url}) as answer:
                job = (await answer.json())["JobID"]
            states: list[str] = []
            while "Completed" not in states:
                event = await asyncio.wait_for(events.receive_json(), 60)
                assert event["job"] == job
                states.append(event["state"])
        async with session.ws_connect(f"{url}{JOBS}/{job}/logs", headers={"Origin": url}) as logs:
            assert (await asyncio.wait_for(logs.receive_json(), 30))["value"]["Line"] == "hi\n"


async def test_only_built_files_are_served(built: Path, ui_config: Config) -> None:
    from yarl import URL

    async with page(ui_config) as (node, url, session):
        assert await log_in(session, url, key=node.key) == 200
        async with session.get(url + "/assets/app.js") as answer:
            # Jupyter's packages change the table of types for the whole process, to the older name.
            assert answer.content_type in ("text/javascript", "application/javascript")
        for path in (
            "/../outside.txt",
            "/%2e%2e/outside.txt",
            "/assets/..%2f..%2foutside.txt",
            "/.secret",
            "/link.txt",
            "/assets",
            "/assets/",
            "//etc/passwd",
            "/assets%00/app.js",
        ):
            async with session.get(URL(url + path, encoded=True)) as answer:
                assert answer.status in (400, 404), path
                assert (await answer.text()).strip() != "no"


async def test_a_page_that_was_not_built_answers_with_that_reason(
    ui_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webui.start_webui, "__kwdefaults__", {"built": tmp_path / "none"})
    async with page(ui_config) as (node, url, session):
        assert await log_in(session, url, key=node.key) == 200
        async with session.get(url + "/") as answer:
            assert (answer.status, "not built" in await answer.text()) == (200, True)


def test_serve_prints_a_link_that_is_nowhere_else(node_factory: NodeFactory) -> None:
    served = node_factory("-c", "WebUI.Enabled", "-c", "WebUI.Listen=127.0.0.1:0")
    link = re.search(r"http://127\.0\.0\.1:\d+/login#token=(\S+)", _until_greeted(served))
    assert link is not None
    served.stop()
    token = link[1]
    assert len(token) > 30
    files = [file for file in served.repo.path.rglob("*") if file.is_file()]
    assert not [file for file in files if token.encode() in file.read_bytes()]


def _until_greeted(served: Any) -> str:
    import time

    deadline = time.monotonic() + 60
    while "#token=" not in (text := served.tail()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return str(text)


@pytest.mark.parametrize("listen", ["8438", "127.0.0.1:x", "127.0.0.1:70000", "", ":-1"])
def test_an_unusable_address_is_named(node_config: MakeConfig, listen: str) -> None:
    with pytest.raises(ConfigurationError, match=r"WebUI\.Listen"):
        webui.listen_address(node_config(WebUI__Listen=listen))


async def test_a_port_in_use_stops_a_node_that_was_asked_for_the_page(node_config: MakeConfig) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        config = node_config(WebUI__Enabled=True, WebUI__Listen=f"127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(ConfigurationError, match="web page can't be served"):
            async with running_node(config):
                pass
        async with running_node(config, embedded=True) as node:
            assert node.page is None


def test_sessions_and_links_end() -> None:
    clock = ManualClock()
    sessions = Sessions(clock)
    secret, token = sessions.open(OWNER), sessions.one_time_token()
    clock.advance(SESSION_S - 1)
    assert sessions.principal(secret) == OWNER
    clock.advance(SESSION_S - 1)
    assert sessions.principal(secret) == OWNER, "each use keeps it open"
    clock.advance(SESSION_S + 1)
    assert sessions.principal(secret) is None
    assert not sessions.redeem(token)
    fresh = sessions.one_time_token()
    clock.advance(LINK_S - 1)
    assert sessions.redeem(fresh)
    assert sessions.principal("") is None


def test_guesses_are_forgotten_after_a_while() -> None:
    clock = ManualClock()
    limit = GuessLimit(clock, GUESSES, in_all=10 * GUESSES)
    for _ in range(GUESSES):
        assert limit.wait_s("a") == 0
        limit.failed("a")
    assert limit.wait_s("a") > 0
    assert limit.wait_s("b") == 0
    for number in range(10 * GUESSES):
        limit.failed(f"host-{number}")
    assert limit.wait_s("c") > 0, "many addresses together are slowed down, too"
    clock.advance(GUESS_WINDOW_S + 1)
    assert limit.wait_s("a") == limit.wait_s("c") == 0


async def test_what_a_stranger_sends_the_page_is_small_and_its_guesses_are_few(
    built: Path, ui_config: Config
) -> None:
    async with page(ui_config) as (node, url, session):
        long = {"Origin": url, "Content-Type": "application/json"}
        async with session.post(url + LOGIN, data=b" " * 100_000, headers=long) as answer:
            assert answer.status == 400
        statuses = []
        for _ in range(25):
            async with session.get(url + JOBS, headers={"Authorization": "Bearer guess"}) as answer:
                statuses.append(answer.status)
        assert set(statuses[:20]) == {401}
        assert set(statuses[20:]) == {429}
        assert await log_in(session, url, key=node.key) == 200
        async with session.get(url + JOBS) as answer:
            assert answer.status == 200
