"""The orchestrator's side of log streams: opens them on nodes, and notices how they end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from bacalhau_jupyter.lib.clock import SECOND, Clock
from bacalhau_jupyter.lib.ids import IdSource
from bacalhau_jupyter.models.codec import decode, encode
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest, NetworkFailure, ResourceExhausted
from bacalhau_jupyter.models.wire.api import LogFrame
from bacalhau_jupyter.models.wire.messages import ExecutionLogsRequest
from bacalhau_jupyter.transport.base import DeliveryError
from bacalhau_jupyter.transport.nats import frames, subjects
from bacalhau_jupyter.transport.nats.connection import Connection
from bacalhau_jupyter.transport.nats.inbox import is_unheard
from bacalhau_jupyter.transport.wire import cut

if TYPE_CHECKING:
    from nats.aio.msg import Msg

_log = logging.getLogger(__name__)

MOST_BUFFERED = 32 << 20
"""Bytes of a stream that may wait for its reader; a node that can't be held back may be faster than him."""


class LogReaders:
    """Log streams that this end reads.

    Parameters
    ----------
    connection, clock, ids
        Carries them; tells how long a node was silent; makes their names.
    """

    def __init__(self, connection: Connection, clock: Clock, ids: IdSource) -> None:
        self._connection = connection
        self._clock = clock
        self._ids = ids
        self._streams: dict[str, _Stream] = {}
        self._heard_ns: dict[str, int] = {}
        self._watch: asyncio.Task[None] | None = None
        connection.subscribe(subjects.STREAMS, self._frame)
        connection.subscribe(subjects.STREAM_HEARTBEATS, self._heartbeat)
        connection.watch(lambda: None, self._lost)

    async def read(self, request: ExecutionLogsRequest) -> AsyncGenerator[LogFrame, None]:
        """Yield an execution's output; raises BacalhauError when it can't be read, or not to its end."""
        token = self._ids().replace("-", "")[:16]
        stream = self._streams[token] = _Stream(request.node_id, token, self._connection.settings.log_queue)
        self.heard(request.node_id)
        if self._watch is None:
            self._watch = asyncio.create_task(self._watch_silence(), name="silence of log streams")
        try:
            await self._open(token, stream, request)
            while (frame := await stream.next()) is not None:
                yield frame
                if stream.owes_progress and stream.control:
                    progress = frames.StreamProgress(taken=stream.tell())
                    with contextlib.suppress(DeliveryError):
                        await self._connection.publish(stream.control, encode(progress))
        finally:
            self._streams.pop(token, None)
            if stream.control and not stream.is_over:
                with contextlib.suppress(DeliveryError):
                    await self._connection.publish(stream.control, encode(frames.StreamProgress(closed=True)))

    def heard(self, node_id: str) -> None:
        """Remember that a node lives; whatever it sends says so."""
        if self._streams:
            self._heard_ns[node_id] = self._clock.monotonic_ns()

    def restarted(self, node_id: str) -> None:
        """End the streams of a node that introduces itself: it knows nothing of them any more."""
        for stream in self._streams.values():
            if stream.node_id == node_id:
                stream.end(NetworkFailure(frames.NODE_WENT_AWAY, component="LogStream", retryable=True))

    async def close(self) -> None:
        """End all streams."""
        for stream in self._streams.values():
            stream.end(NetworkFailure("the orchestrator stops", component="LogStream", retryable=True))
        task, self._watch = self._watch, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _open(self, token: str, stream: _Stream, request: ExecutionLogsRequest) -> None:
        body = frames.StreamOpen(
            consumer_id=subjects.stream_inbox(request.node_id),
            stream_id=token,
            heartbeat_subject=subjects.stream_heartbeat(request.node_id),
            body=encode(request),
            window=stream.window,
        )
        try:
            await self._connection.publish(subjects.logs(request.node_id), encode(body), stream.subject)
        except DeliveryError as error:
            raise NetworkFailure(
                f"the logs of node {request.node_id} can't be read: {error.message}",
                component="LogStream",
                retryable=True,
            ) from error

    async def _frame(self, message: Msg) -> None:
        stream = self._streams.get(message.subject.rpartition(".")[2])
        if stream is None or stream.subject != message.subject:
            return
        if is_unheard(message):
            stream.end(
                NetworkFailure(
                    f"node {stream.node_id} is not connected, so its logs can't be read",
                    component="LogStream",
                    retryable=True,
                )
            )
            return
        self.heard(stream.node_id)
        try:
            stream.take(message.data, message.reply)
        except BadRequest as error:
            stream.end(BacalhauError(f"node {stream.node_id} sent a log frame that can't be read: {error}"))

    async def _heartbeat(self, message: Msg) -> None:
        try:
            request = frames.read(message.data, frames.StreamHeartbeatRequest)
        except BadRequest as error:
            _log.warning("a heartbeat of log streams can't be read: %s", error)
            return
        dead: dict[str, list[str]] = {}
        for subject, tokens in request.active_stream_ids.items():
            node_id = subjects.sender(subject)
            if message.subject != subjects.stream_heartbeat(node_id):
                return  # the streams of somebody else, who answers for himself
            self.heard(node_id)
            unread = [token for token in tokens if not self._is_read(token, node_id)]
            if unread:
                dead[subject] = unread
        if subjects.is_reply(message.reply):
            answer = frames.StreamHeartbeatResponse(non_active_stream_ids=dead)
            with contextlib.suppress(DeliveryError):
                await self._connection.publish(message.reply, encode(answer))

    def _is_read(self, token: str, node_id: str) -> bool:
        stream = self._streams.get(token)
        return stream is not None and stream.node_id == node_id and not stream.is_over

    def _lost(self) -> None:
        # What was on its way is lost, and with it the stream's completeness.
        reason = self._connection.state.reason
        for stream in self._streams.values():
            stream.end(
                NetworkFailure(f"the log stream was cut: {reason}", component="LogStream", retryable=True)
            )

    async def _watch_silence(self) -> None:
        limit_ns = int(self._connection.settings.stream_silence_s * SECOND)
        while True:
            await asyncio.sleep(self._connection.settings.stream_silence_s / 4)
            now_ns = self._clock.monotonic_ns()
            for stream in self._streams.values():
                if now_ns - self._heard_ns.get(stream.node_id, now_ns) > limit_ns:
                    stream.end(NetworkFailure(frames.NODE_WENT_AWAY, component="LogStream", retryable=True))
            nodes = {stream.node_id for stream in self._streams.values()}
            self._heard_ns = {node: at for node, at in self._heard_ns.items() if node in nodes}


class _Stream:
    """One stream: what has arrived and was not read yet."""

    def __init__(self, node_id: str, token: str, window: int) -> None:
        self.node_id = node_id
        self.subject = f"{subjects.stream_inbox(node_id)}{token}"
        self.window = window
        self.control = ""
        self.is_over = False
        self._waiting: deque[tuple[int, LogFrame]] = deque()
        self._size = 0
        self._last_seq = 0
        self._taken = 0
        self._acknowledged = 0
        self._end: BacalhauError | None = None
        self._changed = asyncio.Event()

    @property
    def owes_progress(self) -> bool:
        """Whether the writer should hear by now how far the reader is."""
        return self._taken - self._acknowledged >= max(1, self.window // 2)

    def tell(self) -> int:
        """Return how many frames were read; the writer is about to hear it."""
        self._acknowledged = self._taken
        return self._taken

    async def next(self) -> LogFrame | None:
        """Return the next frame, None after the last; raises BacalhauError where the stream broke."""
        while not self._waiting:
            if self._end is not None:
                raise self._end
            if self.is_over:
                return None
            self._changed.clear()
            await self._changed.wait()
        size, frame = self._waiting.popleft()
        self._size -= size
        self._taken += 1
        return frame

    def end(self, error: BacalhauError | None = None) -> None:
        """Let the reader have what has arrived, and then the error, if any."""
        if not self.is_over:
            self.is_over, self._end = True, error
            self._changed.set()

    def take(self, data: bytes, reply: str) -> None:
        """Take a frame.

        Raises
        ------
        BadRequest
            It can't be read.
        """
        if self.is_over:
            return
        frame = frames.read(data, frames.StreamFrame)
        match frame.type:
            case frames.OPENED:
                self.control = reply if subjects.is_reply(reply) else ""
            case frames.CLOSE:
                self.end(_error_of(frame.close_error or frames.CloseError(code=frames.ABNORMAL)))
            case frames.DATA:
                self._data(frame, len(data))

    def _data(self, frame: frames.StreamFrame, size: int) -> None:
        if frame.seq:
            if frame.seq != self._last_seq + 1:
                self.end(
                    NetworkFailure("log lines were lost on their way", component="LogStream", retryable=True)
                )
                return
            self._last_seq = frame.seq
        if self._size + size > MOST_BUFFERED:
            self.end(
                ResourceExhausted(
                    "the log arrives faster than it is read", component="LogStream", retryable=True
                )
            )
            return
        self._size += size
        self._waiting.append((size, decode(frame.data, LogFrame, "log line")))
        self._changed.set()


def _error_of(close: frames.CloseError) -> BacalhauError | None:
    text = cut(close.text)
    match close.code:
        case frames.NORMAL:
            return None
        case frames.GOING_AWAY | frames.ABNORMAL:
            return NetworkFailure(text or frames.NODE_WENT_AWAY, component="LogStream", retryable=True)
        case frames.BAD_REQUEST:
            return BadRequest(text or "the node did not understand the request", component="LogStream")
    return BacalhauError(text or "the log stream failed on the node", component="LogStream")
