"""The file of the audit log: lines at its end, put aside by size, and bounded in all. Functions here block."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


class AuditFile:
    """Appends whole lines; no job or other user can read them.

    Parameters
    ----------
    path
        The file; ``path.1`` is the one before it, and so on.
    limit
        Bytes of one file.
    kept
        How many older files are kept.
    """

    def __init__(self, path: Path, limit: int, kept: int) -> None:
        self._path = path
        self._limit = limit
        self._kept = kept
        self._descriptor = -1

    def open(self) -> None:
        """Open the file, or make it.

        Raises
        ------
        OSError
            It can't be written, or is a link to elsewhere, or no file: a pipe that nobody reads takes lines until it
            is full, and then holds up each answer.
        """
        descriptor = os.open(self._path, _FLAGS, 0o600)
        try:
            state = os.fstat(descriptor)
            if not stat.S_ISREG(state.st_mode):
                raise OSError(errno.EINVAL, "it is not a file", str(self._path))
            os.fchmod(descriptor, 0o600)
            size = state.st_size
            # A process that ended in the middle of a line must not spoil the next one.
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                os.write(descriptor, b"\n")
        except OSError:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def write(self, line: bytes) -> None:
        """Append a line, all of it or nothing.

        Raises
        ------
        OSError
            The disk is full, say.
        """
        if self._descriptor < 0 or self._was_moved():
            self.close()
            self.open()
        size = os.fstat(self._descriptor).st_size
        if size and size + len(line) > self._limit:
            self._put_aside()
            size = 0
        try:
            written = os.write(self._descriptor, line)
            if written != len(line):
                # The rest has no room; the next attempt says so.
                os.write(self._descriptor, line[written:])
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, size)
            raise

    def close(self) -> None:
        """Close the file, if it is open."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _was_moved(self) -> bool:
        """Whether somebody (logrotate) has put the file aside."""
        try:
            there, ours = self._path.lstat(), os.fstat(self._descriptor)
        except FileNotFoundError:
            return True
        return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino)

    def _put_aside(self) -> None:
        names = [self._path, *(self._path.with_name(f"{self._path.name}.{n + 1}") for n in range(self._kept))]
        for older, newer in zip(reversed(names[1:]), reversed(names[:-1]), strict=True):
            with contextlib.suppress(FileNotFoundError):
                Path(newer).replace(older)
        if not self._kept:
            self._path.unlink()
        self.close()
        self.open()
