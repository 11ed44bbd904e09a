"""After the job has gone: results go where they belong and to whom they belong.

Needed when the job ran as another user than the node, or wrote to a scratch directory. No process of the job is
alive any more, so nothing changes underneath; still, no symbolic link is ever followed.
"""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bacalhau_jupyter.engines.process.plan import Plan

_CHUNK = 1 << 20


def settle(plan: Plan) -> None:
    """Move what is to be moved, then make everything the node's own, readable, and free of special bits.

    Raises
    ------
    OSError
        The disk is full, or a directory is unreachable.
    """
    for move in plan["moves"]:
        _own(move["source"])
        for name in os.listdir(move["source"]):  # noqa: PTH208
            _move(os.path.join(move["source"], name), os.path.join(move["target"], name))  # noqa: PTH118
    for path in plan["owned"]:
        _own(path)


def _own(path: str) -> None:
    facts = os.lstat(path)
    kind = stat.S_IFMT(facts.st_mode)
    if facts.st_uid != os.geteuid():
        os.lchown(path, os.geteuid(), os.getegid())
    if kind == stat.S_IFDIR:
        os.chmod(path, facts.st_mode & 0o777 | 0o700)  # noqa: PTH101
        for name in os.listdir(path):  # noqa: PTH208
            _own(os.path.join(path, name))  # noqa: PTH118
    elif kind == stat.S_IFREG:
        os.chmod(path, facts.st_mode & 0o777 | 0o600)  # noqa: PTH101
    elif kind != stat.S_IFLNK:
        os.unlink(path)  # noqa: PTH108 - devices, sockets and pipes are no results


def _move(source: str, target: str) -> None:
    try:
        os.rename(source, target)  # noqa: PTH104
        return
    except OSError as error:
        if error.errno != 18:  # EXDEV: another file system
            raise
    facts = os.lstat(source)
    if stat.S_ISDIR(facts.st_mode):
        os.makedirs(target, mode=0o700, exist_ok=True)  # noqa: PTH103
        for name in os.listdir(source):  # noqa: PTH208
            _move(os.path.join(source, name), os.path.join(target, name))  # noqa: PTH118
        os.rmdir(source)  # noqa: PTH106
    elif stat.S_ISLNK(facts.st_mode):
        os.symlink(os.readlink(source), target)  # noqa: PTH211, PTH115
        os.unlink(source)  # noqa: PTH108
    else:
        _copy(source, target, facts)
        os.unlink(source)  # noqa: PTH108


def _copy(source: str, target: str, facts: os.stat_result) -> None:
    with open(source, "rb") as read, open(target, "wb") as write:  # noqa: PTH123
        while chunk := read.read(_CHUNK):
            write.write(chunk)
    os.chmod(target, facts.st_mode & 0o777)  # noqa: PTH101
    os.utime(target, ns=(facts.st_atime_ns, facts.st_mtime_ns))
