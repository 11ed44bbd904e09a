"""The byte envelope: what it refuses, and that nothing changes on the way."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bacalhau_jupyter.models.errors import BacalhauError, BadRequest
from bacalhau_jupyter.models.wire import envelope
from bacalhau_jupyter.models.wire.messages import (
    AskForBid,
    BacError,
    BidResult,
    HandshakeRequest,
    HeartbeatRequest,
    RunResult,
)
from tests.models.samples import instances, ncl_bytes

HEARTBEAT = ncl_bytes("07-HeartbeatRequest")


def sealed(version: int, body: bytes) -> bytes:
    return bytes([version]) + zlib.crc32(body).to_bytes(4, "big") + body


def heartbeat(number: int) -> bytes:
    """A number that official programs can't read: one node's would make lists of all nodes unreadable for them."""
    return envelope.encode(HeartbeatRequest(node_id="n", last_orchestrator_seq_num=number), {})


def test_the_largest_number_that_official_programs_read_is_taken() -> None:
    assert envelope.decode(heartbeat((1 << 63) - 1))[1] == HeartbeatRequest(
        node_id="n", last_orchestrator_seq_num=(1 << 63) - 1
    )


@pytest.mark.parametrize("kind", [AskForBid, BidResult, RunResult, HandshakeRequest, BacError])
@settings(max_examples=25, deadline=None)
@given(
    data=st.data(), source=st.text(st.characters(exclude_categories=["Cs"]), max_size=8), seq=st.integers(0)
)
def test_a_message_arrives_as_it_was_sent(kind: type, data: st.DataObject, source: str, seq: int) -> None:
    message = data.draw(instances(kind))
    sent = envelope.data_metadata(source, 1_795_289_169_518_452_709, seq, "bacalhau.global.compute.n.in.msgs")
    metadata, arrived = envelope.decode(envelope.encode(message, sent))
    assert arrived == message
    assert metadata.items() >= sent.items()
    assert metadata[envelope.MESSAGE_ID] == f"seq-{seq}"


def test_control_messages_carry_no_sequence_number() -> None:
    metadata = envelope.data_metadata("n-1", 5)
    assert metadata == {"Bacalhau-Source": "n-1", "Bacalhau-EventTime": "5"}


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "too short"),
        (b"\x01abc", "too short"),
        (b"\x09" + HEARTBEAT[1:], "unsupported encoding: 0x09"),
        (HEARTBEAT[:-1] + b" ", "CRC check failed"),
        (sealed(1, b"{}"), "bad message"),
        (heartbeat(1 << 63), "whole number of more than 64 bits"),
        (heartbeat(-(10**40)), "whole number of more than 64 bits"),
        (sealed(1, b"\xff\xfe"), "bad message"),
        (sealed(1, b'{"metadata":{"Type":"no.such","PayloadEncoding":"json"},"payload":{}}'), "no.such"),
        (sealed(1, b'{"metadata":{"Type":"BidResult"},"payload":{}}'), "unsupported encoding: "),
        (
            sealed(1, b'{"metadata":{"Type":"BidResult","PayloadEncoding":"json"},"payload":{"Accepted":1}}'),
            "Accepted",
        ),
        (sealed(2, b"\x0a\xff"), "protobuf"),
        (sealed(2, b"\x0a\x05\x0a"), "cut off"),
        (sealed(2, b"\x0b"), "wire type 3"),
        (sealed(2, b""), "unsupported encoding: "),
    ],
)
def test_a_bad_envelope_is_refused_with_the_reason(data: bytes, problem: str) -> None:
    with pytest.raises(BadRequest, match=problem):
        envelope.decode(data)


def test_legacy_metadata_keys_alone_are_enough() -> None:
    body = b'{"metadata":{"Type":"transport.HeartbeatRequest","PayloadEncoding":"json"},"payload":{"NodeID":"n"}}'
    assert envelope.decode(sealed(1, body))[1] == HeartbeatRequest(node_id="n")


def test_a_nonsense_event_time_does_not_break_decoding() -> None:
    metadata, message = envelope.decode(ncl_bytes("10-BacError-HandshakeRequired"))
    assert metadata[envelope.EVENT_TIME].startswith("-")
    assert isinstance(message, BacError)


def test_only_registered_messages_can_be_sent() -> None:
    with pytest.raises(BadRequest, match="unsupported message type: str"):
        envelope.encode("x", {})  # type: ignore[arg-type]


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80), st.sampled_from([1, 2]))
def test_arbitrary_bytes_never_raise_anything_but_our_error(body: bytes, version: int) -> None:
    try:
        envelope.decode(sealed(version, body))
    except BacalhauError as error:
        assert error.message
