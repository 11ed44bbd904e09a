"""The content cache on disk: entries are sealed, and shared as trees of hard links. Functions here block.

``incoming/<random>/`` is what is being fetched, ``entries/<key>/`` what is whole: an entry appears by one rename. Each
holds the ``tree`` and its description ``entry.json``, whose modification time is the last use.
"""

# Trees may hold 100 000 files: no Path for each.
# ruff: noqa: PTH101, PTH102, PTH115, PTH123, PTH211

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
import uuid
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bacalhau_jupyter.compute.inputs.cache_index import Entry
from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.lib.trees import make_directories, walk

# The owner keeps it: `cp` takes modes along, and a job of the node's user goes on to write what it copied. What keeps
# it from writing here are the engines (decision 0016), modes would not: the owner may change them.
_WRITE = 0o022
_DESCRIPTION, _TREE = "entry.json", "tree"
_FICLONE = 0x40049409  # linux/fs.h: share a whole file's blocks
_COPY_INSTEAD = (errno.EXDEV, errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP)


class Unfit(Exception):
    """The contents can't be shared: something in them is neither file, directory nor link."""


class Spoiled(Exception):
    """An entry is not any more what was stored."""


@dataclass
class Survey:
    """What a tree holds."""

    size: int = 0
    files: int = 0
    disk: int = 0
    changed_ns: int = 0
    writable: bool = False

    def add(self, info: os.stat_result) -> None:
        """Count one entry of the tree."""
        self.disk += info.st_blocks * 512
        if stat.S_ISREG(info.st_mode):
            self.size += info.st_size
            self.files += 1
            self.changed_ns = max(self.changed_ns, info.st_mtime_ns)
            self.writable = self.writable or bool(info.st_mode & _WRITE)


class CacheFiles:
    """Where entries lie.

    Parameters
    ----------
    root
        Absolute; on the file system of the executions' directories, or nothing can be linked.
    """

    def __init__(self, root: Path) -> None:
        self.entries = root / "entries"
        self.incoming = root / "incoming"

    def open(self) -> list[tuple[int, Entry]]:
        """Remove what a crash left half done; return the entries that are there with the times of their last use."""
        remove_tree(self.incoming)
        for directory in (self.entries.parent, self.entries, self.incoming):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        entries = []
        for directory in self.entries.iterdir():
            entry = _described(directory)
            if entry is None:
                remove_tree(directory)
            else:
                entries.append(((directory / _DESCRIPTION).stat().st_mtime_ns, entry))
        return entries

    def begin(self) -> Path:
        """Make a private directory to fetch to."""
        directory = self.incoming / uuid.uuid4().hex / _TREE
        directory.parent.mkdir(mode=0o700)
        directory.mkdir(mode=0o700)
        return directory

    def give_up(self, directory: Path) -> None:
        """Remove what was being fetched, or what is left of it."""
        remove_tree(directory.parent)

    def seal(self, directory: Path, content: Path, key: str) -> Entry:
        """Make ``content``, which was fetched to somewhere in ``directory``, an entry.

        Raises
        ------
        Unfit
            It can't be shared; it is as it was.
        OSError
            The disk is full, or the contents are not ours to seal.
        """
        _check_fit(content)
        survey = Survey()
        for entry in walk(content):
            path, info = _joined(content, entry.path), entry.info
            mode = stat.S_IMODE(info.st_mode)
            if stat.S_ISREG(info.st_mode) and mode & _WRITE:
                os.chmod(path, mode & ~_WRITE)
            elif stat.S_ISDIR(info.st_mode) and mode & 0o700 != 0o700:
                os.chmod(path, mode | 0o700)
            survey.add(info)
        relative = str(content.relative_to(directory))
        sealed = Entry(key, survey.size, survey.files, survey.disk, survey.changed_ns, relative)
        (directory.parent / _DESCRIPTION).write_bytes(msgspec.json.encode(sealed))
        self.remove(key)
        directory.parent.rename(self.entries / key)
        return sealed

    def share(self, entry: Entry, directory: Path) -> Path:
        """Show an entry in a directory of an execution, as its own tree of links to the same files.

        Raises
        ------
        Spoiled
            The entry is not what was stored; nothing is left in ``directory``.
        OSError
            The disk is full, for example.
        """
        source = self._content(entry)
        target = directory / entry.path
        survey = Survey()
        try:
            make_directories(target.parent)
            for each in walk(source):
                survey.add(each.info)
                _repeat(_joined(source, each.path), each.info, _joined(target, each.path))
        except FileNotFoundError as error:
            remove_tree(target)
            raise Spoiled from error
        stored_facts = (survey.size, survey.files, survey.changed_ns)
        if survey.writable or stored_facts != (entry.size, entry.files, entry.changed_ns):
            remove_tree(target)
            raise Spoiled
        with contextlib.suppress(OSError):
            os.utime(self.entries / entry.key / _DESCRIPTION)
        return target

    def in_use(self, entry: Entry) -> bool:
        """Whether an execution holds links to the entry, so that removing it would free nothing now."""
        try:
            for each in walk(self._content(entry)):
                if stat.S_ISREG(each.info.st_mode):
                    return each.info.st_nlink > 1
        except OSError:
            return False
        return False

    def _content(self, entry: Entry) -> Path:
        return self.entries / entry.key / _TREE / entry.path

    def remove(self, key: str) -> None:
        """Remove an entry; executions that hold links to its files keep them."""
        directory = self.entries / key
        if not directory.exists():
            return
        # At once: no half an entry may stay under its name.
        gone = self.incoming / uuid.uuid4().hex
        directory.rename(gone)
        remove_tree(gone)


def move(content: Path, directory: Path, target: Path) -> Path:
    """Move what was fetched below ``directory`` to the same place below ``target``."""
    place = target / content.relative_to(directory)
    if place.is_dir():
        place.rmdir()  # the empty directory that was made for the input
    make_directories(place.parent, 0o700)
    shutil.move(content, place)
    return place


def _described(directory: Path) -> Entry | None:
    try:
        entry = msgspec.json.decode((directory / _DESCRIPTION).read_bytes(), type=Entry)
    except (OSError, msgspec.MsgspecError):
        return None
    whole = entry.key == directory.name and os.path.lexists(directory / _TREE / entry.path)
    return entry if whole else None


def _check_fit(content: Path) -> None:
    for entry in walk(content):
        kind = entry.info.st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind) or stat.S_ISLNK(kind)):
            raise Unfit(_joined(content, entry.path))


def _joined(top: Path, path: str) -> str:
    return f"{top}/{path}" if path else str(top)


def _repeat(path: str, info: os.stat_result, target: str) -> None:
    if stat.S_ISDIR(info.st_mode):
        with contextlib.suppress(FileExistsError):
            os.mkdir(target)
        # `mkdir` alone would let the node's umask take some of it back.
        os.chmod(target, stat.S_IMODE(info.st_mode))
    elif stat.S_ISLNK(info.st_mode):
        os.symlink(os.readlink(path), target)
    else:
        try:
            os.link(path, target)
        except OSError as error:
            if error.errno not in _COPY_INSTEAD:
                raise
            _copy(path, target)
            os.chmod(target, stat.S_IMODE(info.st_mode))


def _copy(path: str, target: str) -> None:
    """Copy a file, sharing its blocks where the file system can."""
    with open(path, "rb") as source, open(target, "xb") as copied:
        try:
            fcntl.ioctl(copied.fileno(), _FICLONE, source.fileno())
        except OSError:
            shutil.copyfileobj(source, copied)
