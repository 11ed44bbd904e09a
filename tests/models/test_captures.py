"""Every captured message of the official node survives our models: nothing is lost, nothing is added."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.models import codec
from bacalhau_jupyter.models.errors import error_from_envelope
from bacalhau_jupyter.models.jobs import spec
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.records import execution, node
from bacalhau_jupyter.models.wire import api, envelope, messages
from bacalhau_jupyter.transport.nats import frames
from tests.models.samples import NCL, REST, load

REST_MODELS: dict[str, type] = {
    "agent_alive": api.AgentAliveResponse,
    "agent_node": node.NodeInfo,
    "agent_version": node.BuildVersionInfo,
    "auth_method_get": api.AuthMethod,
    "auth_methods": api.ListAuthMethodsResponse,
    "job_executions": api.ListExecutionsResponse,
    "job_history": api.ListHistoryResponse,
    "job_results": api.ListResultsResponse,
    "job_service_executions_all": api.ListExecutionsResponse,
    "job_service_history_all": api.ListHistoryResponse,
    "job_service_versions": api.ListJobsResponse,
    "jobs_list_limit1": api.ListJobsResponse,
    "node_get": api.GetNodeResponse,
    "nodes_list": api.ListNodesResponse,
}
# Bodies that are configuration: tests/config reads them.
REST_CONFIG = {"agent_authconfig", "agent_config"}
REST_FILES = sorted(REST.glob("*.json"))
REST_BODIES = [p for p in REST_FILES if not p.stem.startswith("err_") and p.stem not in REST_CONFIG]

# Messages outside the envelope: what the payload is, and what is base64 inside it.
PLAIN_NCL: dict[str, tuple[type, type | None]] = {
    "01-legacy-RegisterNode-request": (frames.RegisterNodeRequest, None),
    "02-legacy-RegisterNode-response": (frames.RegisterNodeResponse, None),
    "14-data-plane-ack": (frames.Ack, None),
    "26-ExecutionLogs-request": (frames.StreamOpen, messages.ExecutionLogsRequest),
    "27-ExecutionLogs-data-frame": (frames.StreamFrame, api.LogFrame),
    "28-ExecutionLogs-close-frame": (frames.StreamFrame, None),
    "29-ExecutionLogs-error-frame": (frames.StreamFrame, api.LogFrame),
    "30-stream-heartbeat-request": (frames.StreamHeartbeatRequest, None),
    "31-stream-heartbeat-response": (frames.StreamHeartbeatResponse, None),
    "32-nack-0": (frames.Ack, None),
    "33-nack-1": (frames.Ack, None),
    "34-nack-2": (frames.Ack, None),
}
# Not messages: a count of subjects, and two summaries whose payloads have tests of their own below.
NCL_OTHER = {
    "00-subject-histogram",
    "40-probe-stock-orchestrator-replies",
    "42-managed-publisher-python-orchestrator",
}
PROTOBUF = "35-AskForBid-protobuf-envelope"
NCL_FILES = sorted(NCL.glob("*.json"))
ENVELOPES = [
    p for p in NCL_FILES if p.stem not in PLAIN_NCL and p.stem not in NCL_OTHER and p.stem != PROTOBUF
]


def again(plain: Any, kind: type) -> Any:
    """Decode and re-encode a JSON value."""
    return json.loads(codec.encode(codec.decode(json.dumps(plain), kind)))


def test_every_rest_capture_has_a_test() -> None:
    errors = {p.stem for p in REST_FILES if p.stem.startswith("err_")}
    assert len(REST_FILES) == 33
    assert {p.stem for p in REST_BODIES} | errors | REST_CONFIG == {p.stem for p in REST_FILES}


@pytest.mark.parametrize("path", REST_BODIES, ids=lambda p: p.stem)
def test_a_rest_body_round_trips(path: Path) -> None:
    kind = REST_MODELS.get(path.stem, api.GetJobResponse)
    assert again(load(path), kind) == load(path)


@pytest.mark.parametrize("path", sorted(REST.glob("err_*.json")), ids=lambda p: p.stem)
def test_an_error_envelope_round_trips_through_the_exception(path: Path) -> None:
    body = load(path)
    error = error_from_envelope(body, body["Status"])
    assert error.envelope(body["RequestID"]) == body
    assert str(error) == body["Message"]


@pytest.mark.parametrize("path", ENVELOPES, ids=lambda p: p.stem)
def test_an_ncl_envelope_round_trips(path: Path) -> None:
    capture = load(path)
    metadata, message = envelope.decode(base64.b64decode(capture["raw_base64"]))
    assert metadata == capture["envelope"]["body"]["metadata"]
    ours = envelope.encode(message, metadata)
    assert json.loads(ours[5:]) == capture["envelope"]["body"]
    assert envelope.decode(ours) == (metadata, message)


@pytest.mark.parametrize("path", sorted(NCL.glob("*.bin")), ids=lambda p: p.stem)
def test_a_captured_byte_string_decodes_to_its_json_twin(path: Path) -> None:
    twin = load(path.with_suffix(".json"))
    raw = path.read_bytes()
    assert raw == base64.b64decode(twin["raw_base64"])
    if path.stem in PLAIN_NCL:
        assert json.loads(raw) == twin["json"]
        return
    metadata, message = envelope.decode(raw)
    if "body" in twin["envelope"]:
        assert json.loads(codec.encode(message)) == twin["envelope"]["body"]["payload"]
        assert metadata == twin["envelope"]["body"]["metadata"]


def test_a_protobuf_envelope_is_read_and_written_as_json() -> None:
    raw = (NCL / f"{PROTOBUF}.bin").read_bytes()
    metadata, message = envelope.decode(raw)
    assert raw[0] == 2
    assert metadata[envelope.TYPE] == "AskForBid"
    assert isinstance(message, messages.AskForBid)
    job = message.execution.job
    assert job is not None
    start = raw.index(b'{"Execution"')
    missing = lost(json.loads(raw[start:]), json.loads(codec.encode(message)))
    assert missing == []
    ours = envelope.encode(message, metadata)
    assert ours[0] == 1
    assert envelope.decode(ours) == (metadata, message)


@pytest.mark.parametrize("name", PLAIN_NCL)
def test_a_message_outside_the_envelope_round_trips(name: str) -> None:
    kind, inner = PLAIN_NCL[name]
    capture = load(NCL / f"{name}.json")
    assert json.loads(base64.b64decode(capture["raw_base64"])) == capture["json"]
    assert again(capture["json"], kind) == capture["json"]
    if inner is not None:
        packed = capture["json"].get("body") or capture["json"]["data"]
        plain = json.loads(base64.b64decode(packed))
        assert again(plain, inner) == plain


def test_the_trace_of_one_docker_job_round_trips_line_by_line() -> None:
    lines = [json.loads(line) for line in (NCL / "41-trace-one-docker-job.jsonl").read_text().splitlines()]
    types = []
    for line in lines:
        body = line.get("envelope", {}).get("body")
        if body is None:
            assert again(line["json"], frames.Ack) == line["json"]
            continue
        name = body["metadata"]["Bacalhau-Type"]
        types.append(name)
        assert again(body["payload"], messages.MESSAGE_TYPES[name]) == body["payload"]
    assert types == ["AskForBid", "BidResult", "BidAccepted", "RunResult", "CancelExecution"]


PROBES = load(NCL / "40-probe-stock-orchestrator-replies.json")


@pytest.mark.parametrize("name", [name for name, probe in PROBES.items() if "reply_payload" in probe])
def test_a_stock_orchestrators_reply_round_trips(name: str) -> None:
    probe = PROBES[name]
    kind = messages.MESSAGE_TYPES[probe["reply_metadata"]["Bacalhau-Type"]]
    assert again(probe["reply_payload"], kind) == probe["reply_payload"]


@pytest.mark.parametrize("name", [name for name, probe in PROBES.items() if "reply_raw" in probe])
def test_a_stock_orchestrators_raw_reply_round_trips(name: str) -> None:
    plain = json.loads(PROBES[name]["reply_raw"])
    kind = frames.RegisterNodeResponse if name.startswith("register") else frames.Ack
    assert again(plain, kind) == plain


def test_the_managed_publishers_exchange_round_trips() -> None:
    exchange = load(NCL / "42-managed-publisher-python-orchestrator.json")
    for side in ("request", "response"):
        part = exchange[side]
        assert again(part["payload"], messages.MESSAGE_TYPES[part["type"]]) == part["payload"]
    assert again(exchange["run_result_publish"], spec.SpecConfig) == exchange["run_result_publish"]


def test_a_job_snapshot_inside_an_execution_is_the_job_model() -> None:
    items = load(REST / "job_executions.json")["Items"]
    decoded = codec.convert(items[0], execution.Execution)
    assert isinstance(decoded.job, Job)
    assert decoded.job.task.engine.is_type("DOCKER")


def lost(before: Any, after: Any, path: str = "") -> list[str]:
    """Return the paths of everything in `before` that `after` doesn't have (defaults may be added)."""
    if isinstance(before, dict) and isinstance(after, dict):
        gone = [
            f"{path}.{key}" for key in before if key not in after and before[key] not in (None, "", 0, [], {})
        ]
        both = [key for key in before if key in after]
        return gone + [miss for key in both for miss in lost(before[key], after[key], f"{path}.{key}")]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [miss for i, item in enumerate(before) for miss in lost(item, after[i], f"{path}[{i}]")]
    return [] if before == after else [path]
