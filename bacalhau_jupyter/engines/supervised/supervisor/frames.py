"""The supervisor's own writer of log frames.

The format is that of `plugins.logfile`, whose imports alone would double the supervisor's start; a test compares the
two. Only the standard library's cheap modules are used.
"""

from __future__ import annotations

import errno
import os
import struct
import time

STDOUT, STDERR, END = 1, 2, 4
MAX_PAYLOAD = 64 * 1024
_HEADER = struct.Struct(">BQI")


class Log:
    """Appends frames to the execution's log; what a stream prints beyond ``limit`` bytes is dropped."""

    def __init__(self, path: str, limit: int) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._left = {STDOUT: limit, STDERR: limit}

    def write(self, stream: int, data: bytes) -> None:
        data = data[: self._left[stream]]
        if data:
            self._left[stream] -= len(data)
            self._append(stream, data)

    def end(self) -> None:
        self._append(END, b"")

    def _append(self, stream: int, data: bytes) -> None:
        frame = _HEADER.pack(stream, time.time_ns(), len(data)) + data
        written = os.write(self._fd, frame)
        if written < len(frame):
            # A short write means a full disk; the rest must not leave a broken frame for readers.
            os.ftruncate(self._fd, os.fstat(self._fd).st_size - written)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
