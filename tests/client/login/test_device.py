"""The device flow against a provider that answers what the test wrote down, and time that stands still."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bacalhau_jupyter.client.login import device
from bacalhau_jupyter.client.login.device import FAILURES, DeviceLogin
from bacalhau_jupyter.client.login.provider import Provider
from bacalhau_jupyter.models.errors import BacalhauError, NetworkFailure, TimedOut, Unauthorized
from tests.clock import ManualClock

Answer = tuple[int, Any]
PENDING: Answer = (400, {"error": "authorization_pending"})
SLOW_DOWN: Answer = (400, {"error": "slow_down"})
TOKEN: Answer = (200, {"access_token": "a.b.c", "token_type": "Bearer"})
CODE = {
    "device_code": "secret",
    "user_code": "WDJB-MJHT",
    "verification_uri": "https://op.test/device",
    "verification_uri_complete": "https://op.test/device?user_code=WDJB-MJHT",
    "expires_in": 600,
}


class Script:
    """A provider that gives its answers in order, and keeps the forms."""

    def __init__(self) -> None:
        self.code: Answer = (200, CODE)
        self.answers: list[Answer] = []
        self.forms: list[tuple[str, dict[str, str]]] = []
        self.pauses: list[float] = []
        self.clock = ManualClock()
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        self.forms.append(
            (request.path, {name: str(value) for name, value in (await request.post()).items()})
        )
        status, body = self.code if request.path == "/device" else self.answers.pop(0)
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Location": f"{self.url}/elsewhere"} if status == 302 else {}
        return web.Response(status=status, body=data, headers=headers)

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.clock.advance(seconds)

    def provider(self, **changes: Any) -> Provider:
        known = Provider(
            "Test", "bacalhau", f"{self.url}/device", f"{self.url}/token", ("openid", "api"), "aud"
        )
        return known if not changes else Provider(**{**vars(known), **changes})

    async def log_in(self, **changes: Any) -> str:
        async with DeviceLogin(self.provider(**changes), clock=self.clock, sleep=self.sleep) as login:
            return await login.token(await login.begin())


@pytest.fixture
async def script() -> AsyncIterator[Script]:
    written = Script()
    app = web.Application()
    app.router.add_post("/{path:.*}", written.handle)
    async with TestServer(app) as server:
        written.url = str(server.make_url("")).rstrip("/")
        yield written


async def test_the_requests_are_those_of_the_official_client(script) -> None:
    script.answers = [TOKEN]
    assert await script.log_in() == "a.b.c"
    assert script.forms == [
        ("/device", {"client_id": "bacalhau", "scope": "openid api", "audience": "aud"}),
        (
            "/token",
            {
                "client_id": "bacalhau",
                "device_code": "secret",
                "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
                "scope": "openid api",
            },
        ),
    ]


@pytest.mark.parametrize(
    ("provider_says", "node_says", "pauses"),
    [
        (None, 0, [5, 5, 10, 10]),
        (2, 0, [2, 2, 7, 7]),
        ("3", 9, [3, 3, 8, 8]),
        (None, 9, [9, 9, 14, 14]),
        (0, 0, [5, 5, 10, 10]),
        (-7, 0, [5, 5, 10, 10]),
        (1e400, 0, [5, 5, 10, 10]),
        (99_999, 0, [60, 60, 60, 60]),
    ],
)
async def test_questions_are_as_far_apart_as_the_provider_asks(
    script, provider_says, node_says, pauses
) -> None:
    script.code = (200, {**CODE, "interval": provider_says})
    script.answers = [PENDING, SLOW_DOWN, PENDING, TOKEN]
    await script.log_in(interval_s=node_says)
    assert script.pauses == pauses


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (
            (400, {"error": "access_denied", "error_description": "End-User aborted interaction"}),
            Unauthorized,
            "access_denied: End-User aborted interaction",
        ),
        ((400, {"error": "expired_token"}), TimedOut, "not confirmed in time"),
        ((400, {"error": "invalid_grant", "error_description": 7}), Unauthorized, "invalid_grant"),
        ((401, {}), Unauthorized, "HTTP 401"),
        ((400, {"error": "a\x1b[31m\nb"}), Unauthorized, "SSO login flow: a"),
        ((200, {}), NetworkFailure, "no access token"),
        ((200, {"access_token": "a\r\nX: y"}), NetworkFailure, "no access token"),
    ],
)
async def test_a_refusal_is_one_sentence_with_the_provider_s_words(script, answer, kind, words) -> None:
    script.answers = [PENDING, answer]
    with pytest.raises(kind, match="unable to finish SSO login flow") as refusal:
        await script.log_in()
    assert words in refusal.value.message
    assert refusal.value.message.isprintable()


async def test_a_code_that_nobody_confirms_ends_when_it_expires(script) -> None:
    script.code = (200, {**CODE, "expires_in": 12})
    script.answers = [PENDING, PENDING]
    with pytest.raises(TimedOut):
        await script.log_in()
    assert script.pauses == [5, 5, 5]


NONSENSE: list[Answer] = [
    (500, {"error": "server_error"}),
    (200, b"<html>"),
    (200, []),
    (200, b"[" * 100_000),
    (302, {}),
    (200, b" " * (device.SIZE_LIMIT + 1)),
]


@pytest.mark.parametrize("nonsense", NONSENSE, ids=["500", "html", "list", "deep", "redirect", "huge"])
async def test_nonsense_in_between_is_borne_for_a_while(script, nonsense) -> None:
    script.answers = [nonsense] * (FAILURES - 1) + [PENDING] + [nonsense] * (FAILURES - 1) + [TOKEN]
    assert await script.log_in() == "a.b.c"
    script.answers = [nonsense] * FAILURES
    with pytest.raises(NetworkFailure, match="unable to finish SSO login flow: the identity provider"):
        await script.log_in()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((401, {"error": "invalid_client", "error_description": "client is unknown"}), "client is unknown"),
        ((500, b"oops"), "HTTP 500"),
        ((200, b"<html>"), "HTTP 200"),
        ((200, {}), "no usable code"),
        ((200, {**CODE, "user_code": "a\x1b[2J"}), "no usable code"),
        ((200, {**CODE, "user_code": "x" * 65}), "no usable code"),
        ((200, {**CODE, "verification_uri": "javascript:alert(1)"}), "no page to open"),
        ((200, {**CODE, "verification_uri": "https://op.test/ x"}), "no page to open"),
    ],
)
async def test_without_a_code_the_login_does_not_begin(script, answer, words) -> None:
    script.code = answer
    with pytest.raises(BacalhauError, match="unable to initiate SSO login flow") as refusal:
        await script.log_in()
    assert words in refusal.value.message


async def test_a_page_that_is_no_web_page_is_not_shown_as_the_one_that_knows_the_code(script) -> None:
    script.code = (200, {**CODE, "verification_uri_complete": "file:///etc/passwd"})
    async with DeviceLogin(script.provider()) as login:
        code = await login.begin()
    assert (code.url, code.complete_url) == (CODE["verification_uri"], "")
    assert "secret" not in repr(code)


async def test_a_provider_that_is_down_is_said_to_be(script) -> None:
    with pytest.raises(
        NetworkFailure, match=r"can't be reached at http://127\.0\.0\.1:1/device: Connection refused$"
    ):
        await script.log_in(device_url="http://127.0.0.1:1/device")


def section(**changes: Any) -> dict[str, Any]:
    whole = {
        "ProviderID": "op",
        "ProviderName": "Test",
        "DeviceClientID": "c",
        "TokenEndpoint": "https://op.test/token",
        "DeviceAuthorizationEndpoint": "https://op.test/device",
    }
    return {"Config": whole | changes}


@pytest.mark.parametrize(
    "answer", [{}, {"Config": {}}, {"Config": []}, section(ProviderID=""), section(ProviderName=7)]
)
def test_a_cluster_without_provider_is_told_from_one_with_it(answer) -> None:
    assert Provider.of(answer) is None


@pytest.mark.parametrize(
    "changes", [{"TokenEndpoint": ""}, {"TokenEndpoint": "ftp://op.test/"}, {"DeviceClientID": ["c"]}]
)
def test_a_provider_by_halves_is_refused_with_the_name_of_what_is_missing(changes) -> None:
    with pytest.raises(BacalhauError, match=next(iter(changes))):
        Provider.of(section(**changes))
