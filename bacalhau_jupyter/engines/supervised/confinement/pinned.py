"""Files of this host that were looked at once and must still be the same when they are shown.

A name says nothing of what it will lead to a moment later. So what was checked is kept with its place in the kernel
(device and inode), and opened without following a single link (`lib.beneath`).
Imported by the supervisor: the standard library's cheap modules only.
"""

from __future__ import annotations

import os

from bacalhau_jupyter.lib import beneath

_NUMBERING_ANEW = ("fuse", "9p ")
"""Types of file systems whose inode numbers are good for a moment only."""


class Changed(Exception):
    """The path leads elsewhere now; the text completes "this node …"."""


def open_real(path: str) -> int:
    """Open a real path (absolute, normal, no link anywhere in it) for mounting; return the descriptor (``O_PATH``).

    Raises
    ------
    OSError
        It does not exist, or some component is a link (``ELOOP``).
    """
    return beneath.open_path(path)


def open_again(path: str, device: int, inode: int) -> int:
    """Open a real path that must be what it was when it was registered; return the descriptor (``O_PATH``).

    As `open_pinned`, but on file systems that number their files anew whenever they please only the way counts.
    """
    try:
        return open_pinned(path, device, inode)
    except Changed:
        try:
            descriptor = open_real(path)
        except OSError as error:
            raise Changed(f"can't show {path}: {error.strerror}") from None
        info = os.fstat(descriptor)
        if (device and info.st_dev != device) or not _numbers_anew(info.st_dev):
            os.close(descriptor)
            raise
        return descriptor


def _numbers_anew(device: int) -> bool:
    device_numbers = f"{os.major(device)}:{os.minor(device)}"
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace", newline="\n") as mounts:  # noqa: PTH123
            for line in mounts:
                if line.split(" ", 3)[2] == device_numbers:
                    return line.rpartition(" - ")[2].startswith(_NUMBERING_ANEW)
    except OSError:
        pass
    return False


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
    info = os.fstat(descriptor)
    if info.st_ino != inode or (device and info.st_dev != device):
        os.close(descriptor)
        raise Changed(f"does not show {path}: it is no longer the object that was checked")
    return descriptor
