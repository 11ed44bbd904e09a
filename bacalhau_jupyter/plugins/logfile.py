"""The log file of an execution with timestamped frames of stdout and stderr.

Frame: 1 byte stream (1 stdout, 2 stderr, 3 a note, 4 end), 8 bytes Unix nanoseconds, 4 bytes length, then the bytes;
big endian. A note is what the node adds to stderr: it counts neither as output of the task nor against its limit, and
another process than the writer may append it. The end frame has length 0 and says that nothing will follow. A frame is
written with one ``write`` call, so a reader sees whole frames or a short tail that it reads again later.

Only the standard library is used: the process engine's supervisor imports this module, too.
"""

from __future__ import annotations

import os
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

STDOUT = 1
STDERR = 2
NOTE = 3
END = 4
MAX_PAYLOAD = 64 * 1024
STREAM_LIMIT = 1_000_000_000
"""Bytes kept per stream; what a task prints beyond is dropped (as the official node does)."""

_HEADER = struct.Struct(">BQI")


@dataclass(frozen=True, slots=True)
class Frame:
    """A chunk of output; ``next_offset`` is where the following frame starts in the file."""

    stream: int
    time_ns: int
    data: bytes
    next_offset: int

    @property
    def shown_in(self) -> int:
        """The stream that people see it in."""
        return STDERR if self.stream == NOTE else self.stream


@dataclass
class Survey:
    """What a log file holds: bytes per stream, whether it has its end frame, and where its last whole frame ends."""

    written: dict[int, int] = field(default_factory=lambda: {STDOUT: 0, STDERR: 0})
    ended: bool = False
    size: int = 0


def survey(path: Path) -> Survey:
    """Go through a log file from its start; what is missing or torn at its end is left out.

    Raises
    ------
    OSError
        The file can't be read.
    """
    result = Survey()
    while frames := list(read_frames(path, result.size)):
        for frame in frames:
            if frame.stream == END:
                result.ended = True
            elif frame.stream in result.written:
                result.written[frame.stream] += len(frame.data)
            elif frame.stream != NOTE:
                return result
            result.size = frame.next_offset
    return result


class LogWriter:
    """Appends frames to a log file; safe to call from several threads.

    A file of before is continued: a frame that a killed writer left torn is cut off, and what the streams have
    had of their limit counts. So no other process may be writing it.

    Parameters
    ----------
    path
        The file; created 0600 when missing.
    limit
        Bytes kept per stream.

    Raises
    ------
    OSError
        The file can't be opened, read or shortened.
    """

    def __init__(
        self, path: Path, limit: int = STREAM_LIMIT, now_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._lock = threading.Lock()
        self._now_ns = now_ns
        self._closed = False
        try:
            before = self._recover(path)
        except BaseException:
            os.close(self._fd)
            raise
        self._left = {stream: max(0, limit - written) for stream, written in before.written.items()}

    def write(self, stream: int, data: bytes, time_ns: int | None = None) -> None:
        """Append ``data`` of ``stream``, split into frames.

        Raises
        ------
        OSError
            The disk is full or the file can't be written.
        """
        stamp = self._now_ns() if time_ns is None else time_ns
        with self._lock:
            data = data[: self._left[stream]]
            self._left[stream] -= len(data)
            for start in range(0, len(data), MAX_PAYLOAD):
                self._append(stream, stamp, data[start : start + MAX_PAYLOAD])

    def end(self) -> None:
        """Write the end frame and close the file; doing it again does nothing."""
        with self._lock:
            if not self._closed:
                self._append(END, self._now_ns(), b"")
                self._close()

    def close(self) -> None:
        """Close the file without an end frame (the task continues, another process will write)."""
        with self._lock:
            self._close()

    def _recover(self, path: Path) -> Survey:
        size = os.fstat(self._fd).st_size
        before = survey(path) if size else Survey()
        if before.size < size:
            os.ftruncate(self._fd, before.size)
        return before

    def _close(self) -> None:
        if not self._closed:
            self._closed = True
            os.close(self._fd)

    def _append(self, stream: int, stamp: int, data: bytes) -> None:
        frame = _HEADER.pack(stream, stamp, len(data)) + data
        written = os.write(self._fd, frame)
        if written < len(frame):
            # A short write means a full disk; the rest must not leave a broken frame for readers.
            os.ftruncate(self._fd, os.fstat(self._fd).st_size - written)
            raise OSError(28, "no space left for the execution's log")


def append_note(path: Path, text: str) -> None:
    """Add a line to a log file that another process may be writing.

    Raises
    ------
    OSError
        The file can't be written, or the disk is full.
    """
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        data = text.encode(errors="replace")[: MAX_PAYLOAD - 1] + b"\n"
        # One call, so that it lies between two frames of the writer.
        os.write(file, _HEADER.pack(NOTE, time.time_ns(), len(data)) + data)
    finally:
        os.close(file)


def read_frames(path: Path, offset: int = 0, limit: int = 1 << 20) -> Iterator[Frame]:
    """Yield whole frames from ``offset``, reading at most about ``limit`` bytes.

    A missing file and an incomplete last frame end the iteration; call again from the last
    ``next_offset`` when the file has grown. The end frame is yielded too.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(limit + _HEADER.size + MAX_PAYLOAD)
    except FileNotFoundError:
        return
    position = 0
    while position + _HEADER.size <= len(data) and position < limit:
        stream, stamp, length = _HEADER.unpack_from(data, position)
        start = position + _HEADER.size
        if start + length > len(data):
            return
        position = start + length
        yield Frame(stream, stamp, data[start:position], offset + position)
