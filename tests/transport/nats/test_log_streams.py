"""Log streams with official peers, which neither hold a writer back nor say that a stream is open."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bacalhau_jupyter.models.codec import encode
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest, NetworkFailure
from bacalhau_jupyter.models.wire.api import LogFrame, LogLine
from bacalhau_jupyter.models.wire.messages import (
    ControlRequest,
    ControlResponse,
    ExecutionLogsRequest,
    HeartbeatResponse,
)
from bacalhau_jupyter.transport.nats import subjects
from tests.models.samples import NCL, load
from tests.services.nats import PlainNatsServer
from tests.services.waiting import until
from tests.transport.carriers import OverNats, nothing, soon, take_message
from tests.transport.nats.peer import Peer, next_of, peer

LOGS = ExecutionLogsRequest(execution_id="e", node_id="n", follow=True)
FRAME = base64.b64decode(load(NCL / "27-ExecutionLogs-data-frame.json")["raw_base64"])
ERROR_FRAME = base64.b64decode(load(NCL / "29-ExecutionLogs-error-frame.json")["raw_base64"])
CLOSE_FRAME = base64.b64decode(load(NCL / "28-ExecutionLogs-close-frame.json")["raw_base64"])


async def answer(node_id: str, request: ControlRequest) -> ControlResponse:
    return HeartbeatResponse()


@pytest.fixture
async def carrier(nats_server: PlainNatsServer) -> AsyncIterator[OverNats]:
    carrier = OverNats(nats_server.url, nats_server.token, stream_heartbeat_s=0.1)
    await carrier.orchestrator_end.serve(answer, take_message)
    yield carrier
    await carrier.close()


@pytest.fixture
async def official(nats_server: PlainNatsServer) -> AsyncIterator[Peer]:
    async with peer(nats_server.url, nats_server.token) as official:
        yield official


def close(code: int, text: str = "") -> bytes:
    return json.dumps({"type": 2, "closeError": {"Code": code, "Text": text}}).encode()


# ---- our orchestrator reads from an official node


async def test_the_request_has_the_form_of_an_official_orchestrators(
    carrier: OverNats, official: Peer
) -> None:
    requests = await official.listen(subjects.logs("n"))
    reading = asyncio.ensure_future(anext(carrier.orchestrator_end.logs(LOGS)))
    request = await next_of(requests)
    captured = load(NCL / "26-ExecutionLogs-request.json")
    body = json.loads(request.data)
    assert body.keys() - {"window"} == captured["json"].keys()
    assert request.reply == body["consumerId"] + body["streamId"]
    assert body["heartBeatRequestSub"] == "_HEARTBEAT." + body["consumerId"].removesuffix(".")
    assert json.loads(base64.b64decode(body["body"])) == {
        "ExecutionID": "e",
        "NodeID": "n",
        "Tail": False,
        "Follow": True,
    }
    await official.client.publish(request.reply, FRAME)
    assert (await reading).value.line == "hello docker\n"


async def test_frames_of_an_official_node_are_read_to_the_end(carrier: OverNats, official: Peer) -> None:
    requests = await official.listen(subjects.logs("n"))
    frames: list[LogFrame] = []

    async def read() -> None:
        frames.extend([frame async for frame in carrier.orchestrator_end.logs(LOGS)])

    reading = asyncio.create_task(read())
    reply = (await next_of(requests)).reply
    for data in (FRAME, b'{"type":9}', ERROR_FRAME, CLOSE_FRAME, FRAME):
        await official.client.publish(reply, data)
    await reading
    assert [(frame.value.line, frame.error) for frame in frames] == [
        ("hello docker\n", ""),
        ("", "timeout while waiting for execution logs"),
    ]


@pytest.mark.parametrize(
    ("last", "kind", "sentence"),
    [
        (close(1001), NetworkFailure, "the node went away while its logs were read"),
        (close(1006, "lost"), NetworkFailure, "lost"),
        (close(4000, "what?"), BadRequest, "what?"),
        (close(5000, "no such execution"), BacalhauError, "no such execution"),
        (close(5000), BacalhauError, "the log stream failed on the node"),
        (b"junk", BacalhauError, "node n sent a log frame that can't be read"),
        (b'{"type":1,"data":"***"}', BacalhauError, "node n sent a log frame that can't be read"),
        (b'{"type":1,"data":"anVuaw=="}', BacalhauError, "node n sent a log frame that can't be read"),
        (b'{"type":1,"seq":3,"data":"e30="}', NetworkFailure, "log lines were lost on their way"),
    ],
)
async def test_each_end_of_a_stream_is_told_after_what_came_before_it(
    carrier: OverNats, official: Peer, last: bytes, kind: type[BacalhauError], sentence: str
) -> None:
    requests = await official.listen(subjects.logs("n"))
    stream = carrier.orchestrator_end.logs(LOGS)
    first = asyncio.ensure_future(anext(stream))
    reply = (await next_of(requests)).reply
    await official.client.publish(reply, FRAME)
    await official.client.publish(reply, last)
    assert (await first).value.line == "hello docker\n"
    with pytest.raises(kind, match=sentence):
        await anext(stream)


async def test_a_frame_for_the_stream_of_another_node_is_dropped(carrier: OverNats, official: Peer) -> None:
    requests = await official.listen(subjects.logs("n"))
    stream = carrier.orchestrator_end.logs(LOGS)
    first = asyncio.ensure_future(anext(stream))
    reply = (await next_of(requests)).reply
    token = reply.rpartition(".")[2]
    await official.client.publish(f"{subjects.stream_inbox('n-bad')}{token}", ERROR_FRAME)
    await official.client.publish(reply, FRAME)
    assert (await first).value.line == "hello docker\n"


async def test_a_node_is_told_which_streams_nobody_reads_any_more(carrier: OverNats, official: Peer) -> None:
    requests = await official.listen(subjects.logs("n"))
    stream = carrier.orchestrator_end.logs(LOGS)
    first = asyncio.ensure_future(anext(stream))
    reply = (await next_of(requests)).reply
    await official.client.publish(reply, FRAME)
    await first
    token = reply.rpartition(".")[2]

    async def unread(node_id: str, *tokens: str) -> dict[str, Any]:
        body = encode({"ActiveStreamIds": {subjects.logs(node_id): tokens}})
        answer = json.loads((await official.ask(subjects.stream_heartbeat(node_id), body)).data)
        assert answer.keys() == {"NonActiveStreamIds"}
        unread: dict[str, Any] = answer["NonActiveStreamIds"]
        return unread

    assert await unread("n", token) == {}
    assert await unread("n", token, "gone") == {subjects.logs("n"): ["gone"]}
    assert await unread("n-bad", token) == {subjects.logs("n-bad"): [token]}
    await stream.aclose()  # type: ignore[attr-defined]
    assert await unread("n", token) == {subjects.logs("n"): [token]}


# ---- our node writes for an official orchestrator


class Reader:
    """An official orchestrator that reads log streams."""

    def __init__(self, official: Peer) -> None:
        self.official = official
        self.unread: list[str] = []
        self.beats = asyncio.Event()

    async def listen(self) -> asyncio.Queue[Any]:
        frames = await self.official.listen("_SINBOX.Xyz.*")
        beats = await self.official.listen("_HEARTBEAT._SINBOX.Xyz")
        self.task = asyncio.create_task(self._beat(beats))
        return frames

    async def open(self, token: str, **changes: Any) -> None:
        body = {
            "consumerId": "_SINBOX.Xyz.",
            "streamId": token,
            "heartBeatRequestSub": "_HEARTBEAT._SINBOX.Xyz",
            "body": base64.b64encode(encode(LOGS)).decode(),
        }
        await self.official.client.publish(
            subjects.logs("n"), encode(body | changes), reply=f"_SINBOX.Xyz.{token}"
        )

    async def _beat(self, beats: asyncio.Queue[Any]) -> None:
        while True:
            beat = await beats.get()
            active = json.loads(beat.data)["ActiveStreamIds"]
            assert active.keys() == {subjects.logs("n")}
            body = {"NonActiveStreamIds": {subjects.logs("n"): self.unread} if self.unread else {}}
            await self.official.client.publish(beat.reply, encode(body))
            self.beats.set()


@pytest.fixture
async def reader(official: Peer) -> AsyncIterator[Reader]:
    reader = Reader(official)
    yield reader
    reader.task.cancel()


async def test_frames_for_an_official_orchestrator_have_its_own_form(
    carrier: OverNats, reader: Reader
) -> None:
    async def logs(request: ExecutionLogsRequest) -> AsyncIterator[LogFrame]:
        assert request == LOGS
        for number in range(200):
            yield LogFrame(value=LogLine(type=1, line=f"{number}\n"))
        yield LogFrame(error="that was it")

    frames = await reader.listen()
    await carrier.compute_end("n").connect("n", nothing, logs)
    await reader.open("tok")
    for number in range(200):
        frame = json.loads((await next_of(frames)).data)
        assert frame.keys() == {"type", "data"}
        assert json.loads(base64.b64decode(frame["data"])) == {"value": {"Type": 1, "Line": f"{number}\n"}}
    error = json.loads(base64.b64decode(json.loads((await next_of(frames)).data)["data"]))
    assert error == {"error": "that was it", "value": {"Type": 0, "Line": ""}}
    assert (await next_of(frames)).data == CLOSE_FRAME


async def test_a_stream_that_is_read_no_more_ends_and_its_neighbour_does_not(
    carrier: OverNats, reader: Reader
) -> None:
    ended: list[int] = []
    started = 0

    async def logs(request: ExecutionLogsRequest) -> AsyncIterator[LogFrame]:
        nonlocal started
        started += 1
        number = started
        try:
            yield LogFrame(value=LogLine(type=1, line="begun\n"))
            await asyncio.Event().wait()
        finally:
            ended.append(number)

    frames = await reader.listen()
    await carrier.compute_end("n").connect("n", nothing, logs)
    await reader.open("one")
    await next_of(frames)
    await reader.open("two")
    await next_of(frames)
    reader.unread = ["one"]
    await until(lambda: ended == [1])
    for _ in range(3):
        reader.beats.clear()
        await soon(reader.beats)
    assert ended == [1]


async def test_a_stream_that_is_called_unread_by_mistake_once_goes_on(
    carrier: OverNats, reader: Reader
) -> None:
    """Official orchestrators name living streams for a moment after another one was opened."""
    ended = asyncio.Event()

    async def logs(request: ExecutionLogsRequest) -> AsyncIterator[LogFrame]:
        try:
            yield LogFrame(value=LogLine(type=1, line="begun\n"))
            await asyncio.Event().wait()
        finally:
            ended.set()

    frames = await reader.listen()
    await carrier.compute_end("n").connect("n", nothing, logs)
    reader.unread = ["tok"]
    await reader.open("tok")
    await next_of(frames)
    await soon(reader.beats)
    reader.unread = []
    for _ in range(3):
        reader.beats.clear()
        await soon(reader.beats)
    assert not ended.is_set()


async def test_streams_of_an_orchestrator_that_is_gone_end(carrier: OverNats, official: Peer) -> None:
    ended = asyncio.Event()

    async def logs(request: ExecutionLogsRequest) -> AsyncIterator[LogFrame]:
        try:
            yield LogFrame(value=LogLine(type=1, line="begun\n"))
            await asyncio.Event().wait()
        finally:
            ended.set()

    await carrier.compute_end("n").connect("n", nothing, logs)
    await Reader(official).open("tok")
    # Nobody answers this stream's heartbeats.
    await soon(ended)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"streamId": "other"}, "names another stream"),
        ({"heartBeatRequestSub": "bacalhau.global.compute.n.in.msgs"}, "names no subject for heartbeats"),
        ({"body": "***"}, "StreamOpen"),
        ({"body": base64.b64encode(b"junk").decode()}, "request for logs is not valid JSON"),
        ({"window": "x"}, "StreamOpen"),
    ],
)
async def test_a_request_that_makes_no_sense_is_refused_in_one_sentence(
    carrier: OverNats, reader: Reader, changes: dict[str, Any], sentence: str
) -> None:
    async def logs(request: ExecutionLogsRequest) -> AsyncIterator[LogFrame]:
        yield LogFrame(value=LogLine(type=1, line="never\n"))

    frames = await reader.listen()
    await carrier.compute_end("n").connect("n", nothing, logs)
    await reader.open("tok", **changes)
    frame = json.loads((await next_of(frames)).data)
    assert frame["type"] == 2
    assert frame["closeError"]["Code"] == 4000
    assert sentence in frame["closeError"]["Text"]


async def test_a_request_that_is_to_be_answered_elsewhere_is_not_answered(
    carrier: OverNats, official: Peer, reader: Reader
) -> None:
    async def logs(request: ExecutionLogsRequest) -> AsyncIterator[LogFrame]:
        yield LogFrame(value=LogLine(type=1, line="only\n"))

    frames = await reader.listen()
    reports = await official.listen(subjects.reports("n"))
    await carrier.compute_end("n").connect("n", nothing, logs)
    for reply in (subjects.reports("n"), ""):
        await official.client.publish(subjects.logs("n"), b"{}", reply=reply)
    await reader.open("tok")
    await next_of(frames)
    assert reports.empty()
