"""Inputs as one tar stream for the engine: the sender pulls it bit by bit; it is never in memory as a whole.

Each input of the stream has a digest: of its names, modes, owners, links and bytes, but not of its times.

What a mount would show is kept: owners, modes, times, links as they are, empty directories. Sockets, pipes and
devices hold nothing that could be copied and are left out. Everything here blocks.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tarfile
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from bacalhau_jupyter.engines.docker.files.digests import Digest
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
PHASE_COMPARING = "comparing inputs"
_NO_DIRECTORY = -1
_FOR_READING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True)
class Item:
    """An input on this disk and its name in the stream."""

    mount: InputMount
    name: str


@dataclass(frozen=True)
class Outline:
    """What can be told of an input without reading it: two that differ in it differ."""

    size: int
    files: int


@dataclass(frozen=True)
class Folder:
    """A directory that only the stream has."""

    name: str
    mode: int


def outline(item: Item, check: Callable[[], None]) -> Outline:
    """Count the files of an input and their bytes; raises as `stream`."""
    size = files = 0
    with _explained():
        for _, _, _, info in _walk(item):
            check()
            if stat.S_ISREG(info.st_mode):
                size += info.st_size
                files += 1
    return Outline(size, files)


def digest(item: Item, progress: Progress, check: Callable[[], None]) -> str:
    """Read an input and return its digest; raises as `stream`."""
    digests: dict[str, str] = {}
    with _explained(), Digest() as running:
        packer = _Packer(lambda reading: progress(replace(reading, phase=PHASE_COMPARING)), check, running)
        for _ in packer.parts([], [item], digests):
            pass
    return digests[item.name]


def stream(
    folders: Sequence[Folder],
    items: Sequence[Item],
    progress: Progress,
    check: Callable[[], None],
    digests: dict[str, str] | None = None,
) -> Generator[bytes]:
    """Yield the tar of ``folders`` and then ``items``.

    Parameters
    ----------
    progress
        Gets `PHASE`, bytes and files.
    check
        Called for every block; raises when the stream is no longer wanted.
    digests
        Gets the digest of each item, by its name in the stream, once it has been sent; None: nobody wants them.

    Raises
    ------
    IOFailure
        Something can't be read, or shrank meanwhile; it is named.
    """
    with _explained(), contextlib.ExitStack() as stack:
        running = None if digests is None else stack.enter_context(Digest())
        yield from joined(_Packer(progress, check, running).parts(folders, items, digests))


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # Anything but an OSError: an HTTP client would take that for its own.
        raise IOFailure(
            f"could not copy the input {error.filename or 'data'} to the Docker Engine: {error.strerror}",
            fails_execution=True,
        ) from error


class _Packer:
    def __init__(self, progress: Progress, check: Callable[[], None], digest: Digest | None) -> None:
        self._digest = digest
        self._progress = progress
        self._check = check
        self._total = self._files = self._done = self._files_done = 0
        self._linked: dict[tuple[int, int], str] = {}

    def parts(
        self, folders: Sequence[Folder], items: Sequence[Item], digests: dict[str, str] | None
    ) -> Iterator[bytes]:
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
            if self._digest is not None and digests is not None:
                digests[item.name] = self._digest.next()
        yield bytes(2 * tarfile.BLOCKSIZE)

    def _entry(
        self, item: Item, directory: int, entry: str, name: str, info: os.stat_result
    ) -> Iterator[bytes]:
        if stat.S_ISDIR(info.st_mode):
            yield self._begin(item, _member(name, info, tarfile.DIRTYPE))
        elif stat.S_ISLNK(info.st_mode):
            link = _member(name, info, tarfile.SYMTYPE, os.readlink(entry, dir_fd=directory))
            yield self._begin(item, link)
        elif stat.S_ISREG(info.st_mode):
            # A name that becomes a link or a pipe after the walk saw it must neither be followed nor block.
            if directory == _NO_DIRECTORY:
                descriptor = open_input(item.mount, COMPONENT, _FOR_READING)
            else:
                descriptor = os.open(entry, _FOR_READING, dir_fd=directory)
            yield from self._file(item, descriptor, name)

    def _begin(self, item: Item, member: tarfile.TarInfo) -> bytes:
        """Return the header of an entry, and let the digest know of it."""
        if self._digest is not None:
            place = member.name.removeprefix(item.name)
            target = member.linkname.removeprefix(item.name) if member.islnk() else member.linkname
            entry = (place, member.type, member.mode, member.uid, member.gid, member.size, target)
            self._digest.update(repr(entry).encode("utf-8", "surrogateescape"))
        return _header(member)

    def _file(self, item: Item, descriptor: int, name: str) -> Iterator[bytes]:
        path = f"{item.mount.path}{name.removeprefix(item.name)}"
        with os.fdopen(descriptor, "rb", buffering=0) as source:
            info = os.fstat(descriptor)
            if not stat.S_ISREG(info.st_mode):
                raise _changed(path)
            identity = (info.st_dev, info.st_ino)
            if identity in self._linked:
                yield self._begin(item, _member(name, info, tarfile.LNKTYPE, self._linked[identity]))
                self._done += info.st_size
            else:
                if info.st_nlink > 1:
                    self._linked[identity] = name
                member = _member(name, info, tarfile.REGTYPE)
                member.size = left = info.st_size
                yield self._begin(item, member)
                while left:
                    self._check()
                    data = source.read(min(BLOCK, left))
                    if not data:
                        raise _changed(path)
                    if self._digest is not None:
                        self._digest.update(data)
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
