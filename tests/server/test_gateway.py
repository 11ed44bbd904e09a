"""Ordinary requests through the gateway of a real Jupyter server."""

from __future__ import annotations

import asyncio
import io
import json
import socket
from collections.abc import AsyncIterator
from functools import partial

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from tests.conformance import malformed
from tests.server.conftest import KEY, TOKEN, Cluster, Jupyter, Starter
from tests.services.waiting import settled, until

MB = 1024 * 1024
BUFFERED = 24 * MB
"""What the sockets between browser, gateway and cluster may hold by themselves (the kernel sizes them)."""


async def test_a_request_reaches_the_cluster_with_the_gateways_own_credential(
    jupyter: Jupyter, cluster: Cluster
) -> None:
    cookies = {"Cookie": "secret=1", "X-XSRFToken": "x", "Sec-Fetch-Site": "same-origin"}
    async with jupyter.get(
        f"/api/v1/orchestrator/jobs?limit=5&labels=a%3Db&token={TOKEN}", headers=cookies
    ) as answer:
        assert answer.status == 200
        body = await answer.json()
    assert body == {"path": "/api/v1/orchestrator/jobs?limit=5&labels=a%3Db", "method": "GET"}
    assert cluster.last.headers["Authorization"] == f"Bearer {KEY}"
    assert not {"Cookie", "X-XSRFToken", "Sec-Fetch-Site", "Origin"}.intersection(cluster.last.headers)


@pytest.mark.parametrize("base_url", ["/", "/user/x/", "/user/a%40b/"])
async def test_it_works_under_any_base_url(
    start_jupyter: Starter, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, base_url: str
) -> None:
    monkeypatch.setenv("BACALHAU_API_HOST", "127.0.0.1")
    monkeypatch.setenv("BACALHAU_API_PORT", str(cluster.port))
    jupyter = await start_jupyter(base_url)
    link = f"{cluster.url}/api/v1/compute/results/e-1.tar.gz?expires=1&signature=s"
    listed = {"Items": [{"Type": "urlDownload", "Params": {"URL": link}}]}
    cluster.answers["/api/v1/orchestrator/jobs/j-1/results"] = lambda _: _json(listed)
    async with jupyter.get("/api/v1/orchestrator/jobs/j-1/results") as answer:
        assert answer.status == 200
        led = (await answer.json())["Items"][0]["Params"]["URL"]
    assert led == f"{base_url}bacalhau/api/v1/compute/results/e-1.tar.gz?expires=1&signature=s"
    origin = URL(f"http://127.0.0.1:{jupyter.port}{led}", encoded=True)
    async with jupyter.session.get(origin, headers={"Authorization": f"token {TOKEN}"}) as answer:
        assert answer.status == 200
    assert cluster.last.raw_path == "/api/v1/compute/results/e-1.tar.gz?expires=1&signature=s"


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/%2e%2e/%2e%2e/metrics",
        "/api/v1/agent%2f..%2f..",
        "/api/v1/%252e%252e/x",
        "/api/v1/..;/metrics",
        "/api/v1/..%3b/metrics",
        "/api/v1/orchestrator/jobs;x",
        "/api/v2/x",
        "/x",
    ],
)
async def test_a_path_outside_the_api_reaches_nobody(jupyter: Jupyter, cluster: Cluster, path: str) -> None:
    async with jupyter.get(path) as answer:
        assert answer.status in (400, 404)
        envelope = json.loads(await answer.read())
    assert envelope["Component"] == "Gateway"
    assert envelope["Status"] == answer.status
    assert cluster.requests == []


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
async def test_python_environments_are_registered_through_it_by_nobody(
    jupyter: Jupyter, cluster: Cluster, method: str
) -> None:
    # The gateway is a program of the node's own user, so the node would take it from a page.
    async with jupyter.request(method, "/api/v1/agent/%65nvironments", json={"Prefixes": ["/usr"]}) as answer:
        assert answer.status == 403
        assert "registers no Python environments" in (await answer.json(content_type=None))["Message"]
    assert cluster.requests == []


async def test_bodies_of_any_size_arrive_as_they_were_sent(jupyter: Jupyter, cluster: Cluster) -> None:
    body = bytes(range(256)) * (9 * MB // 256)
    async with jupyter.request("PUT", "/api/v1/orchestrator/jobs", data=io.BytesIO(body)) as answer:
        assert answer.status == 200
    assert cluster.bodies == [body]
    assert cluster.last.headers["Content-Length"] == str(len(body))

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(body), MB):
            yield body[at : at + MB]

    async with jupyter.request("POST", "/api/v1/orchestrator/jobs", data=pieces()) as answer:
        assert answer.status == 200
    assert cluster.bodies == [body, body]
    async with jupyter.request("DELETE", "/api/v1/orchestrator/jobs/j-1", data=b'{"reason":"x"}') as answer:
        assert answer.status == 200
    assert cluster.bodies[-1] == b'{"reason":"x"}'


async def test_an_upload_that_the_cluster_refuses_gets_its_answer(jupyter: Jupyter, cluster: Cluster) -> None:
    async def refuse(_: web.Request) -> web.StreamResponse:
        return web.json_response({"Message": "too large"}, status=413)

    cluster.answers["/api/v1/orchestrator/jobs"] = refuse
    async with jupyter.request("PUT", "/api/v1/orchestrator/jobs", data=io.BytesIO(bytes(40 * MB))) as answer:
        assert answer.status == 413
        assert await answer.json() == {"Message": "too large"}


async def test_an_upload_that_the_cluster_does_not_read_holds_the_browser_back(
    jupyter: Jupyter, cluster: Cluster
) -> None:
    sent = 0
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def do_not_read(_: web.Request) -> web.StreamResponse:
        arrived.set()
        await go_on.wait()
        return web.json_response({})

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(66):
            yield bytes(MB)
            sent += MB

    cluster.answers["/api/v1/orchestrator/jobs"] = do_not_read
    upload = asyncio.create_task(_status(jupyter.request("PUT", "/api/v1/orchestrator/jobs", data=pieces())))
    await asyncio.wait_for(arrived.wait(), 60)
    assert await settled(lambda: sent) < BUFFERED
    go_on.set()
    assert await asyncio.wait_for(upload, 60) == 200


async def test_half_an_upload_does_not_arrive_as_a_whole_one(jupyter: Jupyter, cluster: Cluster) -> None:
    outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    begun = asyncio.Event()

    async def read(request: web.Request) -> web.StreamResponse:
        await request.content.readany()
        begun.set()
        try:
            await request.read()
            outcome.set_result("whole")
        except BaseException as error:
            outcome.set_result(type(error).__name__)
            raise
        return web.json_response({})

    cluster.answers["/api/v1/orchestrator/jobs"] = read
    for framing in ("Content-Length: 100000", "Transfer-Encoding: chunked"):
        outcome = asyncio.get_running_loop().create_future()
        begun.clear()
        _, writer = await asyncio.open_connection("127.0.0.1", jupyter.port)
        head = f"PUT {jupyter.base_url}bacalhau/api/v1/orchestrator/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        head += f"Authorization: token {TOKEN}\r\n{framing}\r\n\r\n"
        writer.write(head.encode() + b"5\r\nhello\r\n")
        await asyncio.wait_for(begun.wait(), 60)
        writer.close()
        assert await asyncio.wait_for(outcome, 60) != "whole"


async def test_a_slow_reader_holds_the_cluster_back(jupyter: Jupyter, cluster: Cluster) -> None:
    sent, total = 0, 66 * MB

    async def pour(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        answer = web.StreamResponse(
            headers={"Content-Type": "application/gzip", "Content-Length": str(total)}
        )
        await answer.prepare(request)
        while sent < total:
            await answer.write(bytes(64 * 1024))
            sent += 64 * 1024
        return answer

    cluster.answers["/api/v1/compute/results/e.tar.gz"] = pour
    async with jupyter.get("/api/v1/compute/results/e.tar.gz") as answer:
        assert answer.status == 200
        assert await settled(lambda: sent) < BUFFERED
        received = 0
        async for chunk in answer.content.iter_any():
            received += len(chunk)
    assert received == sent == total


async def test_the_cluster_is_let_go_when_the_browser_leaves(jupyter: Jupyter, cluster: Cluster) -> None:
    left = asyncio.Event()

    async def wait_for_ever(_: web.Request) -> web.StreamResponse:
        try:
            await asyncio.Event().wait()
        finally:
            left.set()
        return web.Response()

    async def pour_for_ever(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "application/gzip"})
        await answer.prepare(request)
        try:
            while True:
                await answer.write(bytes(64 * 1024))
        finally:
            left.set()

    for path, behave in (("/api/v1/a", wait_for_ever), ("/api/v1/b", pour_for_ever)):
        cluster.answers[path] = behave
        left.clear()
        task = asyncio.create_task(_status(jupyter.get(path), read=True))
        await until(partial(cluster.has_seen, path))
        task.cancel()
        await asyncio.wait_for(left.wait(), 60)


async def test_a_redirect_is_neither_followed_nor_passed(jupyter: Jupyter, cluster: Cluster) -> None:
    async def redirect(_: web.Request) -> web.StreamResponse:
        raise web.HTTPFound(f"{cluster.url}/api/v1/agent/config")

    cluster.answers["/api/v1/agent/alive"] = redirect
    async with jupyter.get("/api/v1/agent/alive", allow_redirects=False) as answer:
        assert answer.status == 502
        assert "Location" not in answer.headers
        assert "redirect" in (await answer.json())["Message"]
    assert [request.path for request in cluster.requests] == ["/api/v1/agent/alive"]


async def test_a_hostile_answer_can_do_nothing_in_a_page(jupyter: Jupyter, cluster: Cluster) -> None:
    async def page(_: web.Request) -> web.StreamResponse:
        hostile = {
            "Set-Cookie": "_xsrf=owned; Path=/",
            "Access-Control-Allow-Origin": "*",
            "Access-Control-Allow-Credentials": "true",
            "Content-Disposition": "inline",
            "Content-Security-Policy": "default-src *",
            "Refresh": "0; url=http://evil",
        }
        return web.Response(text="<script>alert(1)</script>", content_type="text/html", headers=hostile)

    for path in ("/api/v1/agent/alive", "/api/v1/compute/results/e.tar.gz"):
        cluster.answers[path] = page
        async with jupyter.get(path) as answer:
            assert answer.headers["Content-Type"] == "application/octet-stream"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
            assert answer.headers["Content-Disposition"].startswith("attachment;")
            # Jupyter sets a cookie of its own for callers with a token.
            assert not any("owned" in cookie for cookie in answer.headers.getall("Set-Cookie", []))
            assert answer.headers.get("Access-Control-Allow-Origin") != "*"
            assert not {"Refresh", "Access-Control-Allow-Credentials"}.intersection(answer.headers)


async def test_results_come_as_a_named_download_in_ranges(jupyter: Jupyter, cluster: Cluster) -> None:
    async def part(request: web.Request) -> web.StreamResponse:
        assert request.headers["Range"] == "bytes=2-4"
        head = {
            "Content-Range": "bytes 2-4/9",
            "Content-Type": "application/gzip",
            "Content-Encoding": "gzip",
        }
        return web.Response(status=206, body=b"cde", headers=head)

    cluster.answers["/api/v1/compute/results/e-1.tar.gz"] = part
    async with jupyter.get("/api/v1/compute/results/e-1.tar.gz", headers={"Range": "bytes=2-4"}) as answer:
        assert (answer.status, await answer.read()) == (206, b"cde")
        assert answer.headers["Content-Range"] == "bytes 2-4/9"
        assert answer.headers["Content-Disposition"] == 'attachment; filename="e-1.tar.gz"'
        assert "Content-Encoding" not in answer.headers


@pytest.mark.parametrize("announced", [True, False])
async def test_half_an_answer_does_not_look_like_a_whole_one(
    jupyter: Jupyter, cluster: Cluster, announced: bool
) -> None:
    async def break_off(request: web.Request) -> web.StreamResponse:
        head = {"Content-Type": "application/gzip"} | ({"Content-Length": "1000"} if announced else {})
        answer = web.StreamResponse(headers=head)
        await answer.prepare(request)
        await answer.write(b"half")
        assert request.transport is not None
        request.transport.abort()
        return answer

    cluster.answers["/api/v1/compute/results/e.tar.gz"] = break_off
    with pytest.raises(aiohttp.ClientError):
        async with jupyter.get("/api/v1/compute/results/e.tar.gz") as answer:
            assert answer.status == 200
            await answer.read()


async def test_errors_of_the_cluster_come_through_as_they_are(jupyter: Jupyter, cluster: Cluster) -> None:
    envelope = {"Status": 404, "Message": "job not found: j-9", "Code": "NotFound", "Component": "JobStore"}

    async def missing(_: web.Request) -> web.StreamResponse:
        return web.json_response(envelope, status=404)

    cluster.answers["/api/v1/orchestrator/jobs/j-9"] = missing
    async with jupyter.get("/api/v1/orchestrator/jobs/j-9") as answer:
        assert (answer.status, await answer.json()) == (404, envelope)


async def test_a_cluster_that_is_not_there_is_one_sentence(
    start_jupyter: Starter, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        monkeypatch.setenv("BACALHAU_API_HOST", "127.0.0.1")
        monkeypatch.setenv("BACALHAU_API_PORT", str(port))
        jupyter = await start_jupyter()
        async with jupyter.get("/api/v1/agent/alive") as answer:
            assert answer.status == 503
            envelope = await answer.json()
        assert envelope["Message"].startswith(f"the cluster at 127.0.0.1:{port} can't be reached:")
        async with jupyter.get("/status") as answer:
            status = await answer.json()
        assert (status["alive"], status["problem"]) == (False, envelope["Message"])


async def test_a_cluster_that_hangs_up_is_one_sentence(jupyter: Jupyter, cluster: Cluster) -> None:
    async def hang_up(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    cluster.answers["/api/v1/orchestrator/jobs"] = hang_up
    async with jupyter.request("PUT", "/api/v1/orchestrator/jobs", json={}) as answer:
        assert answer.status == 502
        assert (await answer.json())["Message"] == "the cluster closed the connection without an answer"
    assert len(cluster.requests) == 1, "a submission is not sent twice"


async def test_the_status_shows_versions_and_the_cluster_but_no_secret(
    jupyter: Jupyter, cluster: Cluster
) -> None:
    cluster.answers["/api/v1/agent/version"] = lambda _: _json({"GitVersion": "v1.7.0"})
    async with jupyter.get("/status") as answer:
        text = await answer.text()
    status = json.loads(text)
    assert status["cluster"] == {"url": cluster.url, "source": "environment", "embedded": False}
    assert (status["alive"], status["node_version"], status["problem"]) == (True, "v1.7.0", "")
    assert status["active_jobs"] is None
    assert KEY not in text


async def _json(value: object) -> web.Response:
    return web.json_response(value)


async def _status(request: object, *, read: bool = False) -> int:
    async with request as answer:  # type: ignore[attr-defined]
        if read:
            await answer.read()
        return int(answer.status)


async def test_nothing_is_left_when_jupyter_has_stopped(
    no_leaks: None, start_jupyter: Starter, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BACALHAU_API_PORT", str(cluster.port))
    jupyter = await start_jupyter()
    async with jupyter.get("/api/v1/agent/alive") as answer:
        assert answer.status == 200
    await start_jupyter.close()


async def test_what_is_not_quite_http_is_refused_and_never_a_5xx(jupyter: Jupyter, cluster: Cluster) -> None:
    prefix = f"{jupyter.base_url.rstrip('/')}/bacalhau"
    statuses = await malformed.statuses(jupyter.port, prefix, f"Authorization: token {TOKEN}\r\n")
    assert {name: status for name, status in statuses.items() if status >= 500} == {}
    for name in (
        "two equal lengths",
        "two lengths",
        "a list of lengths",
        "a hexadecimal length",
        "an empty length",
    ):
        assert statuses[name] == 400, name
    async with jupyter.get("/api/v1/agent/alive") as answer:
        assert answer.status == 200
