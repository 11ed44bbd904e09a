"""Log streams: replay an execution's log file, then follow it until the execution ends."""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from bacalhau_jupyter.compute.execution.record import ExecutionRecord
from bacalhau_jupyter.compute.files import Places, is_safe_id
from bacalhau_jupyter.compute.output.watch import DirectoryWatch
from bacalhau_jupyter.models.wire.api import LogFrame, LogLine
from bacalhau_jupyter.models.wire.messages import ExecutionLogsRequest
from bacalhau_jupyter.plugins.logfile import END, STDERR, STDOUT, Frame, read_frames, survey

T = TypeVar("T")

RecordLookup = Callable[[str], Awaitable[ExecutionRecord | None]]
"""Finds an execution, live or ended."""

CHUNK = 32 * 1024
"""Small frames of one stream that wait together are sent together, up to about this many bytes."""

RECHECK_S = 5.0
"""How long a follower trusts that it would have been woken."""

_READ_LIMIT = 256 * 1024


class LogFollower:
    """Serves log streams, any number at a time. It reads only as fast as the stream is consumed.

    Parameters
    ----------
    places
        Where the log files lie.
    lookup
        Finds executions.
    inotify
        False uses a timer instead.
    """

    def __init__(self, places: Places, lookup: RecordLookup, inotify: bool = True) -> None:
        self._places = places
        self._lookup = lookup
        self._watch = DirectoryWatch(places.logs, inotify)
        # Reads come from the page cache nearly always; two threads keep a slow disk off the loop.
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="logs")

    def wake(self, execution_id: str) -> None:
        """Tell followers that the execution ended."""
        self._watch.wake(self._places.log(execution_id).name)

    def close(self) -> None:
        """Stop watching; streams end by themselves."""
        self._watch.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def follow(self, request: ExecutionLogsRequest) -> AsyncIterator[LogFrame]:
        """Stream an execution's output as chunks that keep their newlines; the last may lack one.

        Without ``follow`` the stream ends where the log ends now. With it, it waits for an execution that has not
        started yet and ends with the execution. ``tail`` starts at what is written from now on. An execution that
        is not known is one frame with ``error``.
        """
        identifier = request.execution_id
        record = await self._lookup(identifier) if is_safe_id(identifier) else None
        if record is None:
            yield LogFrame(error=f"execution not found: {identifier}")
            return
        path = self._places.log(identifier)
        offset = await self._call(_whole, path, 0) if request.tail else 0
        text = _Text()
        with self._watch.following(path.name) as changed:
            while True:
                changed.clear()
                over = record is None or record.phase.is_terminal
                frames = await self._call(_read, path, offset)
                for chunk in text.chunks(frames):
                    yield chunk
                if frames:
                    offset = frames[-1].next_offset
                    if frames[-1].stream == END:
                        break
                    continue
                if over or not request.follow:
                    break
                await _wait(changed)
                record = await self._lookup(identifier)
        for chunk in text.rest():
            yield chunk

    async def _call(self, fn: Callable[[Path, int], T], path: Path, offset: int) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, fn, path, offset)


class _Text:
    """Turns frames into text; a character that two frames share waits for its second half."""

    def __init__(self) -> None:
        make = codecs.getincrementaldecoder("utf-8")
        self._decoders = {STDOUT: make("replace"), STDERR: make("replace")}

    def chunks(self, frames: list[Frame]) -> list[LogFrame]:
        """Return the text of frames, in order, neighbours of one stream joined."""
        decoded_frames: list[LogFrame] = []
        stream, parts, size = 0, list[bytes](), 0
        for frame in frames:
            if parts and (frame.shown_in != stream or size >= CHUNK):
                self._add(decoded_frames, stream, b"".join(parts))
                parts, size = [], 0
            if frame.shown_in in self._decoders:
                stream = frame.shown_in
                parts.append(frame.data)
                size += len(frame.data)
        if parts:
            self._add(decoded_frames, stream, b"".join(parts))
        return decoded_frames

    def rest(self) -> list[LogFrame]:
        """Return what an incomplete last character leaves."""
        frames: list[LogFrame] = []
        for stream in self._decoders:
            self._add(frames, stream, b"", final=True)
        return frames

    def _add(self, frames: list[LogFrame], stream: int, data: bytes, final: bool = False) -> None:
        text = self._decoders[stream].decode(data, final)
        if text:
            frames.append(LogFrame(value=LogLine(type=stream, line=text)))


async def _wait(changed: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(RECHECK_S):
            await changed.wait()
    except TimeoutError:
        return


def _read(path: Path, offset: int) -> list[Frame]:
    return list(read_frames(path, offset, _READ_LIMIT))


def _whole(path: Path, _offset: int) -> int:
    # Not the file's size: while a frame is being written, that lies in its middle.
    return survey(path).size
