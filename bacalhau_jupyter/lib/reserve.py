"""Disk space that is reserved for when the disk is full."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

from bacalhau_jupyter.lib.threads.shared_answer import SharedAnswer

_log = logging.getLogger(__name__)

FULL = (errno.ENOSPC, errno.EDQUOT)
"""What the system says of a full disk, or of a quota that is used up."""

LARGEST = 16_000_000
SMALLEST = 65_536
_SHARE = 64
_PIECE = bytes(1 << 16)


def is_full(error: BaseException) -> bool:
    """Whether an error, or what led to it, says that a disk is full."""
    cause: BaseException | None = error
    for _ in range(10):
        if cause is None:
            return False
        if (isinstance(cause, OSError) and cause.errno in FULL) or getattr(cause, "full", False) is True:
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def fitting(total: int) -> int:
    """Return the bytes to keep free on a disk of so many: a 64th, 16 MB at most."""
    return max(SMALLEST, min(LARGEST, total // _SHARE))


class Reserve:
    """A file of zeroes that is removed when the disk is full, so that what has to be written then can be.

    Functions block for as long as a file of that size takes, and any thread may use them. Those that are awaited
    ask on a thread, once for all who ask at the same time; they belong to one event loop.

    Parameters
    ----------
    path
        The file; its directory exists when `make` is called.
    size
        Bytes; 0 takes a share of the disk (`fitting`).
    free
        Tells total and free bytes of the disk of a path.
    is_remote
        Whether the disk may be one of another machine, which does not always answer. A disk of this one is asked
        without a thread: it answers in less time than a thread takes to begin.
    """

    def __init__(
        self,
        path: Path,
        size: int = 0,
        free: Callable[[Path], tuple[int, int]] | None = None,
        *,
        is_remote: bool = True,
    ) -> None:
        self._path = path
        self._size = size
        self._free = free or _total_and_free
        self._is_remote = is_remote
        self._lock = threading.Lock()
        self._spent = True
        self._lacking = SharedAnswer(self.lacks_room)
        self._kept = SharedAnswer(self._keep)

    @property
    def size(self) -> int:
        """How much is kept."""
        if not self._size:
            try:
                self._size = fitting(self._free(self._path.parent)[0])
            except OSError:
                return SMALLEST
        return self._size

    @property
    def spent(self) -> bool:
        """Whether the room was given back and could not be taken again since."""
        return self._spent

    def lacks_room(self) -> bool:
        """Whether the disk is as good as full: less is free than is kept for emergencies."""
        try:
            return self._free(self._path.parent)[1] < self.size
        except OSError:
            return False

    async def found_lacking(self) -> bool:
        """Whether the disk is as good as full."""
        return await self._lacking.get() if self._is_remote else self.lacks_room()

    async def kept(self) -> bool:
        """Whether the disk has room, and what is kept of it is there; takes the room again if need be."""
        if not self._is_remote and self._is_whole() and not self.lacks_room():
            return True
        return await self._kept.get()

    def _is_whole(self) -> bool:
        try:
            return not self._spent and self._path.stat().st_size == self.size
        except OSError:
            return False

    def _keep(self) -> bool:
        return not self.lacks_room() and self.make() and not self.lacks_room()

    def free(self) -> int:
        """Return the free bytes of the disk; 0 when they are unknown."""
        try:
            return self._free(self._path.parent)[1]
        except OSError:
            return 0

    def make(self) -> bool:
        """Take the room (again), if twice as much is free; whether it is kept now."""
        with self._lock:
            try:
                if self._path.exists() and self._path.stat().st_size == self.size:
                    self._spent = False
                    return True
                if self._free(self._path.parent)[1] < 2 * self.size:
                    return False
                self._fill()
            except OSError as error:
                _log.debug("can't reserve disk space in %s: %s", self._path.parent, error)
                self._path.unlink(missing_ok=True)
                return False
            self._spent = False
            return True

    def _fill(self) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            left = self.size
            # Written, not only promised: a hole takes no room.
            while left:
                left -= file.write(_PIECE[:left])

    def give_back(self) -> bool:
        """Give the room back; whether there was any."""
        with self._lock:
            if self._spent:
                return False
            self._spent = True
            try:
                self._path.unlink()
            except OSError:
                return False
        _log.warning("the disk of %s is full: using the reserved space", self._path.parent)
        return True


def _total_and_free(path: Path) -> tuple[int, int]:
    usage = shutil.disk_usage(path)
    return usage.total, usage.free
