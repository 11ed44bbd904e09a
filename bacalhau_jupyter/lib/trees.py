"""Walking directory trees, as deep as a job can make them, without following a link; `removal` removes them.

A job can nest directories deeper than Python can recurse (about 1 000 levels), than a process may open files (often
1 024), and than a path may be long (4 096 bytes). So nothing here recurses, few directories are open at a time, and
each one is opened by its name in its parent. `shutil.rmtree`, `shutil.copytree`, `os.walk` (before Python 3.12),
`Path.rglob` and ``mkdir(parents=True)`` all recurse: use these functions instead.

The process engine's supervisor loads this module, so it imports little.
"""

from __future__ import annotations

import errno
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    OnError = Callable[[str, OSError], None]

MAX_DEPTH = 2000
"""How deep directories that are sent somewhere may be nested; a path of 4 096 bytes names few more."""

OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
"""How a directory is opened to be read: by its name in its parent, and no link."""
PLACE = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
"""How one is opened to find names in it."""
_MAX_OPEN = 32
"""Directories that a walk keeps open; those further up are opened again on the way back."""


class Entry:
    """One entry of a tree.

    Attributes
    ----------
    path
        Relative to the top, with ``/`` between names; ``""`` is the top itself.
    info
        Its own state: no link was followed.
    directory
        Descriptor of the directory that it lies in, open only until the next entry is asked for.
    name
        What it is called there.
    """

    __slots__ = ("directory", "info", "name", "path")

    def __init__(self, path: str, info: os.stat_result, directory: int, name: str) -> None:
        self.path = path
        self.info = info
        self.directory = directory
        self.name = name


class _Level:
    """A directory that is being walked."""

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor
        facts = os.fstat(descriptor)
        self.identity = (facts.st_dev, facts.st_ino)
        self.names: list[str] = []


def walk(
    top: str | os.PathLike[str] | int, on_error: OnError | None = None, deepest: int | None = None
) -> Iterator[Entry]:
    """Yield the top of a tree and everything below it, each directory right before its entries, sorted by bytes.

    Links are entries like others and are not followed, the top neither. A directory may be changed while it is
    the latest entry; that it was replaced meanwhile by another one, or by a link, is an error. Blocks.

    Parameters
    ----------
    top
        Its path, or the descriptor of an open directory (its entry is then called ``.``).
    on_error
        Gets the relative path of a directory (or entry) that can't be read, and why; the walk goes on without it.
        Left out, the error is raised, with the whole path as its ``filename``. The top must exist in either case.
    deepest
        Directories below which others are nested deeper than that can't be read (`MAX_DEPTH` for what is sent).

    Raises
    ------
    OSError
        See ``on_error``.
    """
    if isinstance(top, int):
        whole, name, above = ".", ".", os.dup(top)
    else:
        whole = os.fspath(top)
        parent, name = os.path.split(whole.rstrip("/") or whole)
        above = os.open(parent or ".", PLACE)
    levels: list[_Level] = []
    try:
        name = name or "."
        try:
            info = os.stat(name, dir_fd=above, follow_symlinks=False)
        except OSError as error:
            error.filename = whole
            raise
        yield Entry("", info, above, name)
        if stat.S_ISDIR(info.st_mode):
            _enter(levels, "", name, above, whole, on_error)
        while levels:
            level = levels[-1]
            if not level.names:
                _leave(levels, whole, on_error)
                continue
            name = level.names.pop()
            path = f"{level.path}/{name}" if level.path else name
            try:
                info = os.stat(name, dir_fd=level.descriptor, follow_symlinks=False)
            except OSError as error:
                _tell(path, error, whole, on_error)
                continue
            yield Entry(path, info, level.descriptor, name)
            if stat.S_ISDIR(info.st_mode):
                if deepest is not None and len(levels) > deepest:
                    _tell(path, OSError(errno.ENAMETOOLONG, _too_deep(deepest)), whole, on_error)
                else:
                    _enter(levels, path, name, level.descriptor, whole, on_error)
    finally:
        os.close(above)
        for level in levels:
            if level.descriptor >= 0:
                os.close(level.descriptor)


def _enter(
    levels: list[_Level], path: str, name: str, directory: int, whole: str, on_error: OnError | None
) -> None:
    try:
        descriptor = os.open(name, OPEN, dir_fd=directory)
        try:
            level = _Level(path, descriptor)
            # Taken from the end.
            level.names = sorted(os.listdir(descriptor), key=os.fsencode, reverse=True)  # noqa: PTH208
        except BaseException:
            os.close(descriptor)
            raise
    except OSError as error:
        _tell(path, error, whole, on_error)
        return
    levels.append(level)
    if len(levels) > _MAX_OPEN:
        far = levels[-_MAX_OPEN - 1]
        # Closed already, if the walk has come up here and goes down again.
        if far.descriptor >= 0:
            os.close(far.descriptor)
            far.descriptor = -1


def _leave(levels: list[_Level], whole: str, on_error: OnError | None) -> None:
    left = levels.pop()
    try:
        if not levels or levels[-1].descriptor >= 0:
            return
        level = levels[-1]
        level.descriptor = os.open("..", OPEN, dir_fd=left.descriptor)
        facts = os.fstat(level.descriptor)
        if (facts.st_dev, facts.st_ino) != level.identity:
            # Where this came from is not to be found any more, nor what is above.
            for lost in levels:
                if lost.descriptor >= 0:
                    os.close(lost.descriptor)
            levels.clear()
            _tell(left.path, OSError(errno.ESTALE, "moved while it was read"), whole, on_error)
    finally:
        os.close(left.descriptor)


def _too_deep(deepest: int) -> str:
    return f"directories are nested more than {deepest} deep there"


def _tell(path: str, error: OSError, whole: str, on_error: OnError | None) -> None:
    if on_error is None:
        error.filename = _joined(whole, path)
        raise error
    on_error(path, error)


def _joined(whole: str, path: str) -> str:
    return f"{whole.rstrip('/')}/{path}" if path else whole


def copy_tree(
    source: str | os.PathLike[str], target: str | os.PathLike[str], *, metadata: bool = False
) -> None:
    """Copy the contents of a directory into another one, which is made if it is missing; links stay links. Blocks.

    What is neither file, directory nor link is left out; what ``target`` has already is written over.

    Parameters
    ----------
    metadata
        Whether permissions and times are copied, too.

    Raises
    ------
    OSError
        Something can't be read or written.
    """
    directories: list[tuple[str, os.stat_result]] = []
    for entry in walk(source):
        place = _joined(os.fspath(target), entry.path)
        if stat.S_ISDIR(entry.info.st_mode):
            make_directories(place)
            directories.append((place, entry.info))
        elif stat.S_ISLNK(entry.info.st_mode):
            os.symlink(os.readlink(entry.name, dir_fd=entry.directory), place)  # noqa: PTH211
        elif stat.S_ISREG(entry.info.st_mode):
            _copy_file(entry, place)
            if metadata:
                _dress(place, entry.info)
    # Last: a directory that may not be written could not be filled.
    for place, info in reversed(directories if metadata else []):
        _dress(place, info)


def _copy_file(entry: Entry, place: str) -> None:
    # A name that became a link or a pipe meanwhile must neither be followed nor block.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(entry.name, flags, dir_fd=entry.directory)
    with open(descriptor, "rb", buffering=0) as read, open(place, "wb") as written:  # noqa: PTH123
        while chunk := read.read(1 << 20):
            written.write(chunk)


def _dress(place: str, info: os.stat_result) -> None:
    os.chmod(place, stat.S_IMODE(info.st_mode))  # noqa: PTH101
    os.utime(place, ns=(info.st_atime_ns, info.st_mtime_ns))


def make_directories(path: str | os.PathLike[str], mode: int = 0o777) -> None:
    """Make a directory and those above it, as far as they are missing, each with ``mode`` less the umask.

    Raises
    ------
    OSError
        One can't be made, or something else has its name.
    """
    missing = [os.fspath(path)]
    while missing:
        try:
            os.mkdir(missing[-1], mode)  # noqa: PTH102
        except FileNotFoundError:
            parent = os.path.dirname(missing[-1])  # noqa: PTH120
            if parent in ("", missing[-1]):
                raise
            missing.append(parent)
            continue
        except FileExistsError:
            if not os.path.isdir(missing[-1]):  # noqa: PTH112
                raise
        missing.pop()
