"""Inputs as one tar stream for the engine: the sender pulls it bit by bit; it is never in memory as a whole.

What a mount would show is kept: owners, modes, times, links as they are, empty directories. Sockets, pipes and
devices hold nothing that could be copied and are left out. Everything here blocks.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from bacalhau_jupyter.engines.docker.params import COMPONENT
from bacalhau_jupyter.lib import beneath
from bacalhau_jupyter.lib.trees import MAX_DEPTH, walk
from bacalhau_jupyter.models.errors import IOFailure
from bacalhau_jupyter.models.records.progress import Reading
from bacalhau_jupyter.plugins.contract import InputMount, Progress
from bacalhau_jupyter.plugins.inputs import open_input

BLOCK = 1 << 18
"""Bytes read, and sent, at a time."""
PHASE = "copying inputs"
_NO_DIRECTORY = -1
_FOR_READING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True)
class Item:
    """An input on this disk and its name in the stream."""

    mount: InputMount
    name: str


@dataclass(frozen=True)
class Folder:
    """A directory that only the stream has."""

    name: str
    mode: int


def stream(
    folders: Sequence[Folder], items: Sequence[Item], progress: Progress, check: Callable[[], None]
) -> Iterator[bytes]:
    """Yield the tar of ``folders`` and then ``items``.

    Parameters
    ----------
    progress
        Gets `PHASE`, bytes and files.
    check
        Called for every block; raises when the stream is no longer wanted.

    Raises
    ------
    IOFailure
        Something can't be read, or shrank meanwhile; it is named.
    """
    try:
        yield from joined(_Packer(progress, check).parts(folders, items))
    except OSError as error:
        # Anything but an OSError: an HTTP client would take that for its own.
        raise IOFailure(
            f"could not copy the input {error.filename or 'data'} to the Docker Engine: {error.strerror}",
            fails_execution=True,
        ) from error


class _Packer:
    def __init__(self, progress: Progress, check: Callable[[], None]) -> None:
        self._progress = progress
        self._check = check
        self._total = self._files = self._done = self._files_done = 0
        self._linked: dict[tuple[int, int], str] = {}

    def parts(self, folders: Sequence[Folder], items: Sequence[Item]) -> Iterator[bytes]:
        for item in items:
            for _, _, _, info in _walk(item):
                self._check()
                if stat.S_ISREG(info.st_mode):
                    self._total += info.st_size
                    self._files += 1
        self._report()
        for folder in folders:
            member = tarfile.TarInfo(folder.name)
            member.type, member.mode = tarfile.DIRTYPE, folder.mode
            yield _header(member)
        for item in items:
            # Each item is a separate volume, and no link leads from one to another.
            self._linked.clear()
            for directory, path, name, info in _walk(item):
                self._check()
                yield from self._entry(item, directory, path, name, info)
        yield bytes(2 * tarfile.BLOCKSIZE)

    def _entry(
        self, item: Item, directory: int, entry: str, name: str, info: os.stat_result
    ) -> Iterator[bytes]:
        if stat.S_ISDIR(info.st_mode):
            yield _header(_member(name, info, tarfile.DIRTYPE))
        elif stat.S_ISLNK(info.st_mode):
            yield _header(_member(name, info, tarfile.SYMTYPE, os.readlink(entry, dir_fd=directory)))
        elif stat.S_ISREG(info.st_mode):
            # A name that becomes a link or a pipe after the walk saw it must neither be followed nor block.
            if directory == _NO_DIRECTORY:
                descriptor = open_input(item.mount, COMPONENT, _FOR_READING)
            else:
                descriptor = os.open(entry, _FOR_READING, dir_fd=directory)
            yield from self._file(descriptor, f"{item.mount.path}{name.removeprefix(item.name)}", name)

    def _file(self, descriptor: int, path: str, name: str) -> Iterator[bytes]:
        with os.fdopen(descriptor, "rb", buffering=0) as source:
            info = os.fstat(descriptor)
            if not stat.S_ISREG(info.st_mode):
                raise _changed(path)
            identity = (info.st_dev, info.st_ino)
            if identity in self._linked:
                yield _header(_member(name, info, tarfile.LNKTYPE, self._linked[identity]))
                self._done += info.st_size
            else:
                if info.st_nlink > 1:
                    self._linked[identity] = name
                member = _member(name, info, tarfile.REGTYPE)
                member.size = left = info.st_size
                yield _header(member)
                while left:
                    self._check()
                    data = source.read(min(BLOCK, left))
                    if not data:
                        raise _changed(path)
                    yield data
                    left -= len(data)
                    self._done += len(data)
                    self._report()
                yield bytes(-info.st_size % tarfile.BLOCKSIZE)
        self._files_done += 1
        self._report()

    def _report(self) -> None:
        # A directory that grows while it is copied must not be more than done.
        self._total, self._files = max(self._total, self._done), max(self._files, self._files_done)
        self._progress(Reading(PHASE, self._done, self._total, self._files_done, self._files))


def _walk(item: Item) -> Iterator[tuple[int, str, str, os.stat_result]]:
    """Yield an item and everything below it, each directory before its entries; no link is followed.

    Yields
    ------
    tuple
        The open directory that holds the entry (`_NO_DIRECTORY` unless the item is a directory) and its name there,
        its name in the stream, and its state.
    """
    opened = open_input(item.mount, COMPONENT)
    try:
        if beneath.is_directory(opened):
            for entry in walk(opened, deepest=MAX_DEPTH):
                below = f"/{entry.path}" if entry.path else ""
                yield entry.directory, entry.name, f"{item.name}{below}", entry.info
        else:
            yield _NO_DIRECTORY, "", item.name, os.fstat(opened)
    finally:
        os.close(opened)


def _member(name: str, info: os.stat_result, kind: bytes, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    member.mode = stat.S_IMODE(info.st_mode)
    member.uid, member.gid = info.st_uid, info.st_gid
    member.mtime = max(0, int(info.st_mtime))
    return member


def _header(member: tarfile.TarInfo) -> bytes:
    return member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def joined(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Join small parts of a stream: each costs a write."""
    buffer = bytearray()
    for part in parts:
        buffer += part
        if len(buffer) >= BLOCK:
            yield bytes(buffer)
            buffer.clear()
    if buffer:
        yield bytes(buffer)


def _changed(path: str) -> IOFailure:
    return IOFailure(
        f"the input {path} changed while it was copied to the Docker Engine",
        retryable=True,
        fails_execution=True,
    )
