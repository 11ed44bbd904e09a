"""Wakes readers when files of a directory grow: inotify on Linux, a short timer elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

POLL_S = 0.005
"""How often files are looked at where the system can't tell of changes."""

_IN_MODIFY = 0x2
_IN_MOVED_TO = 0x80
_IN_CREATE = 0x100
_IN_Q_OVERFLOW = 0x4000
_HEADER = struct.Struct("iIII")
_READ = 64 * 1024


class DirectoryWatch:
    """Tells followers that their file has changed. Used on one event loop.

    The system is asked only while a reader follows, so that busy logs without readers cost nothing.

    Parameters
    ----------
    directory
        Holds the files; must exist when the first follower comes.
    inotify
        False uses the timer even where inotify is there.
    """

    def __init__(self, directory: Path, inotify: bool = True) -> None:
        self._directory = directory
        self._inotify = inotify and sys.platform == "linux"
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._fd = -1
        self._timer: asyncio.TimerHandle | None = None
        self._sizes: dict[str, int] = {}

    @contextlib.contextmanager
    def following(self, name: str) -> Iterator[asyncio.Event]:
        """Give an event that is set whenever the file ``name`` may have changed; clear it before you look."""
        event = asyncio.Event()
        self._waiting.setdefault(name, set()).add(event)
        self._begin()
        try:
            yield event
        finally:
            self._waiting[name].discard(event)
            if not self._waiting[name]:
                del self._waiting[name]
                self._sizes.pop(name, None)
            if not self._waiting:
                self.close()

    def wake(self, name: str) -> None:
        """Wake the followers of a file."""
        for event in self._waiting.get(name, ()):
            event.set()

    def close(self) -> None:
        """Stop watching and wake everybody."""
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for name in self._waiting:
            self.wake(name)

    def _begin(self) -> None:
        if self._fd >= 0 or self._timer is not None:
            return
        if self._inotify:
            self._fd = _watch(self._directory)
        if self._fd >= 0:
            asyncio.get_running_loop().add_reader(self._fd, self._changed)
        else:
            self._look()

    def _changed(self) -> None:
        try:
            data = os.read(self._fd, _READ)
        except BlockingIOError:
            return
        at = 0
        names: set[str] = set()
        while at + _HEADER.size <= len(data):
            _, mask, _, length = _HEADER.unpack_from(data, at)
            at += _HEADER.size
            if mask & _IN_Q_OVERFLOW:
                names.update(self._waiting)
            names.add(os.fsdecode(data[at : at + length].rstrip(b"\0")))
            at += length
        for name in names:
            self.wake(name)

    def _look(self) -> None:
        for name in self._waiting:
            try:
                size = (self._directory / name).stat().st_size
            except OSError:
                size = -1
            if self._sizes.get(name) != size:
                self._sizes[name] = size
                self.wake(name)
        self._timer = asyncio.get_running_loop().call_later(POLL_S, self._look)


def _watch(directory: Path) -> int:
    """Return an inotify descriptor for a directory, or -1 where there is none (any more)."""
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        fd = int(libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
    except AttributeError:
        return -1
    if fd < 0:
        return -1
    mask = _IN_MODIFY | _IN_CREATE | _IN_MOVED_TO
    if libc.inotify_add_watch(fd, os.fsencode(directory), ctypes.c_uint32(mask)) < 0:
        os.close(fd)
        return -1
    return fd
