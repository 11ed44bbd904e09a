"""A node's side of log streams: many at a time, each held back by its reader, none left behind."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bacalhau_jupyter.models.codec import decode, encode
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest
from bacalhau_jupyter.models.wire.api import LogFrame, LogLine
from bacalhau_jupyter.models.wire.messages import ExecutionLogsRequest
from bacalhau_jupyter.transport.base import DeliveryError, LogHandler
from bacalhau_jupyter.transport.nats import frames, subjects
from bacalhau_jupyter.transport.nats.connection import Connection
from bacalhau_jupyter.transport.nats.inbox import Inbox, Question

if TYPE_CHECKING:
    from nats.aio.msg import Msg

_log = logging.getLogger(__name__)

MOST_STREAMS = 512
"""Streams that a node writes at a time; one more is refused."""

MOST_CUT = 1024
"""Streams of a lost connection whose readers are told when it is back."""

HEARTBEAT_TIMEOUT_S = 5.0
"""Seconds for a reader to say which streams it still reads."""

SETTLED_EVERY = 64
"""Frames without a word of the reader after which the server must have taken them all."""


class LogWriters:
    """Log streams that this node writes.

    Parameters
    ----------
    node_id
        Who writes.
    connection, inbox
        Carry them, and the readers' answers.
    """

    def __init__(self, node_id: str, connection: Connection, inbox: Inbox) -> None:
        self._subject = subjects.logs(node_id)
        self._connection = connection
        self._inbox = inbox
        self._logs: LogHandler | None = None
        self._streams: dict[tuple[str, str], _Writer] = {}
        self._cut: list[str] = []
        self._beat: asyncio.Task[None] | None = None
        self._farewell: asyncio.Task[None] | None = None
        connection.subscribe(self._subject, self._open)
        connection.watch(self._returned, self._lost)

    def serve(self, logs: LogHandler) -> None:
        """Answer requests with `logs` from now on."""
        self._logs = logs

    async def end_all(self) -> None:
        """End all streams, and tell their readers."""
        await asyncio.gather(
            *(
                self._end(writer, frames.GOING_AWAY, frames.NODE_WENT_AWAY)
                for writer in list(self._streams.values())
            )
        )

    async def close(self) -> None:
        """End all streams; nothing is left running."""
        self._logs = None
        await self.end_all()
        self._cut.clear()
        tasks = [task for task in (self._beat, self._farewell) if task is not None]
        self._beat = self._farewell = None
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    # ---- opening and ending

    async def _open(self, message: Msg) -> None:
        if not subjects.is_stream_reply(message.reply):
            _log.warning("a request for logs names no stream of a reader to answer on")
            return
        try:
            opened, request = self._understood(message)
        except BadRequest as error:
            await self._say(message.reply, frames.close_frame(frames.BAD_REQUEST, error.message))
            return
        key = opened.consumer_id, opened.stream_id
        if problem := self._refusal(key):
            await self._say(message.reply, frames.close_frame(frames.INTERNAL_ERROR, problem))
            return
        assert self._logs is not None, "else it was refused"
        writer = _Writer(opened, message.reply, self._connection, self._inbox)
        self._streams[key] = writer
        writer.task = asyncio.create_task(
            self._write(writer, self._logs, request), name=f"log stream {request.execution_id}"
        )
        if self._beat is None or self._beat.done():
            self._beat = asyncio.create_task(self._heartbeats(), name="heartbeats of log streams")

    def _refusal(self, key: tuple[str, str]) -> str:
        if self._logs is None:
            return frames.NODE_WENT_AWAY
        if key in self._streams:
            return "a log stream of this name is open already"
        return "the node writes as many log streams as it can" if len(self._streams) >= MOST_STREAMS else ""

    def _understood(self, message: Msg) -> tuple[frames.StreamOpen, ExecutionLogsRequest]:
        opened = frames.read(message.data, frames.StreamOpen)
        if f"{opened.consumer_id}{opened.stream_id}" != message.reply:
            raise BadRequest("the request for logs names another stream than it wants to be answered on")
        if not subjects.is_stream_heartbeat(opened.heartbeat_subject):
            raise BadRequest("the request for logs names no subject for heartbeats")
        return opened, decode(opened.body, ExecutionLogsRequest, "request for logs")

    async def _write(self, writer: _Writer, logs: LogHandler, request: ExecutionLogsRequest) -> None:
        code, text = frames.NORMAL, ""
        log = logs(request)
        try:
            await writer.begin()
            async for frame in log:
                await writer.write(frame)
        except BadRequest as error:
            code, text = frames.BAD_REQUEST, error.message
        except DeliveryError as error:
            code, text = frames.ABNORMAL, error.message
        except BacalhauError as error:
            code, text = frames.INTERNAL_ERROR, error.message
        except Exception:
            _log.exception("a log handler failed")
            code, text = frames.INTERNAL_ERROR, "the log stream failed on the node"
        finally:
            closer = getattr(log, "aclose", None)
            if closer is not None:
                await closer()
            writer.end()
            self._streams.pop(writer.key, None)
        await self._say(writer.subject, frames.close_frame(code, text))

    async def _end(self, writer: _Writer, code: int = 0, text: str = "") -> None:
        """End a stream from outside; its reader hears of it where a code is given."""
        self._streams.pop(writer.key, None)
        if writer.task is not None:
            writer.task.cancel()
            if writer.task is not asyncio.current_task():
                await asyncio.wait([writer.task])
        if code:
            await self._say(writer.subject, frames.close_frame(code, text))

    async def _say(self, subject: str, data: bytes) -> None:
        with contextlib.suppress(DeliveryError):
            await self._connection.publish(subject, data)

    # ---- a connection that is lost and comes back

    def _lost(self) -> None:
        for writer in list(self._streams.values()):
            self._cut = [*self._cut, writer.subject][-MOST_CUT:]
            self._streams.pop(writer.key, None)
            if writer.task is not None:
                writer.task.cancel()

    def _returned(self) -> None:
        cut, self._cut = self._cut, []
        if cut:
            self._farewell = asyncio.create_task(self._tell_cut(cut), name="ends of lost log streams")

    async def _tell_cut(self, cut: list[str]) -> None:
        for subject in cut:
            await self._say(
                subject,
                frames.close_frame(frames.ABNORMAL, "the node lost its link while its logs were read"),
            )

    # ---- heartbeats

    async def _heartbeats(self) -> None:
        while self._streams:
            await asyncio.sleep(self._connection.settings.stream_heartbeat_s)
            consumers: dict[str, list[_Writer]] = {}
            for writer in self._streams.values():
                consumers.setdefault(writer.opened.heartbeat_subject, []).append(writer)
            await asyncio.gather(*(self._ask(subject, writers) for subject, writers in consumers.items()))

    async def _ask(self, heartbeat_subject: str, writers: list[_Writer]) -> None:
        tokens = [writer.opened.stream_id for writer in writers]
        body = encode(frames.StreamHeartbeatRequest(active_stream_ids={self._subject: tokens}))
        is_sure = is_late = False
        try:
            answer = frames.read(
                await self._inbox.ask(
                    Question(heartbeat_subject, body, "the reader of the logs"), HEARTBEAT_TIMEOUT_S
                ),
                frames.StreamHeartbeatResponse,
            )
        except BadRequest as error:
            _log.warning("the answer to a heartbeat of log streams can't be read: %s", error)
            return
        except TimeoutError:
            unread, is_late = set(tokens), True
        except DeliveryError:
            unread, is_sure = set(tokens), True
        else:
            unread = {token for each in answer.non_active_stream_ids.values() for token in each}
        for writer in writers:
            was_unread, writer.is_unread = writer.is_unread, writer.opened.stream_id in unread
            if is_late:
                # A busy reader reads on, and would wait for ever for a stream whose end it does not hear of.
                if was_unread:
                    await self._end(writer, frames.ABNORMAL, "the reader of the logs did not answer")
            # Official orchestrators name living streams, too, for a moment after a new one was opened.
            elif writer.is_unread and (was_unread or writer.opened.window or is_sure):
                await self._end(writer)


class _Writer:
    """One stream: where it goes, and how far its reader is."""

    def __init__(self, opened: frames.StreamOpen, subject: str, connection: Connection, inbox: Inbox) -> None:
        self.opened = opened
        self.subject = subject
        self.key = opened.consumer_id, opened.stream_id
        self.is_unread = False
        self.task: asyncio.Task[None] | None = None
        self._connection = connection
        self._inbox = inbox
        self._control = ""
        self._sent = 0
        self._taken = 0
        self._moved = asyncio.Event()

    async def begin(self) -> None:
        """Say that the stream is open, to a reader that understands it."""
        if self.opened.window > 0:
            self._control = self._inbox.listen(self._progress)
            await self._connection.publish(
                self.subject, encode(frames.StreamFrame(type=frames.OPENED)), self._control
            )

    async def write(self, frame: LogFrame) -> None:
        """Send a frame as soon as the reader has room for it; raises DeliveryError where it can't be sent."""
        for part in _parts(frame, self._connection.max_payload):
            is_held_back = self.opened.window > 0
            while is_held_back and self._sent - self._taken >= self.opened.window:
                self._moved.clear()
                await self._moved.wait()
            if not is_held_back and self._sent % SETTLED_EVERY == SETTLED_EVERY - 1:
                await self._connection.settle()
            self._sent += 1
            data = frames.StreamFrame(type=frames.DATA, data=part, seq=self._sent if is_held_back else 0)
            await self._connection.publish(self.subject, encode(data))

    def end(self) -> None:
        """Stop listening to the reader."""
        if self._control:
            self._inbox.unlisten(self._control)

    def _progress(self, data: bytes) -> None:
        try:
            progress = frames.read(data, frames.StreamProgress)
        except BadRequest as error:
            _log.warning("the progress of a log stream can't be read: %s", error)
            return
        self._taken = min(max(self._taken, progress.taken), self._sent)
        self._moved.set()
        if progress.closed and self.task is not None:
            self.task.cancel()


def _parts(frame: LogFrame, max_payload: int) -> Iterator[bytes]:
    """Yield a frame's bytes, in pieces where it is too large for one message."""
    data = encode(frame)
    # A frame grows by a third as base64, and has some words around it.
    if not max_payload or len(data) * 4 // 3 + 200 <= max_payload or len(frame.value.line) < 2:
        yield data
        return
    half = len(frame.value.line) // 2
    for line in (frame.value.line[:half], frame.value.line[half:]):
        value = LogLine(type=frame.value.type, line=line)
        yield from _parts(LogFrame(error=frame.error, value=value), max_payload)
