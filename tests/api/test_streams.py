from __future__ import annotations

import asyncio
import gc
import json
import socket
from pathlib import Path

import aiohttp
import pytest
from aiohttp import WSMsgType

from bacalhau_jupyter.models.errors import NotFound
from bacalhau_jupyter.models.wire.api import LogFrame, LogLine
from bacalhau_jupyter.orchestrator.base import LogQuery
from tests.api.conftest import KEY, Api
from tests.services.waiting import settled, until

LOGS = "/api/v1/orchestrator/jobs/j-1/logs"
CLOSE_1000 = b"\x88\x02\x03\xe8"


async def test_log_frames_are_official_and_the_end_is_1000(api: Api) -> None:
    api.orchestrator.frames = [
        LogFrame(value=LogLine(type=1, line="out\n")),
        LogFrame(value=LogLine(type=2, line="err")),
    ]
    async with api.client.ws_connect(
        f"{LOGS}?follow=true&tail=1&execution_id=e-1&job_version=2&namespace=n"
    ) as ws:
        assert [await ws.receive_str(), await ws.receive_str()] == [
            '{"value":{"Type":1,"Line":"out\\n"}}\n',
            '{"value":{"Type":2,"Line":"err"}}\n',
        ]
        end = await ws.receive(timeout=60)
    assert (end.type, end.data) == (WSMsgType.CLOSE, 1000)
    query = LogQuery(namespace="n", execution_id="e-1", version=2, tail=True, follow=True)
    assert api.orchestrator.calls == [("logs", "j-1", query)]


async def test_a_log_error_travels_in_a_frame_after_the_upgrade(api: Api) -> None:
    api.orchestrator.frames = [NotFound("job not found: nope")]
    async with api.client.ws_connect("/api/v1/orchestrator/jobs/nope/logs") as ws:
        frame = json.loads(await ws.receive_str())
        assert frame == {"error": "job not found: nope", "value": {"Type": 0, "Line": ""}}
        assert (await ws.receive(timeout=60)).data == 1000


async def test_the_node_hangs_up_only_after_the_client_has_answered_the_close(api: Api) -> None:
    """Otherwise the client's answer meets a closed connection, whose reset takes unread output with it."""
    api.orchestrator.frames = [LogFrame(value=LogLine(type=1, line="last words\n"))]
    reader = await raw_websocket(api.port, LOGS)
    loop = asyncio.get_running_loop()
    received = b""
    while not received.endswith(CLOSE_1000):
        received += await asyncio.wait_for(loop.sock_recv(reader, 4096), 60)
    assert b"last words" in received
    # Absence can only be waited for; the node's own limit is ten times as long.
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(loop.sock_recv(reader, 1), 0.5)
    await loop.sock_sendall(reader, b"\x88\x82\0\0\0\0\x03\xe8")
    assert await asyncio.wait_for(loop.sock_recv(reader, 1), 60) == b""
    reader.close()


async def test_without_credentials_there_is_no_upgrade(api: Api) -> None:
    async with aiohttp.ClientSession(api.url) as stranger:
        with pytest.raises(aiohttp.WSServerHandshakeError, match="401"):
            await stranger.ws_connect(LOGS)


async def test_an_ordinary_request_to_a_websocket_route_says_what_it_is(api: Api) -> None:
    async with api.client.get(LOGS) as answer:
        assert answer.status == 400
        assert "websocket" in (await answer.json())["Message"]


async def test_a_reader_that_goes_away_ends_the_stream(api: Api) -> None:
    api.orchestrator.stuck = asyncio.Event()
    ws = await api.client.ws_connect(LOGS)
    await until(lambda: api.orchestrator.open_streams == 1)
    await ws.close()
    await until(lambda: api.orchestrator.open_streams == 0)


async def test_a_reader_that_dies_without_a_word_ends_the_stream(api: Api) -> None:
    api.orchestrator.endless = True
    reader = await raw_websocket(api.port, LOGS)
    await until(lambda: api.orchestrator.open_streams == 1)
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    reader.close()
    await until(lambda: api.orchestrator.open_streams == 0)


async def test_a_reader_that_does_not_read_holds_back_the_source_instead_of_filling_memory(api: Api) -> None:
    api.orchestrator.endless = True
    before = resident()
    reader = await raw_websocket(api.port, LOGS)
    await until(lambda: api.orchestrator.open_streams == 1)
    # Without the await on each write the source never stops.
    assert await settled(lambda: api.orchestrator.sent) > 0
    gc.collect()
    assert resident() - before < 8 * 1024 * 1024
    reader.close()
    await until(lambda: api.orchestrator.open_streams == 0)


async def test_events_are_pushed_and_a_slow_reader_is_asked_to_reconnect(api: Api) -> None:
    path = "/api/v1/orchestrator/events?since=5&job=j-1&topic=Submission&topic=Execution,Scheduling"
    async with api.client.ws_connect(path) as ws:
        assert json.loads(await ws.receive_str())["seq"] == 7
        end = await ws.receive(timeout=60)
    assert (end.type, end.data, end.extra) == (WSMsgType.CLOSE, 1013, "the reader is too slow")
    assert api.orchestrator.calls == [("events", 5, "j-1", ("Submission", "Execution", "Scheduling"))]


async def test_events_without_since_are_only_new_ones(api: Api) -> None:
    async with api.client.ws_connect("/api/v1/orchestrator/events") as ws:
        await ws.receive_str()
    assert api.orchestrator.calls == [("events", None, "", ())]


async def test_a_lease_is_held_exactly_as_long_as_its_socket(api: Api) -> None:
    first = await api.client.ws_connect("/api/v1/agent/lease")
    second = await raw_websocket(api.port, "/api/v1/agent/lease")
    assert await first.receive_json(timeout=60) == {"instance": "instance-1"}
    await until(lambda: api.agent.leases == 2)
    second.close()
    await until(lambda: api.agent.leases == 1)
    await first.close()
    await until(lambda: api.agent.leases == 0)


async def raw_websocket(port: int, path: str) -> socket.socket:
    """A websocket whose client is a bare socket that reads its handshake's first bytes and then nothing."""
    loop = asyncio.get_running_loop()
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    await loop.sock_connect(client, ("127.0.0.1", port))
    await loop.sock_sendall(
        client,
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {KEY}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n".encode(),
    )
    assert (await loop.sock_recv(client, 12)).endswith(b" 101")
    return client


def resident() -> int:
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
