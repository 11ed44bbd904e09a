"""Reading a result that lies unpacked in a directory of ours."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.lib.threads.whole import or_undone
from bacalhau_jupyter.lib.trees import copy_tree, make_directories, walk
from bacalhau_jupyter.models.errors import NotFound
from bacalhau_jupyter.models.records.progress import Progress, Reading, no_progress
from bacalhau_jupyter.transfer.archive.ranges import read_file
from bacalhau_jupyter.transfer.core.files import io_failure
from bacalhau_jupyter.transfer.core.layout import merge_results
from bacalhau_jupyter.transfer.core.readers import EntryKind, ResultEntry

COMPONENT = "Results"


class TreeReader:
    """A `readers.ResultReader` over a directory whose names and links were checked when it was made.

    Parameters
    ----------
    name
        What to call the result in messages.
    remove
        Goes when the reader is closed.
    """

    def __init__(self, root: Path, *, name: str, remove: Path | None = None) -> None:
        self._root = root
        self._name = name
        self._remove = remove

    async def entries(self) -> Sequence[ResultEntry]:
        """Return what is there."""
        return await asyncio.to_thread(_entries, self._root)

    async def read(self, path: str, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """Yield a part of one file."""
        try:
            # Links are separate entries: nothing is read through one.
            descriptor = await or_undone(os.close, os.open, self._root / path, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            raise missing(self._name, path) from None
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            info = os.fstat(file.fileno())
            if not stat.S_ISREG(info.st_mode):
                raise missing(self._name, path)
            async for chunk in read_file(file, start, info.st_size if stop is None else stop):
                yield chunk

    async def save(self, target: Path, path: str = "", progress: Progress = no_progress) -> None:
        """Copy everything, or one file or subtree, below ``target``."""
        try:
            await asyncio.to_thread(self._copy, target, path)
        except OSError as error:
            raise io_failure(error, "write to", target, COMPONENT) from error
        progress(Reading("copying results", 0, None))

    def _copy(self, target: Path, path: str) -> None:
        source = self._root / path
        if path and not os.path.lexists(source):
            raise missing(self._name, path)
        part = Path(tempfile.mkdtemp(prefix=".bacalhau-get-", dir=target))
        try:
            place = part / path
            make_directories(place.parent)
            if source.is_dir() and not source.is_symlink():
                copy_tree(source, place, metadata=True)
            else:
                shutil.copy2(source, place, follow_symlinks=False)
            merge_results([part], target)
        finally:
            remove_tree(part)

    async def close(self) -> None:
        """Remove the directory."""
        if self._remove is not None:
            await asyncio.to_thread(remove_tree, self._remove)


def missing(name: str, path: str) -> NotFound:
    """Return the error for a file that a result does not hold."""
    return NotFound(f"{name} holds no file {path!r}")


def _entries(root: Path) -> list[ResultEntry]:
    entries: list[ResultEntry] = []
    for entry in walk(root):
        mode, path = entry.info.st_mode, entry.path
        if stat.S_ISLNK(mode):
            target = os.readlink(entry.name, dir_fd=entry.directory)
            entries.append(ResultEntry(path, 0, EntryKind.LINK, target))
        elif not stat.S_ISDIR(mode):
            entries.append(ResultEntry(path, entry.info.st_size))
        elif path:
            entries.append(ResultEntry(path, 0, EntryKind.DIRECTORY))
    return sorted(entries, key=lambda item: item.path.split("/"))
