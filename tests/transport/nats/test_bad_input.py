"""Garbage, floods and impostors: the orchestrator's end goes on, and serves others as before."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator

import pytest

from bacalhau_jupyter.models.wire import envelope
from bacalhau_jupyter.models.wire.messages import (
    BacError,
    BidResult,
    ControlRequest,
    ControlResponse,
    HeartbeatRequest,
    HeartbeatResponse,
)
from bacalhau_jupyter.transport.base import Envelope
from bacalhau_jupyter.transport.nats import subjects
from bacalhau_jupyter.transport.wire import pack
from tests.services.nats import PlainNatsServer
from tests.services.waiting import settled
from tests.transport.carriers import OverNats, bid, cancel, no_logs, nothing
from tests.transport.nats.peer import Peer, next_of, peer

REPORTS = subjects.reports("n-bad")
CONTROL = subjects.control("n-bad")
HEARTBEAT = envelope.encode(HeartbeatRequest(node_id="n-bad"), envelope.data_metadata("n-bad", 1))


def sealed(body: bytes, version: int = 1) -> bytes:
    return bytes([version]) + zlib.crc32(body).to_bytes(4, "big") + body


def sound(number: int = 1) -> bytes:
    return pack(bid(number))[1]


JUNK = {
    "empty": b"",
    "short": b"\x01\0\0",
    "noise": bytes(range(256)),
    "wrong checksum": sound()[:1] + b"\0\0\0\0" + sound()[5:],
    "cut off": sealed(sound()[5:-9]),
    "unknown version": sealed(sound()[5:], 7),
    "not an object": sealed(b"[]"),
    "no metadata": sealed(b"{}"),
    "metadata of numbers": sealed(b'{"metadata":{"Bacalhau-Type":1},"payload":{}}'),
    "unknown type": sealed(
        b'{"metadata":{"Bacalhau-Type":"no.such","Bacalhau-PayloadEncoding":"json"},"payload":{}}'
    ),
    "member of a wrong type": sealed(
        b'{"metadata":{"Bacalhau-Type":"BidResult","Bacalhau-PayloadEncoding":"json"},"payload":{"ExecutionID":[1]}}'
    ),
    "null": sealed(
        b'{"metadata":{"Bacalhau-Type":"BidResult","Bacalhau-PayloadEncoding":"json"},"payload":null}'
    ),
    "nested without end": sealed(
        b'{"metadata":{"Bacalhau-Type":"BidResult","Bacalhau-PayloadEncoding":"json"},"payload":'
        + b"[" * 100_000
        + b"]" * 100_000
        + b"}"
    ),
    "protobuf that is none": sealed(b"\xff\xff\xff", 2),
    "protobuf cut off": sealed(b"\x0a\xff", 2),
}


class Orchestrator:
    """Notes who said what."""

    def __init__(self) -> None:
        self.reports: list[tuple[str, Envelope]] = []
        self.requests: list[tuple[str, ControlRequest]] = []
        self.holds: dict[str, asyncio.Event] = {}

    async def control(self, node_id: str, request: ControlRequest) -> ControlResponse:
        if node_id in self.holds:
            await self.holds[node_id].wait()
        self.requests.append((node_id, request))
        return HeartbeatResponse(last_compute_seq_num=1)

    async def message(self, node_id: str, message: Envelope) -> None:
        if node_id in self.holds:
            await self.holds[node_id].wait()
        self.reports.append((node_id, message))


@pytest.fixture
def orchestrator() -> Orchestrator:
    return Orchestrator()


@pytest.fixture
async def carrier(nats_server: PlainNatsServer, orchestrator: Orchestrator) -> AsyncIterator[OverNats]:
    carrier = OverNats(nats_server.url, nats_server.token, timeout_s=100, lane_messages=16)
    await carrier.orchestrator_end.serve(orchestrator.control, orchestrator.message)
    yield carrier
    # Whatever was sent: others are served.
    node = carrier.compute_end("n-good")
    await node.connect("n-good", nothing, no_logs)
    await node.send(bid(99))
    assert await node.request(HeartbeatRequest(node_id="n-good")) == HeartbeatResponse(last_compute_seq_num=1)
    await carrier.orchestrator_end.send("n-good", cancel(1))
    await carrier.close()


@pytest.fixture
async def stranger(carrier: OverNats, nats_server: PlainNatsServer) -> AsyncIterator[Peer]:
    async with peer(nats_server.url, nats_server.token) as stranger:
        yield stranger


@pytest.mark.parametrize("name", JUNK)
async def test_a_message_that_can_not_be_read_is_refused_in_one_sentence(
    name: str, stranger: Peer, orchestrator: Orchestrator
) -> None:
    answer = await stranger.ack(REPORTS, JUNK[name])
    assert answer.error
    assert "Traceback" not in answer.error
    assert answer.delay == 100_000_000
    reply = await stranger.ask(CONTROL, JUNK[name])
    error = envelope.decode(reply.data)[1]
    assert isinstance(error, BacError)
    assert error.cause.startswith("failed to deserialize request: ")
    assert (orchestrator.reports, orchestrator.requests) == ([], [])


async def test_who_sends_junk_again_and_again_is_told_to_wait_longer_until_something_is_right(
    stranger: Peer,
) -> None:
    delays = [(await stranger.ack(REPORTS, b"junk")).delay / 1e9 for _ in range(8)]
    assert delays == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert (await stranger.ack(REPORTS, sound())).error == ""
    assert (await stranger.ack(REPORTS, b"junk")).delay == 100_000_000


async def test_a_sequence_number_that_is_none_counts_as_none(
    stranger: Peer, orchestrator: Orchestrator
) -> None:
    for number in ("x", "-5", "1e3", str(10**30), ""):
        metadata = envelope.data_metadata("n", 1) | {"Bacalhau-SeqNum": number, "Bacalhau-EventTime": number}
        answer = await stranger.ack(REPORTS, envelope.encode(BidResult(execution_id="e"), metadata))
        assert answer.error == ""
    assert {report.seq for _, report in orchestrator.reports} == {0}


async def test_a_message_for_nodes_is_taken_as_one_that_says_nothing(
    stranger: Peer, orchestrator: Orchestrator
) -> None:
    message = envelope.encode(HeartbeatRequest(node_id="n-bad"), envelope.data_metadata("n", 1))
    assert (await stranger.ack(REPORTS, message)).error == ""
    assert orchestrator.reports == []


async def test_a_question_on_the_wrong_subject_is_not_found(stranger: Peer) -> None:
    reply = await stranger.ask(subjects.requests("n-bad"), HEARTBEAT)
    error = envelope.decode(reply.data)[1]
    assert isinstance(error, BacError)
    assert error.code == "NotFound"
    assert error.cause == "no handler found for message type: transport.HeartbeatRequest"


@pytest.mark.parametrize(
    "reply",
    [
        subjects.orders("n-good"),
        subjects.reports("n-good"),
        "_SINBOX.a.b",
        "$SYS.REQ.SERVER.PING",
        "_INBOXES.steal",
        "_INBOX",
    ],
)
async def test_nothing_is_answered_on_a_subject_that_is_no_inbox(stranger: Peer, reply: str) -> None:
    overheard = await stranger.listen(reply)
    for subject, data in (
        (REPORTS, sound()),
        (REPORTS, b"junk"),
        (CONTROL, HEARTBEAT),
        (subjects.requests("n-bad"), HEARTBEAT),
        ("node.management.n-bad.RegisterNode/v1", b"{}"),
        (subjects.stream_heartbeat("n-bad"), b'{"ActiveStreamIds":{}}'),
    ):
        await stranger.client.publish(subject, data, reply=reply)
    # What came after has been answered, so the others would have been.
    await stranger.ack(REPORTS, sound())
    await stranger.ask(CONTROL, HEARTBEAT)
    assert overheard.empty()


async def test_messages_without_a_reply_subject_or_with_hostile_headers_do_no_harm(
    stranger: Peer, orchestrator: Orchestrator
) -> None:
    await stranger.client.publish(CONTROL, HEARTBEAT)
    await stranger.client.publish(REPORTS, sound(5))
    raw = stranger.client
    for head in (b"NATS/1.0 \xff\xff\xff\r\n\r\n", b"NATS/1.0\r\n\xff: \xfe\r\n\r\n", b"NATS/1.0\r\n\r\n"):
        command = b"HPUB %s %d %d\r\n%s%s\r\n" % (
            REPORTS.encode(),
            len(head),
            len(head) + len(sound()),
            head,
            sound(),
        )
        await raw._send_command(command)
    not_text = b"bacalhau.global.compute.\xff\xfe.out.msgs"
    await raw._send_command(b"PUB %s %d\r\n%s\r\n" % (not_text, len(sound()), sound()))
    await raw.flush()
    long_reply = "_INBOX." + "x" * 3000
    await raw.publish(REPORTS, sound(6), reply=long_reply)
    await stranger.ack(REPORTS, sound(7))
    assert orchestrator.reports[0][1].seq == 5
    assert orchestrator.reports[-1][1].seq == 7


async def test_what_a_node_says_comes_with_the_id_of_its_subject_whatever_it_claims(
    stranger: Peer, orchestrator: Orchestrator
) -> None:
    claim = envelope.encode(HeartbeatRequest(node_id="n-good"), envelope.data_metadata("n-good", 1))
    await stranger.ask(CONTROL, claim)
    foreign = Envelope(BidResult(execution_id="e-of-n-good", accepted=True), 1, 5, "n-good")
    await stranger.ack(REPORTS, pack(foreign)[1])
    assert [node_id for node_id, _ in orchestrator.requests] == ["n-bad"]
    assert [node_id for node_id, _ in orchestrator.reports] == ["n-bad"]


async def test_who_floods_fills_only_his_own_lane(
    stranger: Peer, carrier: OverNats, orchestrator: Orchestrator
) -> None:
    orchestrator.holds["n-bad"] = asyncio.Event()
    answers = await stranger.listen("_INBOX.flood.*")
    for number in range(200):
        await stranger.client.publish(REPORTS, sound(number), reply=f"_INBOX.flood.{number}")
    for number in range(400):
        await stranger.client.publish(CONTROL, HEARTBEAT, reply=f"_INBOX.flood.ctrl{number}")
    refused = await next_of(answers)
    assert b"too many messages wait here already" in refused.data
    node = carrier.compute_end("n-other")
    await node.connect("n-other", nothing, no_logs)
    for number in range(20):
        await node.send(bid(number))
        await node.request(HeartbeatRequest(node_id="n-other"))
    # What has not arrived when the lane empties would find room: refusals come in order, and this is the last one.
    while (await next_of(answers)).subject != "_INBOX.flood.199":
        pass
    orchestrator.holds.pop("n-bad").set()

    def taken() -> int:
        return [node_id for node_id, _ in orchestrator.reports].count("n-bad")

    # The lane holds sixteen, those at work among them.
    assert await settled(taken) == 16
    assert (await stranger.ack(REPORTS, sound(1000))).error == ""


async def test_a_node_that_acknowledges_nothing_holds_up_nobody_else(
    stranger: Peer, carrier: OverNats
) -> None:
    orders = await stranger.listen(subjects.orders("n-bad"))
    waiting = [asyncio.create_task(carrier.orchestrator_end.send("n-bad", cancel(n))) for n in range(100)]
    await next_of(orders)
    node = carrier.compute_end("n-other")
    await node.connect("n-other", nothing, no_logs)
    for number in range(20):
        await carrier.orchestrator_end.send("n-other", cancel(number))
    assert not any(task.done() for task in waiting)
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)


@pytest.mark.parametrize("answer", [b"", b"junk", b'{"error":5}', b"[]", b'{"error":"no room","delay":"x"}'])
async def test_an_acknowledgement_that_can_not_be_read_is_none(
    stranger: Peer, carrier: OverNats, answer: bytes
) -> None:
    orders = await stranger.listen(subjects.orders("n-bad"))
    sending = asyncio.create_task(carrier.orchestrator_end.send("n-bad", cancel(1)))
    await stranger.client.publish((await next_of(orders)).reply, answer)
    with pytest.raises(Exception, match="message 1 was refused: ") as caught:
        await sending
    assert "\n" not in str(caught.value)


async def test_a_second_answer_changes_nothing(stranger: Peer, carrier: OverNats) -> None:
    orders = await stranger.listen(subjects.orders("n-bad"))
    sending = asyncio.create_task(carrier.orchestrator_end.send("n-bad", cancel(1)))
    order = await next_of(orders)
    for answer in (b"{}", b'{"error":"no"}', b"{}"):
        await stranger.client.publish(order.reply, answer)
    await sending
