"""Taking a file of this machine over: its blocks are shared where the file system can, else they are copied."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from pathlib import Path

from bacalhau_jupyter.transfer.core.files import CHUNK, check_interrupted

_FICLONE = 0x40049409  # linux/fs.h: share a whole file's blocks
_PIECE = 16 * CHUNK
_OTHER_WAY = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF)


def take_file(
    source: Path, target: Path, *, may_link: bool = False, stop: threading.Event | None = None
) -> None:
    """Bring a file to ``target``, which does not exist. Blocks.

    Parameters
    ----------
    may_link
        Whether the target may be another name of the same file: only where nobody writes to either.

    Raises
    ------
    OSError
        It can't be read or written.
    Interrupted
        ``stop`` was set.
    """
    if may_link:
        try:
            os.link(source, target, follow_symlinks=False)
            return
        except OSError as error:
            if error.errno not in (*_OTHER_WAY, errno.EMLINK):
                raise
    with source.open("rb", buffering=0) as read, target.open("xb", buffering=0) as written:
        copy_descriptor(read.fileno(), written.fileno(), stop)


def copy_descriptor(source: int, target: int, stop: threading.Event | None = None) -> int:
    """Copy an open file, from its beginning, to an empty one; return how many bytes.

    Raises
    ------
    OSError
        It can't be read or written.
    Interrupted
        ``stop`` was set.
    """
    if hasattr(fcntl, "ioctl"):
        try:
            fcntl.ioctl(target, _FICLONE, source)
            return os.fstat(target).st_size
        except OSError:
            pass
    copied = _in_kernel(source, target, stop)
    while True:
        check_interrupted(stop)
        block = os.pread(source, CHUNK, copied)
        if not block:
            return copied
        view = memoryview(block)
        while view:
            written = os.pwrite(target, view, copied)
            view, copied = view[written:], copied + written


def link_descriptor(descriptor: int, name: str, directory: int) -> None:
    """Give an open file another name in an open directory.

    Raises
    ------
    OSError
        The file has no name any more, is on another disk, or may not be linked by this user.
    """
    os.link(f"/proc/self/fd/{descriptor}", name, dst_dir_fd=directory, follow_symlinks=True)


def _in_kernel(source: int, target: int, stop: threading.Event | None) -> int:
    """Copy without bringing the bytes to this process, as far as the kernel does it; return how many."""
    copied = 0
    if not hasattr(os, "copy_file_range"):
        return 0
    while True:
        check_interrupted(stop)
        try:
            count = os.copy_file_range(source, target, _PIECE, copied, copied)
        except OSError as error:
            if error.errno not in _OTHER_WAY:
                raise
            return copied
        if not count:
            return copied
        copied += count
