"""Archives whose large files lie beside them: a directory that reads as the ``.tar.gz`` that it stands for.

In the directory are ``archive``, all of the archive but some of its blocks; the files ``0``, ``1``, … that those blocks
hold; and the ``layout``. A missing block is what `blocks.store` makes of a piece of a file, so every byte of the
archive has its place, and its length is known, before anybody packs anything. Functions here block, but for methods
of `Ranges`.
"""

from __future__ import annotations

import asyncio
import os
import stat
import threading
from bisect import bisect_right
from collections.abc import AsyncIterator
from itertools import accumulate
from pathlib import Path

import msgspec

from bacalhau_jupyter.models.errors import IOFailure
from bacalhau_jupyter.transfer.archive.blocks import BLOCK, store, stored_size
from bacalhau_jupyter.transfer.archive.ranges import OpenFileRanges
from bacalhau_jupyter.transfer.core.entry_names import COMPONENT
from bacalhau_jupyter.transfer.core.files import CHUNK, check_interrupted

ARCHIVE, LAYOUT = "archive", "layout"
MAX_HELD = 16
"""Files that lie beside an archive at most: each of its readers has them open."""

_MAX_LAYOUT = 1 << 20
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class HeldFile(msgspec.Struct, frozen=True, array_like=True):
    """A file beside the archive.

    Attributes
    ----------
    path
        Its name in the archive.
    changed_ns
        Its modification time: another one means that somebody wrote to it.
    """

    path: bytes
    size: int
    changed_ns: int


class Gap(msgspec.Struct, frozen=True, array_like=True):
    """Blocks that are missing: where they begin in the whole archive, and which part of a file they hold."""

    at: int
    file: int
    offset: int
    blocks: int


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """What lies in the directory.

    Attributes
    ----------
    size
        Bytes of the whole archive.
    boot
        The machine's boot at which this was written.
    """

    size: int
    block: int
    boot: str
    files: list[HeldFile]
    gaps: list[Gap]

    @property
    def stored(self) -> int:
        """Bytes of the missing blocks in the whole archive."""
        return sum(gap.blocks for gap in self.gaps) * stored_size(self.block)

    @property
    def taken(self) -> int:
        """Bytes of the disk that the archive and its files take."""
        return self.size - self.stored + sum(file.size for file in self.files)


class HeldArchive:
    """Such a directory, opened: it stays readable when its name goes. Implements `ranges.Ranges`; close it."""

    def __init__(self, layout: Layout, archive: int, files: list[int]) -> None:
        self._layout = layout
        self._archive = archive
        self._files = files
        self._numbers = {os.fsdecode(file.path): number for number, file in enumerate(layout.files)}
        self._member = stored_size(layout.block)
        self._starts = [gap.at for gap in layout.gaps]
        # What is missing before each gap.
        self._missing = list(accumulate((gap.blocks * self._member for gap in layout.gaps), initial=0))

    @classmethod
    def open(cls, directory: Path) -> HeldArchive:
        """Open a directory of this user.

        Raises
        ------
        OSError
            Something is not there, or is a link.
        IOFailure
            It is not what was published.
        """
        place = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        opened: list[int] = []
        try:
            info = os.fstat(place)
            if info.st_uid != os.geteuid() or info.st_mode & 0o077:
                raise _damaged("others may write to it")
            layout = _layout(place)
            names = (ARCHIVE, *map(str, range(len(layout.files))))
            # One after the other: those before one that is missing are closed again.
            opened.extend(os.open(name, _READ, dir_fd=place) for name in names)
            _check(layout, [os.fstat(descriptor) for descriptor in opened])
        except BaseException:
            for descriptor in opened:
                os.close(descriptor)
            raise
        finally:
            os.close(place)
        return cls(layout, opened[0], opened[1:])

    @property
    def length(self) -> int:
        """Bytes of the whole archive."""
        return self._layout.size

    async def size(self) -> int:
        """Return the bytes of the whole archive."""
        return self.length

    async def read(self, start: int, stop: int) -> AsyncIterator[bytes]:
        """Yield a part of the whole archive."""
        while start < stop:
            chunk = await asyncio.to_thread(self.read_at, start, stop - start)
            start += len(chunk)
            yield chunk

    def read_at(self, start: int, most: int) -> bytes:
        """Return some of the bytes from ``start`` on: at least one, at most ``most``.

        Raises
        ------
        IOFailure
            They are not there any more.
        """
        number = bisect_right(self._starts, start) - 1
        if number >= 0:
            gap = self._layout.gaps[number]
            block, skipped = divmod(start - gap.at, self._member)
            if block < gap.blocks:
                offset = gap.offset + block * self._layout.block
                data = _exactly(self._files[gap.file], self._layout.block, offset)
                return store(data)[skipped : skipped + most]
        end = self._starts[number + 1] if number + 1 < len(self._starts) else self._layout.size
        count = min(most, CHUNK, end - start)
        return _exactly(self._archive, count, start - self._missing[number + 1])

    def held(self, path: str, size: int) -> int | None:
        """Return the descriptor of a file that lies beside the archive and has that size; None for any other."""
        number = self._numbers.get(path)
        if number is None or self._layout.files[number].size != size:
            return None
        return self._files[number]

    async def close(self) -> None:
        """Close the files."""
        self.release()

    def release(self) -> None:
        """Close the files, without an event loop."""
        descriptors, self._files, self._numbers = [self._archive, *self._files], [], {}
        if self._archive >= 0:
            self._archive = -1
            for descriptor in descriptors:
                os.close(descriptor)


def open_archive(path: Path) -> OpenFileRanges | HeldArchive:
    """Open an archive of this user, whatever form it has.

    Raises
    ------
    OSError
        It is not there, or is nothing of ours.
    IOFailure
        It is not what was published.
    """
    if path.is_dir():
        return HeldArchive.open(path)
    ranges = OpenFileRanges.of(path)
    if ranges is None:
        raise FileNotFoundError(f"there is no archive {path}")
    return ranges


def write_archive(path: Path, target: Path, stop: threading.Event | None = None) -> None:
    """Write the archive that a directory stands for to a file, which does not exist.

    Raises
    ------
    OSError, IOFailure
        It can't be read or written.
    Interrupted
        ``stop`` was set.
    """
    archive = HeldArchive.open(path)
    try:
        with target.open("xb", buffering=0) as file:
            at = 0
            while at < archive.length:
                check_interrupted(stop)
                at += file.write(archive.read_at(at, archive.length - at))
    finally:
        archive.release()


def archive_size(path: Path) -> int:
    """Return how long an archive is, whatever form it has.

    Raises
    ------
    OSError
        It is not there.
    """
    return read_layout(path).size if path.is_dir() else path.stat().st_size


def read_layout(directory: Path) -> Layout:
    """Return the layout of a directory; no time of the directory changes by that.

    Raises
    ------
    OSError
        There is none, or it can't be understood.
    """
    place = os.open(directory, getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return _layout(place)
    except IOFailure as error:
        raise OSError(error.message) from error
    finally:
        os.close(place)


def _layout(place: int) -> Layout:
    with os.fdopen(os.open(LAYOUT, _READ, dir_fd=place), "rb") as file:
        try:
            layout = msgspec.msgpack.decode(file.read(_MAX_LAYOUT), type=Layout)
        except msgspec.MsgspecError as error:
            raise _damaged("its layout can't be read") from error
    if layout.block != BLOCK or len(layout.files) > MAX_HELD:
        raise _damaged("its layout is of another version")
    return layout


def _check(layout: Layout, facts: list[os.stat_result]) -> None:
    if not all(stat.S_ISREG(info.st_mode) for info in facts):
        raise _damaged("it holds something that is not a file")
    if facts[0].st_size != layout.size - layout.stored:
        raise _damaged("its archive has another length")
    for file, info in zip(layout.files, facts[1:], strict=True):
        if (info.st_size, info.st_mtime_ns) != (file.size, file.changed_ns):
            raise _damaged("somebody wrote to one of its files")
    end = 0
    for gap in layout.gaps:
        size = layout.files[gap.file].size if 0 <= gap.file < len(layout.files) else -1
        inside = gap.offset >= 0 and gap.offset + gap.blocks * layout.block <= size
        if gap.at < end or gap.blocks < 0 or not inside:
            raise _damaged("its layout contradicts itself")
        end = gap.at + gap.blocks * stored_size(layout.block)
    if end > layout.size:
        raise _damaged("its layout contradicts itself")


def _exactly(descriptor: int, count: int, offset: int) -> bytes:
    data = os.pread(descriptor, count, offset)
    if len(data) != count:
        raise _damaged("a file became shorter")
    return data


def _damaged(why: str) -> IOFailure:
    return IOFailure(
        f"the stored result is damaged: {why}",
        hint="run the job again; nothing but the node may write below its directory",
        component=COMPONENT,
    )
