from __future__ import annotations

import asyncio
import base64
import io
import json
from pathlib import Path

import pytest

from bacalhau_jupyter.api.http import middleware
from bacalhau_jupyter.api.http.binding import BODY_LIMIT
from tests.api.conftest import Api
from tests.services.waiting import until

CAPTURES = Path(__file__).parents[1] / "data" / "rest-captures"
JOBS = "/api/v1/orchestrator/jobs"
ANONYMOUS = {"Authorization": ""}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/nowhere"),
        ("GET", "/api/v1/id"),
        ("GET", "/api/v1/requester/list"),
        ("GET", "/swagger/index.html"),
        ("HEAD", "/api/v1/agent/alive"),
        ("OPTIONS", JOBS),
        ("PATCH", JOBS),
        ("DELETE", "/api/v1/agent/alive"),
        ("GET", JOBS + "/"),
        ("GET", "/api/v1/agent/alive/"),
        ("PUT", f"{JOBS}/j-1"),
    ],
)
async def test_what_is_not_routed_gets_the_404_envelope_never_405(api: Api, method: str, path: str) -> None:
    async with api.client.request(method, path) as answer:
        assert answer.status == 404
        if method != "HEAD":
            assert await answer.json() == json.loads((CAPTURES / "err_route_404.json").read_bytes())
    assert api.orchestrator.calls == []


@pytest.mark.parametrize(
    ("body", "content_type", "status", "message"),
    [
        (b'{"Job": 1}', "application/json", 400, "Job"),
        (b'{"Job": {"Count": "x"}}', "application/json", 400, "Job.Count"),
        (b'{"Job": {"Tasks": {}}}', "application/json", 400, "Job.Tasks"),
        (b'{"Job": ', "application/json", 400, "not valid JSON"),
        (b"\xff\xfe", "application/json", 400, "not valid JSON"),
        (b"[]", "application/json", 400, ""),
        (b"[" * 100_000, "application/json", 400, ""),
        (b'{"Job":{"Tasks":[{"Engine":{"Params":' + b'{"a":' * 50_000, "application/json", 400, ""),
        (
            b'{"Job":{"Tasks":[' + b"{}," * 600_000 + b"{}]}}",
            "application/json",
            400,
            "more than 50000 objects",
        ),
        (
            b'{"Job":{"Tasks":[' + b"1," * 120_000 + b"1]}}",
            "application/json",
            400,
            "more than 100000 members",
        ),
        (
            b'{"Job":{"Type":"batch","Tasks":['
            + b",".join([b'{"Name":"main","Engine":{"Type":"noop"}}'] * 90_000)
            + b"]}}",
            "application/json",
            400,
            "more than 50000 objects",
        ),
        (b'{"Job":{"Meta":' + b"[" * 150 + b"]" * 150 + b"}}", "application/json", 400, "nested too deeply"),
        (b"", "application/json", 400, "empty/nil job"),
        (b"null", "application/json", 400, ""),
        (b"{}", "application/json", 400, "empty/nil job"),
        (b'{"Job": {}}', "text/plain", 400, "code=415, message=Unsupported Media Type"),
        (
            b'{"Job": {}}',
            "application/x-www-form-urlencoded",
            400,
            "code=415, message=Unsupported Media Type",
        ),
        (b" " * (BODY_LIMIT + 1), "application/json", 413, "Request Entity Too Large"),
    ],
)
async def test_a_body_that_makes_no_sense_is_refused_in_one_sentence(
    api: Api, body: bytes, content_type: str, status: int, message: str
) -> None:
    async with api.client.put(JOBS, data=io.BytesIO(body), headers={"Content-Type": content_type}) as answer:
        assert answer.status == status
        envelope = await answer.json()
    assert message in envelope["Message"]
    assert envelope["Message"]
    assert "Traceback" not in envelope["Message"]
    assert envelope["Status"] == status
    assert api.orchestrator.calls == []


async def test_a_chunked_body_over_the_limit_is_refused_too(api: Api) -> None:
    async def chunks():
        for _ in range(12):
            yield b" " * 1024 * 1024

    async with api.client.put(JOBS, data=chunks(), headers={"Content-Type": "application/json"}) as answer:
        assert answer.status == 413


@pytest.mark.parametrize(
    "query", ["limit=x", "limit=-1", "limit=1.5", "limit=99999999999999999999", "reverse=maybe"]
)
async def test_a_query_value_of_the_wrong_kind_is_a_400(api: Api, query: str) -> None:
    async with api.client.get(f"{JOBS}?{query}") as answer:
        assert answer.status == 400
        body = await answer.json()
    assert "invalid syntax" in body["Message"] or "out of range" in body["Message"]
    if query == "limit=x":
        assert body == json.loads((CAPTURES / "err_limit_400.json").read_bytes())


async def test_an_internal_error_is_logged_and_its_details_are_not_sent(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    api.orchestrator.fail = ZeroDivisionError("secret detail")
    async with api.client.get(JOBS) as answer:
        assert answer.status == 500
        assert await answer.json() == json.loads((CAPTURES / "err_order_by_500.json").read_bytes())
    assert "secret detail" in caplog.text


async def test_a_caller_that_hangs_up_is_no_fault_in_the_log(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    stuck = api.orchestrator.stuck = asyncio.Event()
    _, writer = await asyncio.open_connection("127.0.0.1", api.port)
    key = str(api.client.headers["Authorization"])
    writer.write(f"GET {JOBS} HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\n\r\n".encode())
    await until(lambda: bool(api.orchestrator.calls))
    writer.close()
    await writer.wait_closed()
    # By its answer, the end of the other connection has been seen, too.
    async with api.client.get("/api/v1/agent/alive") as answer:
        assert answer.status == 200
    api.orchestrator.fail = ConnectionResetError("Connection lost")
    stuck.set()
    async with api.client.get("/api/v1/agent/alive") as answer:
        assert answer.status == 200
    assert "Connection lost" not in caplog.text


async def test_a_connection_that_breaks_behind_us_is_told(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    api.orchestrator.fail = ConnectionResetError("the server behind us")
    async with api.client.get(JOBS) as answer:
        assert answer.status == 500
        assert "behind us" not in await answer.text()
    assert "behind us" in caplog.text


async def test_a_handler_that_hangs_is_given_up(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "HANDLER_TIMEOUT_S", 0.05)
    api.orchestrator.stuck = asyncio.Event()
    async with api.client.get(JOBS) as answer:
        assert answer.status == 503
        assert await answer.text() == "Server Timeout!"
        assert answer.headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize(
    "version", ["", "v0.0.0", "v0.0.0-xxxxxxx", "v1.4.0", "v1.9.3", "v2.0.0-rc1", "1.5.0"]
)
async def test_clients_from_1_4_on_pass_the_version_gate(api: Api, version: str) -> None:
    async with api.client.get(JOBS, headers={"X-Bacalhau-Git-Version": version}) as answer:
        assert answer.status == 200


async def test_older_and_unreadable_client_versions_are_refused_in_the_official_form(api: Api) -> None:
    for version in ("v1.3.0", "v1.4.0-rc1"):
        async with api.client.get(JOBS, headers={"X-Bacalhau-Git-Version": version}) as answer:
            assert answer.status == 403
            assert await answer.json() == {
                "Error": "Client version is outdated. Update your client",
                "MinVersion": "1.4.0",
                "ClientVersion": version,
                "ServerVersion": "v1.9.3",
            }
    async with api.client.get(JOBS, headers={"X-Bacalhau-Git-Version": "junk"}) as answer:
        assert answer.status == 400
        assert await answer.json() == {"Error": "Invalid client version junk"}


@pytest.mark.parametrize(
    ("path", "target"),
    [("/", "agent/version"), ("/version", "agent/version"), ("/livez", "agent/alive")],
)
async def test_the_root_redirects(api: Api, path: str, target: str) -> None:
    async with api.client.get(path, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (301, f"/api/v1/{target}")


async def test_answers_carry_the_official_headers(api: Api) -> None:
    async with api.client.get("/api/v1/agent/alive") as answer:
        assert await answer.read() == b'{"Status":"OK"}\n'
        headers = answer.headers
    assert headers["X-Bacalhau-Git-Version"] == "v1.9.3"
    assert headers["X-Bacalhau-Build-Date"] == "1970-01-01 00:00:00 +0000 UTC"
    assert headers["Content-Type"] == "application/json"
    assert len(headers["X-Request-Id"]) == 32
    assert "Access-Control-Allow-Origin" not in headers


async def test_strangers_may_only_ask_what_this_is_and_how_to_authenticate(api: Api) -> None:
    open_paths = ["agent/alive", "agent/version", "agent/authconfig", "auth", "auth/clientkey"]
    closed = [
        "agent/node",
        "agent/config",
        "agent/debug",
        "agent/lease",
        "orchestrator/jobs",
        "orchestrator/nodes",
    ]
    closed += [
        "orchestrator/jobs/j-1/logs",
        "orchestrator/jobs/j-1/results",
        "orchestrator/events",
        "nowhere",
    ]
    for path in open_paths:
        async with api.client.get(f"/api/v1/{path}", headers=ANONYMOUS) as answer:
            assert answer.status == 200, path
    for path in closed:
        async with api.client.get(f"/api/v1/{path}", headers=ANONYMOUS) as answer:
            assert answer.status == 401, path
            body = await answer.json()
            assert (body["Message"], body["Status"]) == ("Request Unauthorized", 401)
            assert not any(name.startswith("X-Bacalhau") for name in answer.headers)
    assert api.orchestrator.calls == []


async def test_the_challenge_gives_strangers_no_token_and_never_a_200(api: Api) -> None:
    signed = base64.b64encode(json.dumps({"PhraseSignature": "eA==", "PublicKey": "eA=="}).encode()).decode()
    async with api.client.get("/api/v1/auth") as answer:
        methods = (await answer.json())["Methods"]
        assert methods == {"clientkey": {"type": "challenge", "params": {"InputPhrase": "bi10ZXN0"}}}
    async with api.client.post("/api/v1/auth/clientkey", json={"MethodData": signed}) as answer:
        assert answer.status == 401
        authentication = (await answer.json())["Authentication"]
        assert authentication["success"] is False
        assert "token" not in authentication
    for data in ("%%%", base64.b64encode(b"[]").decode(), base64.b64encode(b'{"PublicKey":1}').decode()):
        async with api.client.post("/api/v1/auth/clientkey", json={"MethodData": data}) as answer:
            assert answer.status == 400
    async with api.client.get("/api/v1/auth/ClientKey") as answer:
        assert answer.status == 404
