"""Hard links, and copies where there can be none."""

from __future__ import annotations

import errno
import os
import shutil
import stat

_NO_LINKS = (errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)
"""A file has all the names that it can have, or the file system knows no hard links."""


def linked(source: str, path: str) -> bool:
    """Make a hard link; False where there can be none.

    Raises
    ------
    OSError
        Something is at ``path``, ``source`` is not there, or the disk is full.
    """
    try:
        os.link(source, path, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return False
    return True


def copy(source: str, path: str, *, with_owner: bool) -> None:
    """Copy a file, link or pipe with its permissions and times.

    Parameters
    ----------
    with_owner
        Whether it gets the user and group of the source, too; only root can give files away.

    Raises
    ------
    OSError
        The disk is full, say.
    """
    info = os.lstat(source)
    if stat.S_ISFIFO(info.st_mode):
        os.mkfifo(path, stat.S_IMODE(info.st_mode))
        shutil.copystat(source, path)
    else:
        shutil.copy2(source, path, follow_symlinks=False)
    if with_owner:
        os.chown(path, info.st_uid, info.st_gid, follow_symlinks=False)
