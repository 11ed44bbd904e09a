"""The small NCL messages outside the envelope: acknowledgements, log streams, the legacy registration probe.

Our node does not speak them yet; the recorded messages show that the codec can carry them.
"""

from __future__ import annotations

import msgspec

from bacalhau_jupyter.models.codec import Wire, always
from bacalhau_jupyter.models.records.node import NodeInfo


class Ack(Wire, rename=None):
    """Answer to a data-plane message: ``{}`` took it; ``error`` did not, try again in ``delay`` nanoseconds."""

    error: str = ""
    delay: int = 0


class StreamOpen(Wire):
    """Open a stream of frames; ``body`` is base64 of the request (for logs an `ExecutionLogsRequest`)."""

    consumer_id: str = always("", name="consumerId")
    stream_id: str = always("", name="streamId")
    heartbeat_subject: str = always("", name="heartBeatRequestSub")
    body: str = always("", name="body")


class CloseError(Wire):
    """Why a stream ended: 1000 is the normal end, 5000 an internal error."""

    code: int = always(0)
    text: str = always("")


class StreamFrame(Wire):
    """One frame: ``type`` 1 carries base64 ``data``, 2 ends the stream."""

    type: int = always(0, name="type")
    data: str = msgspec.field(default="", name="data")
    close_error: CloseError | None = msgspec.field(default=None, name="closeError")


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
