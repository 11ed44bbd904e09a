"""What an official node sent and got once is sent to our ends, and answered alike."""

from __future__ import annotations

import asyncio
import base64
import json
import zlib
from typing import Any, cast

import pytest

from bacalhau_jupyter.models.codec import encode as encode_json
from bacalhau_jupyter.models.errors import BadRequest, HandshakeRequired
from bacalhau_jupyter.models.records.node import NodeInfo, NodeType
from bacalhau_jupyter.models.wire import envelope, messages
from bacalhau_jupyter.models.wire.messages import ControlRequest, ControlResponse
from bacalhau_jupyter.transport.base import Envelope
from bacalhau_jupyter.transport.nats import frames
from bacalhau_jupyter.transport.wire import unpack
from tests.models.samples import NCL, load
from tests.services.nats import PlainNatsServer
from tests.transport.carriers import OverNats, no_logs
from tests.transport.nats.peer import next_of, peer

PROBES: dict[str, Any] = load(NCL / "40-probe-stock-orchestrator-replies.json")
TRACE = [json.loads(line) for line in (NCL / "41-trace-one-docker-job.jsonl").read_text().splitlines()]
NODE = "n-neg"
CONTROL = f"bacalhau.global.compute.{NODE}.out.ctrl"
INFO = NodeInfo(node_id=NODE, node_type=NodeType.COMPUTE, supported_protocols=["ncl/v1"])


def enveloped(message: messages.Message, **metadata: str) -> bytes:
    return envelope.encode(message, envelope.data_metadata(NODE, 1) | metadata)


def resealed(metadata: dict[str, str], payload: Any) -> bytes:
    """Return an envelope of any metadata and payload, right otherwise."""
    body = encode_json({"metadata": metadata, "payload": payload})
    return b"\x01" + zlib.crc32(body).to_bytes(4, "big") + body


HEARTBEAT = messages.HeartbeatRequest(node_id=NODE, last_orchestrator_seq_num=3)
ENCODED = {"PayloadEncoding": "json"}
REQUESTS: dict[str, bytes] = {
    "heartbeat_before_handshake": enveloped(HEARTBEAT),
    "handshake_not_compute": enveloped(
        messages.HandshakeRequest(node_info=NodeInfo(node_id=NODE, node_type=NodeType.REQUESTER))
    ),
    "handshake_ok": enveloped(messages.HandshakeRequest(node_info=INFO)),
    "update_node_info": enveloped(messages.UpdateNodeInfoRequest(node_info=INFO)),
    "ctrl_wrong_registered_type": enveloped(messages.AskForBid()),
    "ctrl_unknown_type": resealed(
        {"Bacalhau-Type": "no.such", "Bacalhau-PayloadEncoding": "json", **ENCODED}, {}
    ),
    "ctrl_bad_crc": enveloped(HEARTBEAT)[:1] + b"\0\0\0\0" + enveloped(HEARTBEAT)[5:],
    "ctrl_bad_version": b"\x09" + enveloped(HEARTBEAT)[1:],
    "ctrl_no_headers_ok": enveloped(HEARTBEAT),
    "ctrl_legacy_keys_only": resealed({"Type": "transport.HeartbeatRequest", **ENCODED}, {"NodeID": NODE}),
    "ctrl_missing_encoding": resealed({"Bacalhau-Type": "transport.HeartbeatRequest"}, {"NodeID": NODE}),
    "ctrl_message_id_echo": enveloped(HEARTBEAT),
    "msgs_unknown_execution": enveloped(
        messages.BidResult(execution_id="e-none"), **{"Bacalhau-SeqNum": "8"}
    ),
    "msgs_wrong_plane": enveloped(HEARTBEAT),
    "msgs_unknown_type": resealed({"Bacalhau-Type": "no.such", "Bacalhau-PayloadEncoding": "json"}, {}),
    "heartbeat_seq_echo": enveloped(HEARTBEAT),
    "presign": enveloped(messages.PreSignURLRequest(execution_id="e-none", job_id="j-none")),
    "shutdown": enveloped(messages.ShutdownNoticeRequest(node_id=NODE)),
    "register_legacy": encode_json(frames.RegisterNodeRequest(info=INFO)),
}
# An official orchestrator goes on with the legacy protocol; ours has none.
OURS_DIFFERS = {"register_legacy_only_bprotocol"}


class Orchestrator:
    """Knows a node after its handshake, as the orchestrator's membership does."""

    def __init__(self) -> None:
        self.joined: set[str] = set()
        self.processed = 0

    async def control(self, node_id: str, request: ControlRequest) -> ControlResponse:
        match request:
            case messages.HandshakeRequest():
                if request.node_info.node_type is not NodeType.COMPUTE:
                    return messages.HandshakeResponse(accepted=False, reason="node is not a compute node")
                self.joined.add(node_id)
                return messages.HandshakeResponse(
                    accepted=True, reason="node registered", last_orchestrator_seq_num=176
                )
            case messages.PreSignURLRequest():
                raise BadRequest("Managed S3 publisher is not available")
        if node_id not in self.joined:
            raise HandshakeRequired(
                f"node {node_id} not connected - handshake required",
                component="ConnectionManager",
                retryable=True,
            )
        match request:
            case messages.UpdateNodeInfoRequest():
                return messages.UpdateNodeInfoResponse(accepted=True)
            case messages.ShutdownNoticeRequest():
                return messages.ShutdownNoticeResponse(last_compute_seq_num=self.processed)
        return messages.HeartbeatResponse(last_compute_seq_num=self.processed)

    async def message(self, node_id: str, message: Envelope) -> None:
        self.processed = message.seq


def test_every_probe_has_a_request() -> None:
    assert set(PROBES) == set(REQUESTS) | OURS_DIFFERS | {"no_responders"}


async def test_our_orchestrator_answers_each_probe_as_an_official_one_did(
    nats_server: PlainNatsServer,
) -> None:
    carrier, orchestrator = OverNats(nats_server.url, nats_server.token), Orchestrator()
    await carrier.orchestrator_end.serve(orchestrator.control, orchestrator.message)
    answers: dict[str, Any] = {}
    async with peer(nats_server.url, nats_server.token) as node:
        for name, request in REQUESTS.items():
            headers = {"Bacalhau-MessageID": "abc-1"} if name == "ctrl_message_id_echo" else None
            answers[name] = await node.ask(PROBES[name]["subject"], request, headers)
    await carrier.close()
    for name, answer in answers.items():
        probe = PROBES[name]
        if "reply_raw" in probe:
            ours, official = json.loads(answer.data), json.loads(probe["reply_raw"])
            assert ours.keys() == official.keys(), name
            assert ours.get("delay") == official.get("delay")
            assert ours.get("value") == official.get("value")
            continue
        metadata, message = envelope.decode(answer.data)
        assert metadata == answer.headers, name
        facts = {"Bacalhau-EventTime", "Bacalhau-StatusCode"}
        assert without(metadata, facts) == without(probe["reply_metadata"], facts), name
        payload, official = json.loads(encode_json(message)), probe["reply_payload"]
        if isinstance(message, messages.BacError):
            assert payload.keys() == official.keys()
            assert payload["Code"] == official["Code"], name
            assert payload["Retryable"] == official["Retryable"], name
            assert payload["Cause"].startswith(official["Cause"].split(": failed to deserialize")[0]), name
            assert payload["Cause"].rsplit(": ", 1)[-1] == official["Cause"].rsplit(": ", 1)[-1], name
        else:
            assert payload == official, name


async def test_a_node_without_the_present_protocol_is_refused_with_the_reason(
    nats_server: PlainNatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    carrier, orchestrator = OverNats(nats_server.url, nats_server.token), Orchestrator()
    await carrier.orchestrator_end.serve(orchestrator.control, orchestrator.message)
    request = encode_json(
        frames.RegisterNodeRequest(info=NodeInfo(node_id="n-neg2", supported_protocols=["bprotocol/v2"]))
    )
    async with peer(nats_server.url, nats_server.token) as node:
        subject = PROBES["register_legacy_only_bprotocol"]["subject"]
        for _ in range(2):
            answer = frames.read((await node.ask(subject, request)).data, frames.RegisterNodeResponse)
            assert not answer.value.accepted
            assert answer.value.reason == "this version speaks no ncl/v1: v1.6.0 or later can join"
    await carrier.close()
    assert [record.message for record in caplog.records if "n-neg2" in record.message] == [
        "node n-neg2 can't join: this version speaks no ncl/v1: v1.6.0 or later can join"
    ]


async def test_one_job_of_an_official_pair_passes_through_our_orchestrators_end(
    nats_server: PlainNatsServer,
) -> None:
    """Bytes of the node go in as they were; what we send is the same message, in the same form."""
    reports: list[Envelope] = []

    async def take(node_id: str, message: Envelope) -> None:
        assert node_id == "n-stockcomp"
        reports.append(message)

    carrier = OverNats(nats_server.url, nats_server.token)
    await carrier.orchestrator_end.serve(Orchestrator().control, take)
    async with peer(nats_server.url, nats_server.token) as node:
        orders = await node.listen("bacalhau.global.compute.n-stockcomp.in.msgs")
        for line in TRACE:
            if "envelope" not in line:
                assert line["json"] == {}
                continue
            body = line["envelope"]["body"]
            raw = resealed(body["metadata"], body["payload"])
            if line["subject"].endswith("out.msgs"):
                assert (await node.ask(line["subject"], raw, line["nats_headers"])).data == b"{}"
                assert encode_json(reports[-1].message) == encode_json(envelope.decode(raw)[1])
                assert str(reports[-1].seq) == line["nats_headers"]["Bacalhau-SeqNum"]
                continue
            message = cast(Envelope, unpack(raw))
            sending = asyncio.create_task(carrier.orchestrator_end.send("n-stockcomp", message))
            order = await next_of(orders)
            assert order.headers == line["nats_headers"]
            metadata, arrived = envelope.decode(order.data)
            assert metadata == body["metadata"]
            assert json.loads(encode_json(arrived)) == json.loads(encode_json(message.message))
            await node.client.publish(order.reply, b"{}")
            await sending
    await carrier.close()
    assert [type(report.message).__name__ for report in reports] == ["BidResult", "RunResult"]


async def test_a_node_of_ours_takes_the_orders_of_an_official_orchestrator(
    nats_server: PlainNatsServer,
) -> None:
    orders: list[Envelope] = []

    async def take(message: Envelope) -> None:
        orders.append(message)

    carrier = OverNats(nats_server.url, nats_server.token)
    await carrier.compute_end("n-stockcomp").connect("n-stockcomp", take, no_logs)
    async with peer(nats_server.url, nats_server.token) as orchestrator:
        for line in TRACE:
            if line["subject"].endswith("in.msgs"):
                body = line["envelope"]["body"]
                raw = resealed(body["metadata"], body["payload"])
                assert (await orchestrator.ask(line["subject"], raw, line["nats_headers"])).data == b"{}"
        protobuf = base64.b64decode(load(NCL / "35-AskForBid-protobuf-envelope.json")["raw_base64"])
        subject = "bacalhau.global.compute.n-stockcomp.in.msgs"
        assert (await orchestrator.ask(subject, protobuf)).data == b"{}"
    await carrier.close()
    kinds = [type(order.message).__name__ for order in orders]
    assert kinds == ["AskForBid", "BidAccepted", "CancelExecution", "AskForBid"]


def without(mapping: dict[str, str], names: set[str]) -> dict[str, str]:
    return {name: text for name, text in mapping.items() if name not in names}
