"""NCL's byte envelope: one version byte, a CRC-32, then metadata and payload.

Version 1 holds JSON and is what everybody sends; version 2 holds protobuf and is read as well.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping

import msgspec

from bacalhau_jupyter.models.codec import decode as decode_json
from bacalhau_jupyter.models.codec import encode as encode_json
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.wire.messages import MESSAGE_TYPES, TYPE_NAMES, Message

TYPE = "Bacalhau-Type"
ENCODING = "Bacalhau-PayloadEncoding"
SOURCE = "Bacalhau-Source"
EVENT_TIME = "Bacalhau-EventTime"
SEQ_NUM = "Bacalhau-SeqNum"
MESSAGE_ID = "Bacalhau-MessageID"
SUBJECT = "Bacalhau-Subject"
STATUS_CODE = "Bacalhau-StatusCode"
ERROR_CODE = "Bacalhau-ErrorCode"
_LEGACY_TYPE, _LEGACY_ENCODING = "Type", "PayloadEncoding"

_JSON, _PROTOBUF = 1, 2
_HEADER = 5
_INT64 = 1 << 63
_MANY_DIGITS = re.compile(rb"[0-9]{19}")
"""A number that may not fit is in the payload; most have none, and are not looked through."""


class _Body(msgspec.Struct):
    metadata: dict[str, str]
    payload: msgspec.Raw


def data_metadata(
    source: str, event_time_ns: int, seq: int | None = None, subject: str = ""
) -> dict[str, str]:
    """Return the metadata of a message; ``seq`` and ``subject`` belong to the data plane only."""
    metadata = {SOURCE: source, EVENT_TIME: str(event_time_ns)}
    if seq is not None:
        metadata |= {SEQ_NUM: str(seq), MESSAGE_ID: f"seq-{seq}"}
    if subject:
        metadata[SUBJECT] = subject
    return metadata


def encode(message: Message, metadata: Mapping[str, str]) -> bytes:
    """Return the bytes of a message. Type and encoding are added to the metadata.

    Raises
    ------
    BadRequest
        The message is of no registered type.
    """
    full = full_metadata(message, metadata)
    body = encode_json(_Body(metadata=full, payload=msgspec.Raw(encode_json(message))))
    return bytes([_JSON]) + zlib.crc32(body).to_bytes(4, "big") + body


def full_metadata(message: Message, metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the metadata with type and encoding of the message; a carrier with headers repeats them there.

    Raises
    ------
    BadRequest
        The message is of no registered type.
    """
    name = TYPE_NAMES.get(type(message))
    if name is None:
        raise _refuse(f"unsupported message type: {type(message).__name__}")
    return {**metadata, TYPE: name, _LEGACY_TYPE: name, ENCODING: "json", _LEGACY_ENCODING: "json"}


def decode(data: bytes) -> tuple[dict[str, str], Message]:
    """Return metadata and message of an envelope.

    Raises
    ------
    BadRequest
        Too short, damaged, of an unknown version or type, or a member has the wrong type.
    """
    if len(data) < _HEADER:
        raise _refuse(f"bad message: too short ({len(data)} bytes)")
    version, body = data[0], data[_HEADER:]
    if version not in (_JSON, _PROTOBUF):
        raise _refuse(f"unsupported encoding: 0x{version:02x}")
    if zlib.crc32(body) != int.from_bytes(data[1:_HEADER], "big"):
        raise _refuse("bad message: CRC check failed")
    metadata, payload = _json_body(body) if version == _JSON else _protobuf_body(body)
    encoding = metadata.get(ENCODING) or metadata.get(_LEGACY_ENCODING) or ""
    if encoding != "json":
        raise _refuse(f"unsupported encoding: {encoding}")
    name = metadata.get(TYPE) or metadata.get(_LEGACY_TYPE) or ""
    model = MESSAGE_TYPES.get(name)
    if model is None:
        raise _refuse(f"unsupported message type: {name}")
    message: Message = decode_json(payload, model, name)
    if _MANY_DIGITS.search(payload):
        _check_numbers(message, name)
    return metadata, message


def _json_body(body: bytes) -> tuple[dict[str, str], bytes]:
    try:
        decoded = msgspec.json.decode(body, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _refuse(f"bad message: {error}") from error
    except RecursionError as error:
        raise _refuse("bad message: it is nested too deeply") from error
    return decoded.metadata, bytes(decoded.payload)


def _protobuf_body(body: bytes) -> tuple[dict[str, str], bytes]:
    """Read ``{1: {1: map entry {1: key, 2: value}, …}, 2: {1: payload}}``; checksums are unused."""
    metadata: dict[str, str] = {}
    payload = b""
    for number, value in _fields(body):
        for inner, part in _fields(value) if number in (1, 2) else ():
            if (number, inner) == (1, 1):
                entry = {key: _text(text) for key, text in _fields(part)}
                metadata[entry.get(1, "")] = entry.get(2, "")
            elif (number, inner) == (2, 1):
                payload = part
    return metadata, payload


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and bytes of each length-delimited field; other wire types are skipped."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == 2:
            length, at = _varint(data, at)
        elif kind == 0:
            _, at = _varint(data, at)
            continue
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise _refuse(f"bad message: protobuf wire type {kind}")
        if at + length > len(data):
            raise _refuse("bad message: a protobuf field is cut off")
        if kind == 2:
            yield number, data[at : at + length]
        at += length


def _check_numbers(message: Message, name: str) -> None:
    """Refuse whole numbers of more than 64 bits: official programs can't read an answer of ours that holds one.

    Raises
    ------
    BadRequest
        There is one.
    """
    pending: list[object] = [msgspec.to_builtins(message)]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            pending += value.values()
        elif isinstance(value, list):
            pending += value
        elif isinstance(value, int) and not -_INT64 <= value < _INT64:
            raise _refuse(f"a {name} holds a whole number of more than 64 bits")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise _refuse("bad message: a protobuf number is cut off")


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise _refuse("bad message: metadata is not UTF-8") from error


def _refuse(problem: str) -> BadRequest:
    return BadRequest(problem, component="Envelope")
