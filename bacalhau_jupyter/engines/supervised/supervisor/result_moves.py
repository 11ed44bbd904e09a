"""After the job has gone: results go where they belong and to whom they belong.

Needed when the job ran as another user than the node, or wrote to a scratch directory. No process of the job is
alive any more, so nothing changes underneath; still, no symbolic link is ever followed.
"""

from __future__ import annotations

import errno
import os
import stat

from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.lib.trees import OPEN, PLACE, walk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bacalhau_jupyter.engines.supervised.supervisor.plan import Plan
    from bacalhau_jupyter.lib.trees import Entry

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_CHUNK = 1 << 20
_LOST_SHOWN = 20


def settle(plan: Plan) -> bytes:
    """Move what is to be moved, then make everything the node's own, readable, and free of special bits.

    One entry with which that can't be done does not spoil the others: what stays unreadable is left out when the
    results are published.

    Returns
    -------
    bytes
        Lines for the job's log: what could not be moved, and why.

    Raises
    ------
    OSError
        The disk is full, or a directory is unreachable.
    """
    if plan["user"] >= 0:
        from bacalhau_jupyter.engines.supervised.confinement import shm

        shm.forget(plan["user"])
    lost: list[str] = []
    for move in plan["moves"]:
        _own(move["source"])
        for name in os.listdir(move["source"]):  # noqa: PTH208
            _move(os.path.join(move["source"], name), os.path.join(move["target"], name), lost)  # noqa: PTH118
    for path in plan["owned"]:
        _own(path)
    lines = lost[:_LOST_SHOWN]
    if len(lost) > len(lines):
        lines.append(f"and {len(lost) - len(lines)} more")
    return "".join(f"left out of the results: {line}\n" for line in lines).encode("utf-8", "backslashreplace")


def _own(path: str) -> None:
    """Take a tree over; directories are opened up before they are entered."""
    for entry in walk(path, lambda _, __: None):
        try:
            _own_entry(entry)
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise


def _own_entry(entry: Entry) -> None:
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
        os.unlink(name, dir_fd=directory)  # devices, sockets and pipes are not results


def _move(source: str, target: str, lost: list[str]) -> None:
    try:
        os.rename(source, target)  # noqa: PTH104
        return
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    _copy_tree(source, target, lost)
    remove_tree(source)


def _copy_tree(source: str, target: str, lost: list[str]) -> None:
    """Copy to another file system. Names may be nested deeper than a path is long: each is used in its directory."""

    def failed(path: str, error: OSError) -> None:
        lost.append(f"{os.path.basename(target)}/{path}: {error.strerror}")  # noqa: PTH119

    parent, top = os.path.split(target)
    here, depth = os.open(parent, PLACE), 0
    try:
        for entry in walk(source, failed):
            level = entry.path.count("/") + 1 if entry.path else 0
            while depth > level:
                here, depth = _entered("..", here), depth - 1
            name = entry.name if level else top
            try:
                if stat.S_ISDIR(entry.info.st_mode):
                    _make_directory(name, here)
                    here, depth = _entered(name, here), depth + 1
                elif stat.S_ISLNK(entry.info.st_mode):
                    os.symlink(os.readlink(entry.name, dir_fd=entry.directory), name, dir_fd=here)
                else:
                    _copy(entry, name, here)
            except OSError as error:
                # Without the directory there is no place for what is in it.
                if error.errno in _NO_ROOM or stat.S_ISDIR(entry.info.st_mode):
                    raise
                failed(entry.path, error)
    finally:
        os.close(here)


def _entered(name: str, directory: int) -> int:
    """Open a directory in (or above) another one, which is closed."""
    opened = os.open(name, PLACE | os.O_NOFOLLOW, dir_fd=directory)
    os.close(directory)
    return opened


def _make_directory(name: str, directory: int) -> None:
    try:
        os.mkdir(name, 0o700, dir_fd=directory)
    except FileExistsError:
        os.close(os.open(name, OPEN, dir_fd=directory))  # a directory of ours, or an error


def _copy(entry: Entry, name: str, directory: int) -> None:
    """Copy a file; its holes stay holes."""
    read = os.open(entry.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=entry.directory)
    try:
        write = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600, dir_fd=directory)
        try:
            size = os.fstat(read).st_size
            os.ftruncate(write, size)
            end = 0
            while end < size:
                start, end = _data_after(read, end, size)
                _copy_range(read, write, start, end)
            os.fchmod(write, entry.info.st_mode & 0o777)
            os.utime(write, ns=(entry.info.st_atime_ns, entry.info.st_mtime_ns))
        finally:
            os.close(write)
    finally:
        os.close(read)


def _data_after(file: int, position: int, size: int) -> tuple[int, int]:
    """Return where the next data of a file begin and end; all that is left, where the system can't tell."""
    try:
        start = os.lseek(file, position, os.SEEK_DATA)
        return start, os.lseek(file, start, os.SEEK_HOLE)
    except OSError as error:
        return (size, size) if error.errno == errno.ENXIO else (position, size)


def _copy_range(read: int, write: int, start: int, end: int) -> None:
    while start < end:
        chunk = os.pread(read, min(_CHUNK, end - start), start)
        if not chunk:
            return
        written = 0
        while written < len(chunk):
            written += os.pwrite(write, chunk[written:], start + written)
        start += written
