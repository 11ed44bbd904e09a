"""A container's output: from the daemon's stream of frames to the execution's log file.

What the log file holds already is counted in bytes per stream, and as many bytes are skipped when the
daemon's log is read again from its start: nothing is lost or doubled, whatever was cut off and where.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bacalhau_jupyter.engines.logfile import END, STDERR, STDOUT, STREAM_LIMIT, LogWriter, read_frames

_HEADER = struct.Struct(">BxxxI")
_DAEMON_ERROR = 3
_SECONDS = len("2026-11-21T21:23:10")


class BrokenStream(Exception):
    """The daemon's stream ended early, or carries an error instead of output."""


class LogLost(Exception):
    """The execution's own log can't be written; ``__cause__`` is the `OSError`."""


@dataclass
class Position:
    """How much of each stream the log file holds, and whether it has its end frame."""

    written: dict[int, int] = field(default_factory=lambda: {STDOUT: 0, STDERR: 0})
    ended: bool = False


def position_of(path: Path) -> Position:
    """Count what an execution's log file holds; a frame torn by a crash is cut off.

    Raises
    ------
    OSError
        The file can't be read or shortened.
    """
    position, offset, whole = Position(), 0, True
    while whole and (frames := list(read_frames(path, offset))):
        for frame in frames:
            whole = frame.stream in (STDOUT, STDERR, END)
            if not whole:
                break
            offset = frame.next_offset
            position.ended = position.ended or frame.stream == END
            if frame.stream != END:
                position.written[frame.stream] += len(frame.data)
    if path.exists() and path.stat().st_size > offset:
        os.truncate(path, offset)
    return position


class LogCopier:
    """Writes a container's output to the log file; feed it one stream after another until one ends well.

    Parameters
    ----------
    writer
        The execution's log.
    position
        What that log holds; kept up to date, so that `copy` can begin anew after a broken stream.
    """

    def __init__(self, writer: LogWriter, position: Position) -> None:
        self._writer = writer
        self._position = position
        self._clock = _StampReader()

    def copy(self, chunks: Iterator[bytes]) -> None:
        """Copy the daemon's log, given from its start, beyond what is there.

        Raises
        ------
        BrokenStream
            The stream ended inside a frame, or the daemon reports an error in it.
        LogLost
            The log can't be written, because the disk is full for example.
        """
        skip = dict(self._position.written)
        for stream, payload in _frames(chunks):
            stamp, _, data = payload.partition(b" ")
            if skip[stream]:
                skipped = min(skip[stream], len(data))
                skip[stream] -= skipped
                data = data[skipped:]
            # A node that restarts must not grant the stream its limit a second time.
            data = data[: STREAM_LIMIT - self._position.written[stream]]
            if data:
                self._write(stream, data, self._clock.read(stamp))

    def _write(self, stream: int, data: bytes, stamp: int) -> None:
        try:
            self._writer.write(stream, data, stamp)
        except OSError as error:
            raise LogLost from error
        self._position.written[stream] += len(data)


def _frames(chunks: Iterator[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield ``(stream, payload)`` for each frame, as soon as it is whole."""
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
        start = 0
        while start + _HEADER.size <= len(buffer):
            stream, length = _HEADER.unpack_from(buffer, start)
            end = start + _HEADER.size + length
            if end > len(buffer):
                break
            payload = bytes(buffer[start + _HEADER.size : end])
            start = end
            if stream == _DAEMON_ERROR:
                raise BrokenStream(payload.decode(errors="replace").strip())
            yield (STDERR if stream == STDERR else STDOUT), payload
        del buffer[:start]
    if buffer:
        raise BrokenStream("the daemon's log stream ended inside a frame")


class _StampReader:
    """Reads the daemon's time stamps (RFC 3339, UTC, nine digits); most of them share their second."""

    def __init__(self) -> None:
        self._text = b""
        self._seconds = 0

    def read(self, stamp: bytes) -> int:
        """Return Unix nanoseconds."""
        text = stamp[:_SECONDS]
        if text != self._text:
            self._seconds = int(datetime.fromisoformat(text.decode()).replace(tzinfo=UTC).timestamp())
            self._text = text
        return self._seconds * 1_000_000_000 + int(stamp[_SECONDS:].strip(b".Z").ljust(9, b"0"))
