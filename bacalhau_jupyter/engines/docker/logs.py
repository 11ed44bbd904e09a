"""A container's output: from the daemon's stream of frames to the execution's log file.

What the log file holds already is counted in bytes per stream, and as many bytes are skipped when the
daemon's log is read again from its start: nothing is lost or doubled, whatever was cut off and where.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from datetime import UTC, datetime

from bacalhau_jupyter.engines.logfile import MAX_PAYLOAD, STDERR, STDOUT, STREAM_LIMIT, LogWriter, Survey

_HEADER = struct.Struct(">BxxxI")
_DAEMON_ERROR = 3
_SECONDS = len("2026-11-21T21:23:10")
_MILLISECONDS = len("2026-11-21T21:23:10.494")


class BrokenStream(Exception):
    """The daemon's stream ended early, or carries an error instead of output."""


class LogLost(Exception):
    """The execution's own log can't be written; ``__cause__`` is the `OSError`."""


class LogCopier:
    """Writes a container's output to the log file; feed it one stream after another until one ends well.

    Parameters
    ----------
    writer
        The execution's log.
    position
        What that log holds; kept up to date, so that `copy` can begin anew after a broken stream.
    """

    def __init__(self, writer: LogWriter, position: Survey) -> None:
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
        for frames in _frames(chunks):
            run = _Run()
            for stream, payload in frames:
                stamp, _, data = payload.partition(b" ")
                if skip[stream]:
                    skipped = min(skip[stream], len(data))
                    skip[stream] -= skipped
                    data = data[skipped:]
                if not run.takes(stream, stamp, data):
                    self._write(run)
                    run = _Run(stream, stamp)
                run.parts.append(data)
                run.size += len(data)
            self._write(run)

    def _write(self, run: _Run) -> None:
        # A node that restarts must not grant the stream its limit a second time.
        data = b"".join(run.parts)[: STREAM_LIMIT - self._position.written[run.stream]]
        if not data:
            return
        try:
            self._writer.write(run.stream, data, self._clock.read(run.stamp))
        except OSError as error:
            raise LogLost from error
        self._position.written[run.stream] += len(data)


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


def _frames(chunks: Iterator[bytes]) -> Iterator[list[tuple[int, bytes]]]:
    """Yield the frames ``(stream, payload)`` that each chunk makes whole, as soon as they are."""
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
        start, found = 0, list[tuple[int, bytes]]()
        while start + _HEADER.size <= len(buffer):
            stream, length = _HEADER.unpack_from(buffer, start)
            end = start + _HEADER.size + length
            if end > len(buffer):
                break
            payload = bytes(buffer[start + _HEADER.size : end])
            start = end
            if stream == _DAEMON_ERROR:
                yield found
                raise BrokenStream(payload.decode(errors="replace").strip())
            found.append((STDERR if stream == STDERR else STDOUT, payload))
        del buffer[:start]
        yield found
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
