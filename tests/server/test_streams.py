"""Websockets through the gateway of a real Jupyter server."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest
from aiohttp import web

from bacalhau_jupyter.server.handlers.streams import GatewayStreamHandler
from tests.server.conftest import KEY, TOKEN, Cluster, Jupyter, Starter
from tests.services.waiting import settled, until

LOGS = "/api/v1/orchestrator/jobs/j-1/logs"
EVENTS = "/api/v1/orchestrator/events"
MB = 1024 * 1024
BUFFERED = 24 * MB


def serve(
    cluster: Cluster, path: str, frames: list[str | bytes], code: int = 1000, reason: bytes = b""
) -> None:
    """Let the cluster send frames at `path`, then close."""

    async def stream(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        for frame in frames:
            await (socket.send_str(frame) if isinstance(frame, str) else socket.send_bytes(frame))
        await socket.close(code=code, message=reason)
        return socket

    cluster.answers[path] = stream


async def closing(socket: aiohttp.ClientWebSocketResponse) -> tuple[int | None, str]:
    """Return close code and reason, as a browser sees them."""
    message = await asyncio.wait_for(socket.receive(), 60)
    assert message.type is aiohttp.WSMsgType.CLOSE, message
    return message.data, message.extra or ""


async def test_frames_pass_unchanged_and_only_the_clusters_1000_is_a_1000(
    jupyter: Jupyter, cluster: Cluster
) -> None:
    serve(cluster, LOGS, ['{"value":{"type":1,"line":"é\\n"}}\n', b"\x00\xff"])
    async with jupyter.ws(f"{LOGS}?follow=true&token={TOKEN}", autoclose=False) as socket:
        assert await socket.receive_str() == '{"value":{"type":1,"line":"é\\n"}}\n'
        assert await socket.receive_bytes() == b"\x00\xff"
        assert await closing(socket) == (1000, "")
    assert cluster.last.raw_path == LOGS + "?follow=true"
    assert cluster.last.headers["Authorization"] == f"Bearer {KEY}"
    assert not {"Origin", "Cookie"}.intersection(cluster.last.headers)


@pytest.mark.parametrize(("code", "reason"), [(1001, "the node goes down"), (1013, "too slow"), (4000, "é")])
async def test_other_close_codes_are_copied_with_their_reason(
    jupyter: Jupyter, cluster: Cluster, code: int, reason: str
) -> None:
    serve(cluster, EVENTS, ["{}"], code, reason.encode())
    async with jupyter.ws(EVENTS, autoclose=False) as socket:
        await socket.receive_str()
        assert await closing(socket) == (code, reason)


async def test_a_stream_that_breaks_off_never_ends_with_success(jupyter: Jupyter, cluster: Cluster) -> None:
    async def break_off(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str("first")
        assert request.transport is not None
        request.transport.close()
        return socket

    cluster.answers[LOGS] = break_off
    async with jupyter.ws(LOGS, autoclose=False) as socket:
        assert await socket.receive_str() == "first"
        assert await closing(socket) == (1011, "the cluster's stream broke off")


async def test_the_close_reason_names_the_refusal_of_the_cluster(jupyter: Jupyter, cluster: Cluster) -> None:
    async def refuse(_: web.Request) -> web.StreamResponse:
        return web.json_response({}, status=404)

    cluster.answers[EVENTS] = refuse
    async with jupyter.ws(EVENTS, autoclose=False) as socket:
        assert await closing(socket) == (1011, "the cluster did not open the stream (HTTP 404)")


async def test_a_cluster_that_is_not_there_says_try_again_later(
    start_jupyter: Starter, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    monkeypatch.setenv("BACALHAU_API_HOST", "127.0.0.1")
    monkeypatch.setenv("BACALHAU_API_PORT", str(unused_tcp_port))
    jupyter = await start_jupyter()
    async with jupyter.ws(EVENTS, autoclose=False) as socket:
        code, reason = await closing(socket)
    assert code == 1013
    assert f"127.0.0.1:{unused_tcp_port} can't be reached" in reason


async def test_the_cluster_is_let_go_when_the_browser_leaves(jupyter: Jupyter, cluster: Cluster) -> None:
    left = asyncio.Event()

    async def wait(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str("hello")
        async for _ in socket:
            pass
        left.set()
        return socket

    cluster.answers[EVENTS] = wait
    async with jupyter.ws(EVENTS) as socket:
        await socket.receive_str()
        assert len(jupyter.gateway.streams) == 1
    await asyncio.wait_for(left.wait(), 60)
    await until(lambda: not jupyter.gateway.streams)


async def test_a_slow_reader_holds_the_cluster_back(jupyter: Jupyter, cluster: Cluster) -> None:
    sent, total, frame = 0, 66 * MB, "x" * (64 * 1024)

    async def pour(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        while sent < total:
            await socket.send_str(frame)
            sent += len(frame)
        await socket.close()
        return socket

    cluster.answers[LOGS] = pour
    async with jupyter.ws(LOGS, autoclose=False) as socket:
        assert await settled(lambda: sent) < BUFFERED
        received = 0
        while (message := await socket.receive()).type is aiohttp.WSMsgType.TEXT:
            received += len(message.data)
        assert message.data == 1000
    assert received == total


async def test_an_ordinary_request_to_a_stream_gets_an_error_that_names_the_protocol(
    jupyter: Jupyter, cluster: Cluster
) -> None:
    async with jupyter.get(LOGS) as answer:
        assert answer.status == 400
        assert json.loads(await answer.read())["Message"] == f"{LOGS} is a websocket"
    assert cluster.requests == []


async def test_a_page_of_another_origin_opens_no_stream(jupyter: Jupyter, cluster: Cluster) -> None:
    headers = {"Cookie": await _login(jupyter), "Origin": "http://evil.example"}
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await jupyter.ws(EVENTS, headers=headers)
    assert caught.value.status == 403
    assert EVENTS not in [request.path for request in cluster.requests]


async def _login(jupyter: Jupyter) -> str:
    async with jupyter.get("/status", headers={"Authorization": f"token {TOKEN}"}) as answer:
        return "; ".join(f"{name}={morsel.value}" for name, morsel in answer.cookies.items())


async def test_open_streams_end_when_jupyter_stops(jupyter: Jupyter, cluster: Cluster) -> None:
    async def wait(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str("hello")
        async for _ in socket:
            pass
        return socket

    cluster.answers[EVENTS] = wait
    async with jupyter.ws(EVENTS, autoclose=False) as socket:
        await socket.receive_str()
        async with asyncio.timeout(60):
            await jupyter.extension.stop_extension()
        assert await closing(socket) == (1001, "the gateway is shutting down")


async def test_a_stream_that_opens_at_the_moment_of_a_switch_is_closed(
    jupyter: Jupyter, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its relay has not begun by then; a browser that is not told would wait for ever."""
    opened = GatewayStreamHandler.open

    def open_and_switch(handler: GatewayStreamHandler) -> None:
        opened(handler)
        handler.gateway.reconnect()

    monkeypatch.setattr(GatewayStreamHandler, "open", open_and_switch)
    async with jupyter.ws(EVENTS, autoclose=False) as socket:
        assert (await closing(socket))[0] == 1001
    assert jupyter.gateway.streams == set()


async def test_the_browser_is_pinged(
    start_jupyter: Starter, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def wait(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for _ in socket:
            pass
        return socket

    cluster.answers[EVENTS] = wait
    monkeypatch.setenv("BACALHAU_API_PORT", str(cluster.port))
    jupyter = await start_jupyter(ServerApp={"tornado_settings": {"ws_ping_interval": 50}})
    async with jupyter.ws(EVENTS, autoping=False) as socket:
        assert (await asyncio.wait_for(socket.receive(), 60)).type is aiohttp.WSMsgType.PING
