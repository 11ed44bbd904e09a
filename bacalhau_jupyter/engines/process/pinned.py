"""Files of this host that were looked at once and must still be the same when they are shown.

A name says nothing of what it will lead to a moment later. So what was checked is kept with its place in the kernel
(device and inode), and opened without following a single link: each directory of the way is opened in the one before.
That is what ``openat2`` does with ``RESOLVE_NO_SYMLINKS``, in steps that every kernel knows and no container forbids.
Imported by the supervisor: the standard library's cheap modules only.
"""

from __future__ import annotations

import errno
import os

_LINK = 0o120000
_FORMAT = 0o170000


class Changed(Exception):
    """The path leads elsewhere now; the text completes "this node …"."""


def open_real(path: str) -> int:
    """Open a real path (absolute, normal, no link anywhere in it) for mounting; return the descriptor (``O_PATH``).

    Raises
    ------
    OSError
        It does not exist, or some component is a link (``ELOOP``).
    """
    parts = path.split("/")[1:]
    current = os.open("/", os.O_PATH | os.O_CLOEXEC)
    for index, part in enumerate(parts):
        if not part:
            continue
        flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
        if index < len(parts) - 1:
            flags |= os.O_DIRECTORY
        try:
            following = os.open(part, flags, dir_fd=current)
        except NotADirectoryError:
            raise OSError(errno.ELOOP, "it leads through a link, or is no directory", path) from None
        finally:
            os.close(current)
        current = following
    if os.fstat(current).st_mode & _FORMAT == _LINK:
        os.close(current)
        raise OSError(errno.ELOOP, "it is a link", path)
    return current


def open_pinned(path: str, device: int, inode: int) -> int:
    """Open a real path that must be the file or directory that it was; return the descriptor (``O_PATH``).

    Parameters
    ----------
    path
        As `open_real` takes it.
    device, inode
        What it was; device 0 is not compared (numbers of devices change with a restart of the machine).

    Raises
    ------
    Changed
        It is something else, or no longer there.
    """
    try:
        descriptor = open_real(path)
    except OSError as error:
        raise Changed(f"can't show {path}: {error.strerror}") from None
    found = os.fstat(descriptor)
    if found.st_ino != inode or (device and found.st_dev != device):
        os.close(descriptor)
        raise Changed(f"does not show {path}: it is no longer what was registered")
    return descriptor
