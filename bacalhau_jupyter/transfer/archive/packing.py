"""Writing a directory as a gzip tar, the layout of every result and of inline directories.

Members are rooted at ``./``, each directory stands before what it holds, names are sorted, times kept, owners
not. The stream is packed in blocks, in parallel (`blocks`), and followed by an index (`index`) with
which one file can be read without the rest.
"""

from __future__ import annotations

import os
import stat
import tarfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

from bacalhau_jupyter.models.errors import IOFailure
from bacalhau_jupyter.models.names import shown
from bacalhau_jupyter.models.records.progress import Progress, Reading, no_progress
from bacalhau_jupyter.transfer.archive.blocks import BLOCK, BlockWriter
from bacalhau_jupyter.transfer.archive.index import MAX_ENTRIES, ArchiveEntry, trailer
from bacalhau_jupyter.transfer.core.entry_names import COMPONENT
from bacalhau_jupyter.transfer.core.files import CHUNK, check_interrupted
from bacalhau_jupyter.transfer.core.gathering import Gathering, Item, LeftOut
from bacalhau_jupyter.transfer.core.job_view import JobView
from bacalhau_jupyter.transfer.core.measuring import measure
from bacalhau_jupyter.transfer.core.readers import EntryKind

__all__ = ["COMPONENT", "PackReport", "pack_into"]


@dataclass
class PackReport:
    """What went into an archive.

    Attributes
    ----------
    size
        Bytes of the files packed, before compression.
    skipped
        Names of what was left out.
    """

    members: int = 0
    size: int = 0
    skipped: list[str] = field(default_factory=list)


_KINDS = {
    tarfile.REGTYPE: EntryKind.FILE,
    tarfile.DIRTYPE: EntryKind.DIRECTORY,
    tarfile.SYMTYPE: EntryKind.LINK,
}


class Packable(Protocol):
    """A tree to pack; `Gathering` is one."""

    @property
    def root(self) -> Path:
        """Where it lies."""
        ...

    @property
    def left_out(self) -> Sequence[LeftOut]:
        """What the walk left out."""
        ...

    def __iter__(self) -> Iterator[Item]:
        """Walk through it, parents first."""
        ...

    def open(self, item: Item) -> int | None:
        """Open the file that the walk has just yielded; None leaves it out."""
        ...


class Keeper(Protocol):
    """Takes files over that need not be written into the archive."""

    def keep(self, descriptor: int, item: Item) -> bool:
        """Take an open file over, if it can be kept as it is."""
        ...

    def note(self, offset: int, blocks: int, at: int) -> None:
        """Note which whole blocks of the archive the file taken last stands for.

        ``offset`` is where the first one begins in the file, ``at`` where it begins in the packed archive.
        """
        ...


class _Packer:
    def __init__(
        self,
        source: Packable,
        file: BinaryIO,
        block: int,
        progress: Progress,
        stop: threading.Event | None,
        keeper: Keeper | None,
    ) -> None:
        self.source = source
        self.file = file
        self.keeper = keeper
        self.out = BlockWriter(file, block)
        self.entries: list[ArchiveEntry] = []
        self.files = 0
        self.progress = progress
        self.stop = stop
        self.report = PackReport()
        # Without a listener, nothing is counted.
        self.totals = (None, None) if progress is no_progress else measure(source.root, stop)

    def pack(self) -> PackReport:
        with self.out:
            for item in self.source:
                check_interrupted(self.stop)
                if item.kind is EntryKind.FILE:
                    self._add_file(item)
                else:
                    self._add_other(item)
            self.out.write(bytes(2 * tarfile.BLOCKSIZE))
            self.out.finish()
        self.file.write(trailer(self.out, self.entries))
        self.report.skipped = [left.name for left in self.source.left_out]
        return self.report

    def _add_other(self, item: Item) -> None:
        member = _member(item.name, item.info)
        if item.kind is EntryKind.DIRECTORY:
            member.type = tarfile.DIRTYPE
        else:
            member.type = tarfile.SYMTYPE
            member.mode = 0o777
            member.linkname = item.target
        self._write_header(member)

    def _write_header(self, member: tarfile.TarInfo) -> None:
        self.out.write(member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
        self.report.members += 1
        # One too many already means that there will be no index; the root goes without saying.
        if member.name != "." and len(self.entries) <= MAX_ENTRIES:
            kind, mtime = _KINDS[member.type], int(member.mtime)
            self.entries.append(
                ArchiveEntry(
                    member.name,
                    kind,
                    mode=member.mode,
                    mtime=mtime,
                    size=member.size,
                    offset=self.out.position,
                    target=member.linkname,
                )
            )

    def _add_file(self, item: Item) -> None:
        descriptor = self.source.open(item)
        if descriptor is None:
            return
        with os.fdopen(descriptor, "rb", buffering=0) as source:
            info = os.fstat(descriptor)
            if not stat.S_ISREG(info.st_mode):
                raise _changed(item)
            # The mode that the job gave it, not what it took to read it.
            member = _member(item.name, item.info)
            member.size = info.st_size
            self._write_header(member)
            left = member.size
            if self.keeper is not None and self.keeper.keep(descriptor, item):
                left -= self._leave_out(source, item, left, self.keeper)
            self._copy(source, item, left)
            self.out.write(bytes(-member.size % tarfile.BLOCKSIZE))
        self.files += 1
        self._tell()

    def _leave_out(self, source: BinaryIO, item: Item, size: int, keeper: Keeper) -> int:
        """Write a file that is kept elsewhere up to a block, and leave its whole blocks out; return these bytes."""
        lead = -self.out.position % self.out.block
        self._copy(source, item, lead)
        blocks = (size - lead) // self.out.block
        keeper.note(lead, blocks, self.out.leave_out(blocks))
        count = blocks * self.out.block
        source.seek(lead + count)
        self.report.size += count
        return lead + count

    def _copy(self, source: BinaryIO, item: Item, count: int) -> None:
        while count:
            check_interrupted(self.stop)
            taken = self.out.take(source, min(count, CHUNK))
            if not taken:
                raise _changed(item)
            count -= taken
            self.report.size += taken
            self._tell()

    def _tell(self) -> None:
        size, files = self.totals
        # Files may have grown since they were measured; progress stays at 100 % or less.
        size = None if size is None else max(size, self.report.size)
        files = None if files is None else max(files, self.files)
        self.progress(Reading("packing", self.report.size, size, self.files, files))


def _changed(item: Item) -> IOFailure:
    return IOFailure(f"{shown(item.name)} changed while it was packed", retryable=True)


def _member(name: str, info: os.stat_result) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name or ".")
    member.mode = stat.S_IMODE(info.st_mode) & 0o777
    member.mtime = max(0, int(info.st_mtime))
    return member


def pack_into(
    directory: Path | Packable,
    file: BinaryIO,
    *,
    aliases: Mapping[str, str] | None = None,
    progress: Progress = no_progress,
    stop: threading.Event | None = None,
    block: int = BLOCK,
    keeper: Keeper | None = None,
) -> PackReport:
    """Write the gzip tar of a directory into an open file. Blocking: call it in a thread.

    Memory does not grow with the size of the files, only (some 200 bytes each) with their number.

    Parameters
    ----------
    directory
        What a job left, with the rules of `Gathering`; or a directory all of which is wanted: then whatever can't be
        packed is an error, but for sockets, pipes and devices.
    file
        Is only ever written to, forward, in pieces of about ``block``.
    aliases
        Absolute paths as the job saw them and the names they have in the archive (``{"/outputs": "outputs"}``):
        absolute links to there become relative ones. A `Gathering` knows its own.
    progress
        Gets phase ``packing``, the bytes read and the files done, and how many there are.
    block
        Bytes in a block: the amount to fetch for a single byte.
    keeper
        Takes large files over; their whole blocks are missing in ``file`` then (see `held`).

    Raises
    ------
    IOFailure
        An entry can't be read, changed meanwhile, or is a link that points outside; the entry is named.
    OSError
        ``file`` can't be written.
    Interrupted
        ``stop`` was set.
    """
    source: Packable
    if isinstance(directory, Path):
        if not directory.is_dir():
            raise IOFailure(f"there is no directory {directory} to pack")
        source = Gathering(directory, JobView(directory, aliases or {}), component=COMPONENT, strict=True)
    else:
        source = directory
    return _Packer(source, file, block, progress, stop, keeper).pack()
