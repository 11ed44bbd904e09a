"""A container's output: from the daemon's stream of frames to the execution's log file.

What the log file holds already is counted in bytes per stream, and as many bytes are skipped when the
daemon's log is read again, from its start or from a checkpoint: nothing is lost or doubled, whatever was cut off and
where.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bacalhau_jupyter.engines.docker.output.checkpoints import Checkpoint, Checkpoints
from bacalhau_jupyter.lib.clock import SECOND
from bacalhau_jupyter.lib.times import parse_rfc3339
from bacalhau_jupyter.plugins.logfile import (
    END,
    MAX_PAYLOAD,
    NOTE,
    STDERR,
    STDOUT,
    STREAM_LIMIT,
    LogWriter,
    read_frames,
)

_HEADER = struct.Struct(">BxxxI")
_DAEMON_ERROR = 3
_SECONDS = len("2026-11-21T21:23:10")
_MILLISECONDS = len("2026-11-21T21:23:10.494")
_NANOSECONDS = len("2026-11-21T21:23:10.494587496")
_MS = 1_000_000
_PIECE = 16384
"""Bytes of a line that the daemon logs as one entry at most."""


class BrokenStream(Exception):
    """The daemon's stream ended early, or carries an error instead of output."""


class LogLost(Exception):
    """The execution's own log can't be written; ``__cause__`` is the `OSError`."""


@dataclass
class Position:
    """What an execution's log file holds.

    Attributes
    ----------
    written
        Bytes per stream.
    ended
        Whether it has its end frame.
    checkpoints
        Where the engine's log can be read on from.
    newest_ms
        The last time stamp per stream, Unix milliseconds.
    """

    written: dict[int, int] = field(default_factory=lambda: {STDOUT: 0, STDERR: 0})
    newest_ms: dict[int, int] = field(default_factory=lambda: {STDOUT: 0, STDERR: 0})
    limit: int = STREAM_LIMIT
    ended: bool = False
    checkpoints: Checkpoints = field(default_factory=Checkpoints)

    @classmethod
    def of(cls, path: Path, limit: int = STREAM_LIMIT) -> Position:
        """Go through a log file from its start; what is missing or torn at its end is left out.

        ``limit``: bytes that are kept of each stream.

        Raises
        ------
        OSError
            The file can't be read.
        """
        position, offset = cls(limit=limit), 0
        while frames := list(read_frames(path, offset)):
            for frame in frames:
                if frame.stream == END:
                    position.ended = True
                elif frame.stream in position.written:
                    position.note(frame.stream, frame.time_ns, frame.data, len(frame.data))
                elif frame.stream != NOTE:
                    return position
                offset = frame.next_offset
        return position

    @property
    def full(self) -> bool:
        """Whether both streams have had all that is kept of them."""
        return all(written >= self.limit for written in self.written.values())

    def note(self, stream: int, time_ns: int, received: bytes, written: int) -> None:
        """Count what was received, and how many bytes of it were written."""
        self.checkpoints.note(stream, time_ns // _MS, len(received), ended=received.endswith(b"\n"))
        self.newest_ms[stream] = max(self.newest_ms[stream], time_ns // _MS)
        self.written[stream] += written


class LogCopier:
    """Writes a container's output to the log file; feed it one stream after another until one ends well.

    Parameters
    ----------
    writer
        The execution's log.
    position
        What that log holds; kept up to date, so that `copy` can begin anew after a broken stream.
    newlines_lost
        Whether the daemon leaves out the newline of a line that it logged in pieces (see `_Mender`).
    """

    def __init__(self, writer: LogWriter, position: Position, *, newlines_lost: bool = False) -> None:
        self._writer = writer
        self._position = position
        self._newlines_lost = newlines_lost
        self._clock = _StampReader()

    def copy(self, chunks: Iterator[bytes], place: Checkpoint | None = None) -> None:
        """Copy the daemon's log beyond what is there.

        Of a log that was rotated meanwhile, what is younger than all that is there.

        Parameters
        ----------
        chunks
            The log from ``place`` on; entries older than that place may be in it and are left out.
        place
            A place of `Position.checkpoints`; None means the start.

        Raises
        ------
        BrokenStream
            The stream ended inside a frame, or the daemon reports an error in it.
        LogLost
            The log can't be written, because the disk is full for example.
        """
        place = place or self._position.checkpoints.start
        skip, before = dict(place.received), dict(self._position.newest_ms)
        rotated: bool | None = None
        mender = _Mender() if self._newlines_lost else None
        for frames in _frames(chunks):
            run = _Run()
            for stream, payload in frames:
                stamp, _, data = payload.partition(b" ")
                if mender:
                    data = mender.mend(stream, stamp, data)
                if place.since_ms and self._clock.read(stamp) // _MS < place.since_ms:
                    continue
                if rotated is None:
                    rotated = place.first_ms not in (0, self._clock.read(stamp) // _MS)
                if rotated:
                    if self._clock.read(stamp) // _MS <= before[stream]:
                        continue
                elif skip[stream]:
                    skipped = min(skip[stream], len(data))
                    skip[stream] -= skipped
                    data = data[skipped:]
                if not data:
                    continue
                if not run.takes(stream, stamp, data):
                    self._write(run)
                    run = _Run(stream, stamp)
                run.parts.append(data)
                run.size += len(data)
            self._write(run)

    def _write(self, run: _Run) -> None:
        if not run.size:
            return
        received, time_ns = b"".join(run.parts), self._clock.read(run.stamp)
        # A node that restarts must not grant the stream its limit a second time.
        data = received[: self._position.limit - self._position.written[run.stream]]
        if data:
            try:
                self._writer.write(run.stream, data, time_ns)
            except OSError as error:
                raise LogLost from error
        self._position.note(run.stream, time_ns, received, len(data))


class _Run:
    """Lines of one stream and millisecond that came together become one frame: each costs a write."""

    def __init__(self, stream: int = STDOUT, stamp: bytes = b"") -> None:
        self.stream = stream
        self.stamp = stamp
        self.parts: list[bytes] = []
        self.size = 0

    def takes(self, stream: int, stamp: bytes, data: bytes) -> bool:
        return (
            stream == self.stream
            and self.stamp[:_MILLISECONDS] == stamp[:_MILLISECONDS]
            and self.size + len(data) <= MAX_PAYLOAD
        )


class _Mender:
    """Gives lines over 16 KiB their newline back, which the driver ``local`` loses before Docker Engine 23.

    A line's pieces have one time stamp; all but the last are of the daemon's full size. The last piece has lost its
    newline, unless the program ended in the middle of such a line: this case looks the same, so it gets one, too.
    """

    def __init__(self) -> None:
        self._open: dict[int, bytes] = {}

    def mend(self, stream: int, stamp: bytes, data: bytes) -> bytes:
        """Return the data of a stream's next entry as the program wrote it."""
        if len(data) == _PIECE and not data.endswith(b"\n"):
            self._open[stream] = stamp
            return data
        if self._open.pop(stream, None) == stamp and not data.endswith(b"\n"):
            return data + b"\n"
        return data


def _frames(chunks: Iterator[bytes]) -> Iterator[list[tuple[int, bytes]]]:
    """Yield the frames ``(stream, payload)`` that each chunk makes whole, as soon as they are."""
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
        start, frames = 0, list[tuple[int, bytes]]()
        while start + _HEADER.size <= len(buffer):
            stream, length = _HEADER.unpack_from(buffer, start)
            end = start + _HEADER.size + length
            if end > len(buffer):
                break
            payload = bytes(buffer[start + _HEADER.size : end])
            start = end
            if stream == _DAEMON_ERROR:
                yield frames
                raise BrokenStream(payload.decode(errors="replace").strip())
            frames.append((STDERR if stream == STDERR else STDOUT, payload))
        del buffer[:start]
        yield frames
    if buffer:
        raise BrokenStream("the daemon's log stream ended inside a frame")


class _StampReader:
    """Reads the daemon's time stamps (RFC 3339, nine digits); most of them share their second.

    They are in UTC with the driver ``json-file`` and in the engine's own time zone with ``local``.
    """

    def __init__(self) -> None:
        self._last_stamp = (b"", b"")
        self._seconds = 0

    def read(self, stamp: bytes) -> int:
        """Return Unix nanoseconds."""
        if len(stamp) <= _NANOSECONDS or not stamp[_SECONDS + 1 : _NANOSECONDS].isdigit():
            return parse_rfc3339(stamp.decode())
        second = (stamp[:_SECONDS], stamp[_NANOSECONDS:])
        if second != self._last_stamp:
            self._seconds = parse_rfc3339((second[0] + second[1]).decode()) // SECOND
            self._last_stamp = second
        return self._seconds * SECOND + int(stamp[_SECONDS + 1 : _NANOSECONDS])
