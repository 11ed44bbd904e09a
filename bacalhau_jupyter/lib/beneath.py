"""Opening paths without following a link, and telling whether it is still the object that was looked at before.

A path is only a name: between a check and a use a directory may be renamed and replaced by a link. So what
is checked is opened once and described by its device and inode; later uses open it by the same rules and
compares. The kernel does it in one call (``openat2``, Linux 5.6); elsewhere the path is walked name by name.

Imported by the supervisor of processes: the standard library's cheap modules only.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys

FileId = tuple[int, int]
"""Device and inode of a file or directory."""

O_PATH = getattr(os, "O_PATH", os.O_RDONLY)
"""Opens the object itself, without rights on its content; for reading, where the system lacks that."""
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

_OPENAT2 = 437  # the same number on every architecture
_NO_LINKS = 0x02 | 0x04  # RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS
_BENEATH = 0x08
_PIECE = 3000
"""Bytes of a path that are resolved at a time: below every system's limit."""
_TRIES = 16


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class Changed(OSError):
    """Something else lies at a path than what was looked at before, or a link leads there."""

    def __str__(self) -> str:
        return f"something else lies at {self.filename} now than what was checked"


def open_path(path: str | os.PathLike[str], flags: int = O_PATH) -> int:
    """Open an absolute path that has no link in it; return the descriptor.

    Raises
    ------
    Changed
        There is a link on the way, or at its end.
    OSError
        It is not there, or can't be opened.
    """
    names = _names(os.fspath(path))
    root = os.open("/", DIRECTORY)
    try:
        return _open_names(root, names, flags)
    finally:
        os.close(root)


def open_beneath(directory: int, relative: str, flags: int = O_PATH) -> int:
    """Open what lies at ``relative`` below an open directory (itself for ``""``), following no link.

    Raises
    ------
    Changed, OSError
        As for `open_path`.
    """
    return _open_names(directory, _names(relative), flags)


def open_checked(path: str | os.PathLike[str], expected: FileId, flags: int = O_PATH) -> int:
    """Open an absolute path that must still be the object ``expected``; return the descriptor.

    Raises
    ------
    Changed
        It is another object, a link, or gone.
    OSError
        It can't be opened.
    """
    try:
        descriptor = open_path(path, flags)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise _changed(path) from error
    if file_id(descriptor) != expected:
        os.close(descriptor)
        raise _changed(path)
    return descriptor


def file_id(descriptor: int) -> FileId:
    """Return which object is open."""
    info = os.fstat(descriptor)
    return info.st_dev, info.st_ino


def is_directory(descriptor: int) -> bool:
    """Whether a directory is open."""
    return stat.S_ISDIR(os.fstat(descriptor).st_mode)


def make(path: str | os.PathLike[str], kind: str) -> int:
    """Create an absolute path and the directories above it that are missing (0700); return it open (`O_PATH`).

    Parameters
    ----------
    kind
        ``dir``, or ``file`` for an empty one (0600).

    Raises
    ------
    Changed
        There is a link on the way.
    OSError
        It can't be created; a file that is there already is an error, a directory is not.
    """
    *above, last = _names(os.fspath(path))
    here = os.open("/", DIRECTORY)
    try:
        for name in [*above, *([last] if kind == "dir" else [])]:
            try:
                os.mkdir(name, 0o700, dir_fd=here)
            except OSError as error:
                # Without the right to write there, a directory that exists is all that is wanted.
                if error.errno not in (errno.EEXIST, errno.EACCES, errno.EPERM, errno.EROFS):
                    raise
            below = _open_names(here, [name], O_PATH | os.O_DIRECTORY)
            os.close(here)
            here = below
        if kind == "dir":
            return os.dup(here)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(last, flags, 0o600, dir_fd=here)
    finally:
        os.close(here)


# ---- below: one call where there is one, else name by name


def _names(path: str) -> list[str]:
    names = [name for name in path.split("/") if name not in ("", ".")]
    if ".." in names:
        raise _changed(path)
    return names


def _open_names(directory: int, names: list[str], flags: int) -> int:
    if not names:
        return os.open(".", flags | os.O_CLOEXEC, dir_fd=directory)
    here = directory
    try:
        while True:
            count, size = 0, 0
            while count < len(names) and (not count or size + len(os.fsencode(names[count])) < _PIECE):
                size += len(os.fsencode(names[count])) + 1
                count += 1
            piece, names = names[:count], names[count:]
            below = _resolve(here, piece, (O_PATH | os.O_DIRECTORY) if names else flags)
            if here != directory:
                os.close(here)
            here = below
            if not names:
                return here
    except BaseException:
        if here != directory:
            os.close(here)
        raise


def _resolve(directory: int, names: list[str], flags: int) -> int:
    path = os.fsencode("/".join(names))
    how = _OpenHow(flags | os.O_CLOEXEC, 0, _NO_LINKS | _BENEATH)
    for _ in range(_TRIES):
        descriptor = _openat2(directory, path, how)
        if descriptor >= 0:
            return descriptor
        code = ctypes.get_errno()
        if code in (errno.ELOOP, errno.EXDEV):
            raise _changed(path)
        if code in (errno.ENOSYS, errno.EPERM, errno.E2BIG):  # an old kernel, or a filter in a container
            break
        if code not in (errno.EAGAIN, errno.EINTR):
            raise OSError(code, os.strerror(code), os.fsdecode(path))
    return by_name(directory, names, flags)


def by_name(directory: int, names: list[str], flags: int) -> int:
    """Open what lies below a directory name by name, for a kernel without ``openat2``.

    Raises
    ------
    Changed, OSError
        As for `open_path`.
    """
    here = os.dup(directory)
    try:
        for name in names[:-1]:
            below = _one(here, name, O_PATH | os.O_DIRECTORY)
            os.close(here)
            here = below
        return _one(here, names[-1], flags)
    finally:
        os.close(here)


def _one(directory: int, name: str, flags: int) -> int:
    try:
        descriptor = os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR) and _is_link(directory, name):
            raise _changed(name) from error
        raise
    if stat.S_ISLNK(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _changed(name)
    return descriptor


def _is_link(directory: int, name: str) -> bool:
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
    except OSError:
        return False


def _openat2(directory: int, path: bytes, how: _OpenHow) -> int:
    if not sys.platform.startswith("linux"):
        ctypes.set_errno(errno.ENOSYS)
        return -1
    return int(
        _libc.syscall(
            ctypes.c_long(_OPENAT2),
            ctypes.c_int(directory),
            ctypes.c_char_p(path),
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )
    )


def _changed(path: str | bytes | os.PathLike[str]) -> Changed:
    return Changed(errno.ELOOP, "it changed", os.fsdecode(path))


_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
