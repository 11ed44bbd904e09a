"""Uploads over HTTP, on a real node: ranges, broken bodies, slow senders, signed links."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from bacalhau_jupyter.api.app import build_app, runner_of
from bacalhau_jupyter.api.base import ApiServices
from bacalhau_jupyter.api.http.serving import Gatekeeper
from bacalhau_jupyter.api.routes.uploads import UploadRoutes
from bacalhau_jupyter.auth.access import Access
from bacalhau_jupyter.auth.challenge import ChallengeMethod
from bacalhau_jupyter.auth.node_key import NodeKey
from bacalhau_jupyter.auth.sockets import TrustedSockets
from bacalhau_jupyter.models.records.uploads import CONTENT_PATH, PATH
from bacalhau_jupyter.node.addresses import LinkAddress
from bacalhau_jupyter.node.upload_service import NodeUploads
from bacalhau_jupyter.uploads.links import UploadLinks
from bacalhau_jupyter.uploads.store import UploadStore
from tests.api.conftest import KEY
from tests.api.recorder import Agent
from tests.clock import ManualClock

DATA = os.urandom(300_000)
SHA = hashlib.sha256(DATA).hexdigest()
BINARY = {"Content-Type": "application/octet-stream"}


class Served:
    """An API with a store of uploads, whose callers are strangers with the key."""

    def __init__(self, root: Path) -> None:
        self.clock = ManualClock()
        self.root = root
        self.store = UploadStore(root, 20_000_000, min_free=0, clock=self.clock, free=lambda path: 1 << 40)
        links = UploadLinks(self.store, b"s" * 32, self.clock, lambda execution: root / execution)
        self.uploads = NodeUploads(self.store, links, lambda url: None, LinkAddress())
        self.client: aiohttp.ClientSession
        self.port = 0

    async def begin(self, **order: Any) -> dict[str, Any]:
        body = {"Name": "x.bin", "Size": len(DATA), "SHA256": SHA, **order}
        async with self.client.post(PATH, json=body) as answer:
            return {"status": answer.status, **await answer.json()}

    async def put(self, upload: str, data: bytes, start: int = 0, **headers: str) -> dict[str, Any]:
        span = {"Content-Range": f"bytes {start}-{start + len(data) - 1}/{len(DATA)}"}
        url = f"{PATH}/{upload}"
        async with self.client.put(url, data=data, headers={**BINARY, **span, **headers}) as answer:
            return {"status": answer.status, **await answer.json()}

    async def state(self, upload: str) -> dict[str, Any]:
        async with self.client.get(f"{PATH}/{upload}") as answer:
            return {"status": answer.status, **await answer.json()}

    def drafts(self) -> list[str]:
        return [path.name for path in (self.root / "drafts").iterdir()]


@asynccontextmanager
async def serving(root: Path, idle_s: float = 30.0) -> AsyncIterator[Served]:
    served = Served(root)
    await served.store.start()
    sockets = TrustedSockets(enabled=False)
    services = ApiServices(
        agent=Agent(), access=Access([NodeKey(KEY)], sockets), challenge=ChallengeMethod("n-test")
    )
    app = build_app(services)
    app.add_routes(UploadRoutes(served.uploads, services.access, idle_s).routes())
    runner = runner_of(app, Gatekeeper(services.access))
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, listener).start()
    served.port = listener.getsockname()[1]
    url = f"http://127.0.0.1:{served.port}"
    try:
        async with aiohttp.ClientSession(url, headers={"Authorization": f"Bearer {KEY}"}) as served.client:
            yield served
    finally:
        await runner.cleanup()
        sockets.close()


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path) as made:
        yield made


async def test_ranges_add_up_and_the_last_one_answers_with_hash_and_link(served: Served) -> None:
    begun = await served.begin()
    half = await served.put(begun["UploadID"], DATA[:100_000])
    assert (half["status"], half["Offset"]) == (200, 100_000)
    whole = await served.put(begun["UploadID"], DATA[100_000:], 100_000)
    assert whole["SHA256"] == SHA
    async with served.client.get(whole["URL"], headers={"Range": "bytes=0-9"}) as answer:
        assert (answer.status, await answer.read()) == (206, DATA[:10])


async def test_a_link_opens_without_a_credential_as_an_attachment(served: Served) -> None:
    url = (await served.put((await served.begin())["UploadID"], DATA))["URL"]
    async with aiohttp.ClientSession() as stranger, stranger.get(url) as answer:
        assert await answer.read() == DATA
        assert answer.headers["Content-Disposition"].startswith("attachment")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_hash_alone_opens_nothing(served: Served) -> None:
    await served.put((await served.begin())["UploadID"], DATA)
    forged = f"{CONTENT_PATH}/{SHA}/x.bin?expires=99999999999&signature={'0' * 64}"
    async with (
        aiohttp.ClientSession(f"http://127.0.0.1:{served.port}") as stranger,
        stranger.get(forged) as answer,
    ):
        assert answer.status == 403


async def test_a_link_to_one_content_opens_no_other(served: Served) -> None:
    url = (await served.put((await served.begin())["UploadID"], DATA))["URL"]
    other = hashlib.sha256(b"other").hexdigest()
    async with served.client.get(url.replace(SHA, other)) as answer:
        assert answer.status == 403


async def test_a_link_is_over_after_its_time(served: Served) -> None:
    url = (await served.put((await served.begin())["UploadID"], DATA))["URL"]
    served.clock.advance(25 * 3600)
    async with served.client.get(url) as answer:
        body = await answer.json()
        assert answer.status == 403 and "upload link expired" in body["Message"]


async def test_strangers_may_not_upload(served: Served) -> None:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{served.port}") as stranger:
        async with stranger.post(PATH, json={"Name": "x", "Size": 1}) as answer:
            assert answer.status == 401
        async with stranger.put(f"{PATH}/{'0' * 32}", data=b"x", headers=BINARY) as answer:
            assert answer.status == 401


async def test_an_upload_that_was_cut_at_half_goes_on(served: Served) -> None:
    data = os.urandom(8_000_000)
    order = {"Size": len(data), "SHA256": hashlib.sha256(data).hexdigest()}
    upload = (await served.begin(**order))["UploadID"]
    _, writer = await asyncio.open_connection("127.0.0.1", served.port)
    head = f"PUT {PATH}/{upload} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
    head += f"Content-Range: bytes 0-{len(data) - 1}/{len(data)}\r\nContent-Length: {len(data)}\r\n"
    writer.write(f"{head}Content-Type: application/octet-stream\r\n\r\n".encode() + data[:4_000_000])
    await writer.drain()
    async with asyncio.timeout(60):
        while (await served.state(upload))["Offset"] < 1_000_000:
            pass
    writer.close()
    await writer.wait_closed()
    async with asyncio.timeout(60):
        while (again := await served.begin(**order))["UploadID"] != upload:
            await served.client.delete(f"{PATH}/{again['UploadID']}")
    offset = again["Offset"]
    assert 1_000_000 <= offset <= 4_000_000
    rest = {**BINARY, "Content-Range": f"bytes {offset}-{len(data) - 1}/{len(data)}"}
    async with served.client.put(f"{PATH}/{upload}", data=io.BytesIO(data[offset:]), headers=rest) as answer:
        assert (await answer.json())["SHA256"] == order["SHA256"]


async def test_a_caller_that_uploaded_a_content_does_not_send_it_again(served: Served) -> None:
    await served.put((await served.begin())["UploadID"], DATA)
    again = await served.begin(Name="y.bin")
    assert again["SHA256"] == SHA and "/y.bin?" in again["URL"]


@pytest.mark.parametrize(
    "span",
    [
        "bytes 0-/5",
        "bytes 5-2/300000",
        "bytes=0-9",
        "items 0-9/10",
        "bytes 0-9/5",
        "bytes 0-9/300000",
        "x" * 99,
    ],
)
async def test_a_range_that_is_none_or_lies_about_the_body_is_refused(served: Served, span: str) -> None:
    upload = (await served.begin())["UploadID"]
    answer = await served.put(upload, b"12345", 0, **{"Content-Range": span})
    assert answer["status"] == 400
    assert (await served.state(upload))["Offset"] == 0


async def test_a_range_that_goes_on_elsewhere_is_told_where_to(served: Served) -> None:
    answer = await served.put((await served.begin())["UploadID"], b"12345", 7)
    assert answer["status"] == 409 and answer["Details"]["offset"] == "0"


async def test_a_body_without_an_end_is_cut_off_at_the_announced_size(served: Served) -> None:
    upload = (await served.begin(Size=1000, SHA256=""))["UploadID"]

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(100_000)

    try:
        async with served.client.put(f"{PATH}/{upload}", data=endless(), headers=BINARY) as answer:
            assert answer.status == 400
    except aiohttp.ClientError:
        pass  # the node hung up while the sender was still sending
    assert served.store.usage().count == 0
    assert all((served.root / "drafts" / name / "content").stat().st_size <= 1000 for name in served.drafts())


async def test_a_sender_that_stalls_is_answered_and_what_came_stays(tmp_path: Path) -> None:
    async with serving(tmp_path, idle_s=0.2) as served:
        upload = (await served.begin())["UploadID"]
        gate = asyncio.Event()

        async def stalling() -> AsyncIterator[bytes]:
            yield DATA[:1000]
            await gate.wait()

        async with served.client.put(f"{PATH}/{upload}", data=stalling(), headers=BINARY) as answer:
            assert answer.status == 408
            gate.set()
        assert (await served.state(upload))["Offset"] == 1000


async def test_another_hash_than_announced_is_refused_and_nothing_stays(served: Served) -> None:
    upload = (await served.begin())["UploadID"]
    answer = await served.put(upload, bytes(len(DATA)))
    assert answer["status"] == 400 and "was announced" in answer["Message"]
    assert served.drafts() == []


async def test_what_is_beyond_the_quota_is_refused_before_it_is_sent(served: Served) -> None:
    answer = await served.begin(Size=30_000_000, SHA256="")
    assert answer["status"] == 429 and "Uploads.Quota" in answer["Hint"]


async def test_only_a_trusted_caller_is_shown_where_drafts_lie(served: Served) -> None:
    assert "File" not in await served.begin(Local=True)


@pytest.mark.parametrize("upload", ["nosuch", "..", "%2e%2e%2fcontents", "0" * 32])
async def test_an_upload_that_is_not_there_is_not_found(served: Served, upload: str) -> None:
    assert (await served.put(upload, DATA)).get("status") == 404


@pytest.mark.parametrize(
    "order",
    [
        {"Name": "../x"},
        {"Name": ""},
        {"Size": -5},
        {"Size": "x"},
        {"SHA256": "zz"},
        {"Name": 3},
        {"Size": 1 << 70},
    ],
)
async def test_a_malformed_order_is_the_callers_mistake(served: Served, order: dict[str, Any]) -> None:
    assert 400 <= (await served.begin(**order))["status"] < 500


async def test_the_loop_answers_while_a_large_upload_is_stored(served: Served) -> None:
    upload = (await served.begin())["UploadID"]
    sending = asyncio.create_task(served.put(upload, DATA))
    async with asyncio.timeout(60), served.client.get("/api/v1/agent/alive") as answer:
        assert answer.status == 200
    assert (await sending)["SHA256"] == SHA
