"""The small NCL messages outside the envelope: acknowledgements, log streams, the legacy registration probe.

Members marked "ours" are written only between our own nodes; official ones leave them out and ignore them.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from bacalhau_jupyter.models.codec import Wire, always, decode, encode
from bacalhau_jupyter.models.records.node import NodeInfo

T = TypeVar("T")

DATA, CLOSE, OPENED = 1, 2, 3
"""Types of stream frames; the last is ours."""

NORMAL, GOING_AWAY, UNSUPPORTED_DATA, ABNORMAL, BAD_REQUEST, INTERNAL_ERROR = (
    1000,
    1001,
    1003,
    1006,
    4000,
    5000,
)
"""Codes of close frames."""


class Ack(Wire, rename=None):
    """Answer to a data-plane message: ``{}`` took it; ``error`` did not, try again in ``delay`` nanoseconds."""

    error: str = ""
    delay: int = 0


class StreamOpen(Wire):
    """Open a stream of frames; ``body`` is the request (for logs an `ExecutionLogsRequest`).

    Ours: ``window`` is how many frames may be on their way; 0 means that the reader does not say what it took.
    """

    consumer_id: str = always("", name="consumerId")
    stream_id: str = always("", name="streamId")
    heartbeat_subject: str = always("", name="heartBeatRequestSub")
    body: bytes = always(b"", name="body")
    window: int = msgspec.field(default=0, name="window")


class CloseError(Wire):
    """Why a stream ended: 1000 is the normal end, 5000 an internal error."""

    code: int = always(0)
    text: str = always("")


class StreamFrame(Wire):
    """One frame: ``type`` 1 carries ``data``, 2 ends the stream.

    Ours: type 3 says that the stream is open and, as its reply subject, where `StreamProgress` goes; ``seq`` counts
    the data frames from 1, so that a lost one is noticed.
    """

    type: int = always(0, name="type")
    data: bytes = msgspec.field(default=b"", name="data")
    close_error: CloseError | None = msgspec.field(default=None, name="closeError")
    seq: int = msgspec.field(default=0, name="seq")


class StreamProgress(Wire):
    """Ours: how many data frames the reader took, and whether it is done."""

    taken: int = msgspec.field(default=0, name="taken")
    closed: bool = msgspec.field(default=False, name="closed")


class StreamHeartbeatRequest(Wire):
    """The sender's open streams, per subject."""

    active_stream_ids: dict[str, list[str]] = always({}, name="ActiveStreamIds")


class StreamHeartbeatResponse(Wire):
    """The streams the receiver no longer reads, per subject."""

    non_active_stream_ids: dict[str, list[str]] = always({}, name="NonActiveStreamIds")


class RegisterNodeRequest(Wire):
    """The legacy probe a stock compute node sends first."""

    info: NodeInfo = always(NodeInfo())


class RegisterNodeResult(Wire):
    """Never accepted: a node that is refused here goes on with NCL."""

    accepted: bool = always(False)
    reason: str = always("")


class RegisterNodeResponse(Wire):
    """Wrapper of `RegisterNodeResult`."""

    error: str = msgspec.field(default="", name="error")
    value: RegisterNodeResult = always(RegisterNodeResult(), name="value")


ACK = encode(Ack())
"""What says that a message is stored."""

NO_LEGACY = "node supports NCLv1 protocol - legacy protocol disabled"
TOO_OLD = "this version speaks no ncl/v1: v1.6.0 or later can join"
"""Reasons for which a node that tries the legacy protocol is refused; the first makes it go on with the new one."""

NODE_WENT_AWAY = "the node went away while its logs were read"
"""Why a log stream ended that its node did not end; the reader says it where the node no longer can."""

MOST_ERROR_CHARACTERS = 1000


def nack(problem: str, delay_s: float) -> bytes:
    """Return what says that a message was not taken, and when to send it again."""
    return encode(Ack(error=problem[:MOST_ERROR_CHARACTERS] or "not taken", delay=int(delay_s * 1e9)))


def close_frame(code: int, text: str = "") -> bytes:
    """Return the last frame of a stream."""
    return encode(
        StreamFrame(type=CLOSE, close_error=CloseError(code=code, text=text[:MOST_ERROR_CHARACTERS]))
    )


def read(data: bytes, kind: type[T]) -> T:
    """Read one of these messages.

    Raises
    ------
    BadRequest
        Not JSON, or a member has the wrong type.
    """
    return decode(data, kind, kind.__name__)
