"""Writing what an index names to disk: directories, then files as their bytes come by, then links.

The order is that of `unpacking`, for the same reason: nothing is ever written through a link.
"""

from __future__ import annotations

import os
import tarfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bacalhau_jupyter.lib.trees import make_directories
from bacalhau_jupyter.transfer.archive.index import ArchiveEntry, ArchiveIndex
from bacalhau_jupyter.transfer.core.entry_names import refused, sane_mode
from bacalhau_jupyter.transfer.core.readers import EntryKind
from bacalhau_jupyter.transfer.core.taking import copy_descriptor, link_descriptor

HEADER = 512
"""Bytes of the tar header before a file's contents; it is compared with the index."""

_OCTAL_LIMIT = 8 << 30


@dataclass
class Run:
    """Files whose blocks lie side by side: one request fetches them all."""

    files: list[ArchiveEntry] = field(default_factory=list)

    @property
    def start(self) -> int:
        """Where it begins in the unpacked stream."""
        return self.files[0].offset - HEADER

    @property
    def stop(self) -> int:
        """Where it ends."""
        return self.files[-1].offset + self.files[-1].size


def runs(index: ArchiveIndex, entries: Sequence[ArchiveEntry]) -> Iterator[Run]:
    """Yield the files of ``entries`` that have contents, in their order in the archive."""
    files = [entry for entry in entries if entry.kind is EntryKind.FILE and entry.size]
    run = Run()
    for entry in sorted(files, key=lambda entry: entry.offset):
        if run.files and (entry.offset - HEADER) // index.block > (run.stop - 1) // index.block + 1:
            yield run
            run = Run()
        run.files.append(entry)
    if run.files:
        yield run


def check_header(header: bytes, entry: ArchiveEntry) -> None:
    """Compare a file's tar header with what the index says of it.

    Raises
    ------
    IOFailure
        They tell different things.
    """
    try:
        info = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        raise refused(f"its index and its contents disagree about {entry.path!r}") from None
    # Longer or other names, and sizes beyond eight octal gigabytes, are in a header before this one.
    named = len(entry.path) > 100 or not entry.path.isascii() or info.name == entry.path
    sized = entry.size >= _OCTAL_LIMIT or info.size == entry.size
    if not (info.isreg() and named and sized):
        raise refused(f"its index and its contents disagree about {entry.path!r}")


def make_tree(root: Path, entries: Sequence[ArchiveEntry]) -> None:
    """Make the directories of the entries and of their parents, and their empty files. Blocking."""
    for entry in entries:
        path = root / entry.path
        if entry.kind is EntryKind.DIRECTORY:
            make_directories(path, 0o700)
            continue
        make_directories(path.parent, 0o700)
        if entry.kind is EntryKind.FILE and not entry.size:
            os.close(_create(path))
            _dress(path, entry)


def finish_tree(root: Path, entries: Sequence[ArchiveEntry]) -> None:
    """Make the links, then give the directories their modes and times. Blocking."""
    for entry in entries:
        if entry.kind is EntryKind.LINK:
            (root / entry.path).symlink_to(entry.target)
    for entry in sorted(entries, key=lambda entry: entry.path, reverse=True):
        if entry.kind is EntryKind.DIRECTORY:
            _dress(root / entry.path, entry)


class RunWriter:
    """Writes the files of one run from the bytes of the stream, in any pieces. Blocking; close it."""

    def __init__(self, root: Path, run: Run) -> None:
        self._root = root
        self._files = run.files
        self._next = 0
        self._position = run.start
        self._header = b""
        self._descriptor = -1

    @property
    def done(self) -> int:
        """Files that are whole."""
        return self._next

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        view = memoryview(data)
        while view and self._next < len(self._files):
            entry = self._files[self._next]
            count = self._take(entry, view)
            self._position += count
            view = view[count:]
            if self._position == entry.offset + entry.size:
                self.close()
                _dress(self._root / entry.path, entry)
                self._header = b""
                self._next += 1

    def _take(self, entry: ArchiveEntry, view: memoryview) -> int:
        begin = entry.offset - HEADER
        if self._position < begin:
            return min(len(view), begin - self._position)
        if self._position < entry.offset:
            piece = view[: entry.offset - self._position]
            self._header += bytes(piece)
            if len(self._header) == HEADER:
                check_header(self._header, entry)
                self._descriptor = _create(self._root / entry.path)
            return len(piece)
        piece = view[: entry.offset + entry.size - self._position]
        return os.write(self._descriptor, piece)

    def close(self) -> None:
        """Close the file that is being written."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def link_held(path: Path, descriptor: int) -> bool:
    """Give a file that lies beside an archive another name; False where that can't be done. Blocking."""
    try:
        place = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        link_descriptor(descriptor, path.name, place)
    except OSError:
        return False  # another disk, or its last name went meanwhile: it can be copied
    finally:
        os.close(place)
    return True


def copy_held(root: Path, entry: ArchiveEntry, descriptor: int, stop: threading.Event | None = None) -> None:
    """Copy a file that lies beside an archive; its blocks are shared where the file system can. Blocking.

    Raises
    ------
    IOFailure
        It became shorter or longer.
    OSError
        It can't be written.
    Interrupted
        ``stop`` was set.
    """
    target = _create(root / entry.path)
    try:
        copied = copy_descriptor(descriptor, target, stop)
    finally:
        os.close(target)
    if copied != entry.size:
        raise refused(f"{entry.path!r} changed while it was read")
    _dress(root / entry.path, entry)


def _create(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _dress(path: Path, entry: ArchiveEntry) -> None:
    path.chmod(sane_mode(entry.mode, directory=entry.kind is EntryKind.DIRECTORY))
    os.utime(path, (entry.mtime, entry.mtime))
