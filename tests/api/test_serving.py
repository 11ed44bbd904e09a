"""Half-sent heads, slow and large bodies, floods of connections: each against the API, and against it unguarded."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from bacalhau_jupyter.api.app import build_app, runner_of
from bacalhau_jupyter.api.base import ApiServices
from bacalhau_jupyter.api.http import binding
from bacalhau_jupyter.api.http.binding import BodyLimit
from bacalhau_jupyter.api.http.connections import ConnectionLimits
from bacalhau_jupyter.api.http.serving import Gatekeeper
from bacalhau_jupyter.api.routes import auth
from bacalhau_jupyter.auth.access import Access
from bacalhau_jupyter.auth.challenge import ChallengeMethod
from bacalhau_jupyter.auth.credentials import Bearer, Credential
from bacalhau_jupyter.auth.node_key import NodeKey
from bacalhau_jupyter.auth.principals import Principal
from bacalhau_jupyter.auth.sockets import TrustedSockets
from tests.api.conftest import KEY
from tests.api.recorder import Agent, Links, Recorder

HEAD_S = 0.2
WAIT_S = 60.0
"""Seconds for what has to happen; also for heads, where they are not what a test is about."""
WRITE_KEY = "w" * 40
LIMITS = ConnectionLimits(proven=10, own=8, strangers=8, stranger=8, sockets=4)
WITH_KEY = f"Authorization: Bearer {KEY}\r\n"
Serve = Callable[[bool], "AsyncIterator[int]"]


class Writer:
    """Knows the key of a user who may submit jobs."""

    async def authenticate(self, credential: Credential) -> Principal | None:
        writer = Principal("key:writer", frozenset({"write:job"}), "writer")
        return writer if credential == Bearer(WRITE_KEY) else None


@asynccontextmanager
async def serving(tmp_path: Path, *, guarded: bool = True, head_s: float = WAIT_S) -> AsyncIterator[int]:
    """Serve the API to strangers (no socket is trusted); unguarded, by aiohttp's own runner. Gives the port."""
    sockets = TrustedSockets(enabled=False, uid=1)
    services = ApiServices(
        agent=Agent(),
        access=Access([NodeKey(KEY), Writer()], sockets),
        challenge=ChallengeMethod("n-test"),
        orchestrator=Recorder().service,
        results=Links(tmp_path),
    )
    gatekeeper = Gatekeeper(services.access, LIMITS, head_s)
    app = build_app(services)
    runner = runner_of(app, gatekeeper) if guarded else web.AppRunner(app)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, listener).start()
    try:
        yield listener.getsockname()[1]
    finally:
        await runner.cleanup()
        sockets.close()


def head(path: str = "/api/v1/agent/alive", *more: str, method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{''.join(more)}\r\n".encode()


async def is_closed(reader: asyncio.StreamReader, within_s: float) -> bool:
    """Whether the connection ends (without a word) within some seconds."""
    try:
        async with asyncio.timeout(within_s):
            return await reader.read(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


async def status_of(reader: asyncio.StreamReader) -> int:
    async with asyncio.timeout(WAIT_S):
        line = await reader.readline()
        length = 0
        while (field := await reader.readline()) not in (b"\r\n", b""):
            if field.lower().startswith(b"content-length:"):
                length = int(field.split(b":")[1])
        await reader.readexactly(length)
    return int(line.split()[1])


@pytest.mark.parametrize("begun", [b"", b"GET /api/v1/agent/alive HTTP/1.1\r\nHost: local"])
@pytest.mark.parametrize("guarded", [True, False])
async def test_a_head_that_does_not_come_ends_the_connection(
    tmp_path: Path, begun: bytes, guarded: bool
) -> None:
    async with serving(tmp_path, guarded=guarded, head_s=HEAD_S) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(begun)
        assert await is_closed(reader, WAIT_S if guarded else 10 * HEAD_S) is guarded
        writer.close()


@pytest.mark.parametrize("more", [f"/?token={'hunter2' * 12_000}", "/"])
async def test_the_log_does_not_hold_what_an_oversized_head_brought(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, more: str
) -> None:
    field = "" if len(more) > 1 else f"Authorization: Bearer {'hunter2' * 12_000}\r\n"
    async with serving(tmp_path) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head(more, field))
        assert await status_of(reader) == 400
        writer.close()
    assert "a request that is not HTTP: 400" in caplog.text
    assert "hunter2" not in caplog.text


async def test_a_head_that_comes_byte_by_byte_ends_the_connection_too(tmp_path: Path) -> None:
    async with serving(tmp_path, head_s=HEAD_S) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        async def trickle() -> None:
            for byte in head() * 100:
                writer.write(bytes([byte]))
                await asyncio.sleep(HEAD_S / 5)

        trickling = asyncio.create_task(trickle())
        assert await is_closed(reader, WAIT_S)
        trickling.cancel()
        writer.close()


@pytest.mark.parametrize("guarded", [True, False])
async def test_the_second_head_on_a_connection_must_come_in_time_as_well(
    tmp_path: Path, guarded: bool
) -> None:
    async with serving(tmp_path, guarded=guarded, head_s=HEAD_S) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head())
        assert await status_of(reader) == 200
        # Silence is fine: that is what keep-alive means.
        assert not await is_closed(reader, 2 * HEAD_S)
        writer.write(head())
        assert await status_of(reader) == 200
        writer.write(head()[:30])
        assert await is_closed(reader, WAIT_S if guarded else 10 * HEAD_S) is guarded
        writer.close()


async def test_a_slow_answer_and_an_open_stream_are_not_mistaken_for_a_slow_head(tmp_path: Path) -> None:
    async with (
        serving(tmp_path, head_s=HEAD_S) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client,
    ):
        headers = {"Authorization": f"Bearer {KEY}"}
        async with client.ws_connect("/api/v1/agent/lease", headers=headers) as lease:
            await lease.receive()
            with pytest.raises(TimeoutError):
                await lease.receive(4 * HEAD_S)
            await lease.ping()
            assert not lease.closed


async def test_websockets_are_bounded(tmp_path: Path) -> None:
    async with serving(tmp_path) as port, aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
        headers = {"Authorization": f"Bearer {KEY}"}
        async with AsyncExitStack() as stack:
            for _ in range(LIMITS.sockets):
                opened = client.ws_connect("/api/v1/agent/lease", headers=headers)
                await (await stack.enter_async_context(opened)).receive()
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await client.ws_connect("/api/v1/agent/lease", headers=headers)
            assert refused.value.status == 429
        async with asyncio.timeout(WAIT_S):
            while True:
                try:
                    async with client.ws_connect("/api/v1/agent/lease", headers=headers):
                        break
                except aiohttp.WSServerHandshakeError:
                    await asyncio.sleep(0)


async def test_one_user_leaves_half_of_the_websockets_to_others(tmp_path: Path) -> None:
    async with (
        serving(tmp_path) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client,
        AsyncExitStack() as stack,
    ):

        async def open_lease(key: str) -> None:
            opened = client.ws_connect("/api/v1/agent/lease", headers={"Authorization": f"Bearer {key}"})
            await (await stack.enter_async_context(opened)).receive()

        for _ in range(LIMITS.sockets // 2):
            await open_lease(WRITE_KEY)
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await open_lease(WRITE_KEY)
        assert refused.value.status == 429
        for _ in range(LIMITS.sockets // 2):
            await open_lease(KEY)


async def test_a_flood_of_connections_neither_ends_a_proven_one_nor_keeps_a_new_one_out(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head("/api/v1/orchestrator/jobs", WITH_KEY))
        assert await status_of(reader) == 200
        flood = [await asyncio.open_connection("127.0.0.1", port) for _ in range(4 * LIMITS.stranger)]
        first = await asyncio.gather(*(is_closed(end, WAIT_S / 2) for end, _ in flood[:8]))
        assert all(first), "the oldest had to go"
        writer.write(head("/api/v1/orchestrator/jobs", WITH_KEY))
        assert await status_of(reader) == 200
        late_reader, late_writer = await asyncio.open_connection("127.0.0.1", port)
        late_writer.write(head("/api/v1/orchestrator/jobs", WITH_KEY))
        assert await status_of(late_reader) == 200
        for _, end in [*flood, (reader, writer), (late_reader, late_writer)]:
            end.close()


OPEN_ROUTE = "/api/v1/auth/clientkey"


def body_head(length: int, path: str = OPEN_ROUTE, *more: str) -> bytes:
    fields = ["Content-Type: application/json\r\n", f"Content-Length: {length}\r\n", *more]
    return head(path, *fields, method="POST")


async def test_an_open_route_reads_no_more_than_64_kilobytes(tmp_path: Path) -> None:
    async with serving(tmp_path) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(body_head(64 * 1024 + 1))
        # Refused by what it says about itself, before any of it has come.
        assert await status_of(reader) == 413
        writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            head(
                OPEN_ROUTE,
                "Content-Type: application/json\r\n",
                "Transfer-Encoding: chunked\r\n",
                method="POST",
            )
        )
        writer.write((b"10000\r\n" + b" " * 0x10000 + b"\r\n") * 2)
        assert await status_of(reader) == 413
        writer.close()


async def test_a_stranger_is_refused_before_its_body_is_read(tmp_path: Path) -> None:
    async with serving(tmp_path) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(body_head(10**7, "/api/v1/orchestrator/jobs"))
        assert await status_of(reader) == 401
        writer.close()


@pytest.mark.parametrize("limited", [True, False])
async def test_a_slow_body_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limited: bool
) -> None:
    monkeypatch.setattr(auth, "OPEN_BODY", BodyLimit(64 * 1024, HEAD_S if limited else 60))
    async with serving(tmp_path) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(body_head(1000) + b"{")
        if limited:
            assert await status_of(reader) == 408
        else:
            assert not await is_closed(reader, 5 * HEAD_S)
        writer.close()


async def test_a_large_body_of_the_owner_still_comes_in_whole_after_100_continue(tmp_path: Path) -> None:
    async with serving(tmp_path) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        large = b'{"Job":{"Type":"batch","Name":"' + b"a" * (binding.BODY_LIMIT - 100) + b'"}}'
        fields = [WITH_KEY, "Expect: 100-continue\r\n"]
        writer.write(body_head(len(large), "/api/v1/orchestrator/jobs", *fields))
        async with asyncio.timeout(WAIT_S):
            assert (await reader.readline()).startswith(b"HTTP/1.1 100")
            await reader.readline()
        writer.write(large)
        assert await status_of(reader) == 200
        writer.close()


async def test_scripts_full_of_brackets_are_no_structure(tmp_path: Path) -> None:
    async with serving(tmp_path) as port, aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
        headers = {"Authorization": f"Bearer {KEY}"}
        spec = {"Job": {"Type": "batch", "Meta": {"script": '[{"a\\": [' * 50_000}}}
        async with client.put("/api/v1/orchestrator/jobs", json=spec, headers=headers) as answer:
            assert answer.status == 200


async def test_wrong_keys_are_limited_before_they_are_looked_at(tmp_path: Path) -> None:
    async with serving(tmp_path) as port, aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
        statuses = []
        for _ in range(25):
            async with client.get(
                "/api/v1/orchestrator/jobs", headers={"Authorization": "Bearer no"}
            ) as answer:
                statuses.append(answer.status)
        assert statuses == [401] * 20 + [429] * 5
        async with client.get(
            "/api/v1/orchestrator/jobs", headers={"Authorization": f"Bearer {KEY}"}
        ) as answer:
            assert answer.status == 429
            assert 0 < int(answer.headers["Retry-After"]) <= 61
            assert (await answer.json())["Code"] == "TooManyRequests"
        async with client.get("/api/v1/agent/alive") as answer:
            assert answer.status == 200
