"""What carriers that write bytes share: envelopes of data-plane messages, and errors as answers."""

from __future__ import annotations

from collections.abc import Mapping

from bacalhau_jupyter.models.errors import BacalhauError, BadRequest, error_from_envelope
from bacalhau_jupyter.models.wire.envelope import (
    EVENT_TIME,
    SEQ_NUM,
    SOURCE,
    data_metadata,
    decode,
    encode,
    full_metadata,
)
from bacalhau_jupyter.models.wire.messages import (
    AskForBid,
    BacError,
    BidAccepted,
    BidRejected,
    BidResult,
    CancelExecution,
    ComputeError,
    Message,
    RunResult,
    ToCompute,
    ToOrchestrator,
)
from bacalhau_jupyter.transport.base import Envelope

_DATA_MESSAGES = (AskForBid, BidAccepted, BidRejected, BidResult, CancelExecution, ComputeError, RunResult)

_INT64 = 1 << 63
_SENTENCE = 2000
"""Characters of an error that another program sends; it is shown, logged and kept."""


def pack(envelope: Envelope, subject: str = "") -> tuple[dict[str, str], bytes]:
    """Return a data-plane message's metadata and its bytes; ``subject`` is named in it where it is not empty."""
    metadata = data_metadata(envelope.source, envelope.event_time_ns, envelope.seq, subject)
    return full_metadata(envelope.message, metadata), encode(envelope.message, metadata)


def unpack(data: bytes) -> Envelope | Message:
    """Read a data-plane message; what does not belong there comes back as it is.

    A number that can't be read counts as 0: it says how far a peer is, the message itself is whole.

    Raises
    ------
    BadRequest
        Not a message.
    """
    metadata, message = decode(data)
    if not isinstance(message, _DATA_MESSAGES):
        return message
    return Envelope(
        message=message,
        seq=max(0, _number(metadata, SEQ_NUM)),
        event_time_ns=_number(metadata, EVENT_TIME),
        source=metadata.get(SOURCE, ""),
    )


def seq_of(headers: Mapping[str, str] | None, data: bytes) -> int:
    """Return the sequence number of a message that is not taken in; 0 where it can't be found out."""
    if seq := max(0, _number(headers or {}, SEQ_NUM)):
        return seq
    try:
        return max(0, _number(decode(data)[0], SEQ_NUM))
    except BadRequest:
        return 0


def execution_of(message: ToCompute | ToOrchestrator) -> str:
    """Return the ID of the execution that a data-plane message is about."""
    return message.execution.id if isinstance(message, AskForBid) else message.execution_id


def error_of(answer: BacError) -> BacalhauError:
    """Rebuild the exception that an answer describes."""
    error = error_from_envelope(
        {
            "Message": cut(answer.cause),
            "Hint": cut(answer.hint),
            "Code": answer.code[:100],
            "Component": answer.component[:100],
            "Details": {cut(name): cut(text) for name, text in list((answer.details or {}).items())[:50]},
        },
        answer.http_status_code,
    )
    # Official orchestrators leave the status out and let the code decide.
    error.status = answer.http_status_code or error.default_status
    error.retryable = answer.retryable
    error.fails_execution = answer.fails_execution
    return error


def cut(text: str) -> str:
    """Return a sentence of another program as far as anybody would read it."""
    return text if len(text) <= _SENTENCE else f"{text[: _SENTENCE - 1]}…"


def _number(metadata: Mapping[str, str], name: str) -> int:
    try:
        number = int(metadata.get(name, "0"))
    except ValueError:
        return 0
    return number if -_INT64 <= number < _INT64 else 0
