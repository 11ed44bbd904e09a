"""A folder of this machine as one archive: links to files are files there, links to directories are left out."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bacalhau_jupyter.lib.trees import MAX_DEPTH, walk
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.names import shown
from bacalhau_jupyter.models.records.progress import Progress
from bacalhau_jupyter.transfer.archive.packing import pack_into
from bacalhau_jupyter.transfer.core.gathering import Item
from bacalhau_jupyter.transfer.core.readers import EntryKind

_FOR_READING = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass
class Listing:
    """The directories and files of a folder, or one entry alone (`transfer.archive.packing.Packable`)."""

    root: Path
    only: str = ""

    def __iter__(self) -> Iterator[Item]:
        for entry in walk(self.root, deepest=MAX_DEPTH):
            info = entry.info
            if self.only and entry.path not in ("", self.only):
                continue
            if stat.S_ISLNK(info.st_mode):
                try:
                    info = (self.root / entry.path).stat()
                except OSError:
                    continue  # a link to nothing
                if not stat.S_ISREG(info.st_mode):
                    continue
            if stat.S_ISDIR(info.st_mode):
                yield Item(entry.path, EntryKind.DIRECTORY, info)
            elif stat.S_ISREG(info.st_mode):
                yield Item(entry.path, EntryKind.FILE, info)

    def files(self) -> Iterator[Item]:
        """Yield the files alone."""
        return (item for item in self if item.kind is EntryKind.FILE)

    def open(self, item: Item) -> int:
        """Open a file.

        Raises
        ------
        BadRequest
            It can't be read.
        """
        try:
            return os.open(self.root / item.name, _FOR_READING)
        except OSError as error:
            raise BadRequest(
                f"-i/--input: {shown(str(self.root / item.name))} can't be read: {error.strerror}"
            ) from error

    @property
    def left_out(self) -> tuple[()]:
        """Nothing is told of what is left out."""
        return ()


def pack_folder(folder: Listing, target: Path, progress: Progress, stop: threading.Event) -> None:
    """Pack a folder into a file. Blocks.

    Raises
    ------
    BadRequest, IOFailure
        A file can't be read, or changed meanwhile.
    OSError
        The target can't be written.
    """
    with target.open("wb") as file:
        pack_into(folder, file, progress=progress, stop=stop)
