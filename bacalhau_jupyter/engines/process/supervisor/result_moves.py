"""After the job has gone: results go where they belong and to whom they belong.

Needed when the job ran as another user than the node, or wrote to a scratch directory. No process of the job is
alive any more, so nothing changes underneath; still, no symbolic link is ever followed.
"""

from __future__ import annotations

import os
import stat

from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.lib.trees import walk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bacalhau_jupyter.engines.process.supervisor.plan import Plan

_CHUNK = 1 << 20


def settle(plan: Plan) -> None:
    """Move what is to be moved, then make everything the node's own, readable, and free of special bits.

    Raises
    ------
    OSError
        The disk is full, or a directory is unreachable.
    """
    if plan["user"] >= 0:
        from bacalhau_jupyter.engines.process.confinement import shm

        shm.forget(plan["user"])
    for move in plan["moves"]:
        _own(move["source"])
        for name in os.listdir(move["source"]):  # noqa: PTH208
            _move(os.path.join(move["source"], name), os.path.join(move["target"], name))  # noqa: PTH118
    for path in plan["owned"]:
        _own(path)


def _own(path: str) -> None:
    """Take a tree over; directories are opened up before they are entered."""
    for entry in walk(path):
        name, directory = entry.name, entry.directory
        mode = entry.info.st_mode
        kind = stat.S_IFMT(mode)
        if entry.info.st_uid != os.geteuid():
            os.chown(name, os.geteuid(), os.getegid(), dir_fd=directory, follow_symlinks=False)
        if kind == stat.S_IFDIR:
            os.chmod(name, mode & 0o777 | 0o700, dir_fd=directory)
        elif kind == stat.S_IFREG:
            os.chmod(name, mode & 0o777 | 0o600, dir_fd=directory)
        elif kind != stat.S_IFLNK:
            os.unlink(name, dir_fd=directory)  # devices, sockets and pipes are no results


def _move(source: str, target: str) -> None:
    try:
        os.rename(source, target)  # noqa: PTH104
        return
    except OSError as error:
        if error.errno != 18:  # EXDEV: another file system
            raise
    for entry in walk(source):
        read = f"{source}/{entry.path}" if entry.path else source
        written = f"{target}/{entry.path}" if entry.path else target
        if stat.S_ISDIR(entry.info.st_mode):
            if not os.path.isdir(written):  # noqa: PTH112
                os.mkdir(written, 0o700)  # noqa: PTH102
        elif stat.S_ISLNK(entry.info.st_mode):
            os.symlink(os.readlink(read), written)  # noqa: PTH211, PTH115
        else:
            _copy(read, written, entry.info)
    remove_tree(source)


def _copy(source: str, target: str, facts: os.stat_result) -> None:
    with open(source, "rb") as read, open(target, "wb") as write:  # noqa: PTH123
        while chunk := read.read(_CHUNK):
            write.write(chunk)
    os.chmod(target, facts.st_mode & 0o777)  # noqa: PTH101
    os.utime(target, ns=(facts.st_atime_ns, facts.st_mtime_ns))
