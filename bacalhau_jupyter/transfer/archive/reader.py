"""Reading a result that is an archive somewhere: what is in it, then only the blocks that are asked for.

With our index (`index`) a listing costs the archive's last kilobytes and a file costs its blocks. An archive
without one, of an official node, is downloaded once and unpacked on this machine's disk.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.lib.threads.directories import new_directory
from bacalhau_jupyter.lib.threads.whole import or_undone, whole
from bacalhau_jupyter.models.errors import BacalhauError, IOFailure, NetworkFailure
from bacalhau_jupyter.models.records.progress import Progress, Reading, no_progress
from bacalhau_jupyter.models.records.published import ARCHIVE_SUFFIX
from bacalhau_jupyter.transfer.archive.extract import (
    HEADER,
    Run,
    RunWriter,
    check_header,
    copy_held,
    finish_tree,
    link_held,
    make_tree,
    runs,
)
from bacalhau_jupyter.transfer.archive.held import HeldArchive
from bacalhau_jupyter.transfer.archive.index import (
    FOOTER_SIZE,
    ArchiveEntry,
    ArchiveIndex,
    parse_footer,
    parse_index,
)
from bacalhau_jupyter.transfer.archive.ranges import TAIL, Ranges, read_descriptor
from bacalhau_jupyter.transfer.archive.stream import ArchiveStream
from bacalhau_jupyter.transfer.archive.tar_gz import unpack
from bacalhau_jupyter.transfer.archive.tree_reader import TreeReader, missing
from bacalhau_jupyter.transfer.archive.unpacking import Limits
from bacalhau_jupyter.transfer.core.entry_names import COMPONENT, refused
from bacalhau_jupyter.transfer.core.files import disk_full, free_bytes, io_failure, run_interruptible
from bacalhau_jupyter.transfer.core.layout import merge_results
from bacalhau_jupyter.transfer.core.readers import EntryKind, ResultEntry
from bacalhau_jupyter.transfer.core.scratch import scratch_directory

__all__ = ["ArchiveReader", "Ranges"]

PHASE = "downloading results"


class ArchiveReader:
    """A `readers.ResultReader` over the bytes of a ``.tar.gz``. Use it on one event loop.

    Parameters
    ----------
    ranges
        The archive's bytes.
    name
        What to call the archive in messages.
    limits
        What it may unpack to.
    sha256
        Base64 checksum that the whole archive has to have; compared where the whole is fetched.
    close
        Called when the reader is closed.
    rest
        Called when no read is expected for a while.
    """

    def __init__(
        self,
        ranges: Ranges,
        *,
        name: str = "the result",
        limits: Limits | None = None,
        sha256: str = "",
        close: Callable[[], Awaitable[None]] | None = None,
        rest: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._ranges = ranges
        self._name = name
        self._limits = limits or Limits()
        # That of a multipart upload is a hash of hashes.
        self.sha256 = "" if "-" in sha256 else sha256.strip()
        self._close = close
        self._rest = rest
        self._lock = asyncio.Lock()
        self._size: int | None = None
        self._index: ArchiveIndex | None = None
        self._by_path: dict[str, ArchiveEntry] = {}
        self._tree: TreeReader | None = None
        self._blocks: ArchiveStream | None = None

    # ---- ResultReader

    async def entries(self) -> Sequence[ResultEntry]:
        """Return what is there; an archive without an index is downloaded for it."""
        index = await self._open()
        if index is None:
            return await (await self._unpacked()).entries()
        result_entries = [ResultEntry(item.path, item.size, item.kind, item.target) for item in index.entries]
        return sorted(result_entries, key=lambda entry: entry.path.split("/"))

    async def read(self, path: str, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """Yield a part of one file: only the blocks that hold it are fetched, and their checksums compared."""
        index = await self._open()
        if index is None:
            async for chunk in (await self._unpacked()).read(path, start, stop):
                yield chunk
            return
        entry = self._by_path.get(path)
        if entry is None or entry.kind is not EntryKind.FILE:
            raise missing(self._name, path)
        stop = entry.size if stop is None else min(stop, entry.size)
        if start >= stop:
            return
        if (descriptor := self._held(entry)) is not None:
            async for chunk in read_descriptor(descriptor, start, stop):
                yield chunk
            return
        # From the beginning the header comes along, which must agree with the index.
        skip = HEADER if start == 0 else 0
        header = b""
        async for chunk in self._stream(index).read(entry.offset + start - skip, entry.offset + stop):
            if len(header) < skip:
                taken = skip - len(header)
                header += chunk[:taken]
                if len(header) < skip:
                    continue
                check_header(header, entry)
                chunk = chunk[taken:]
            if chunk:
                yield chunk

    async def save(
        self,
        target: Path,
        path: str = "",
        progress: Progress = no_progress,
        *,
        leave_out: str = "",
        may_link: bool = False,
    ) -> None:
        """Write everything, or one file or subtree, below ``target``; what is there already is not overwritten.

        Entries called ``leave_out``, and what is below them, are not written where the archive has an index. With
        ``may_link`` files may be further names of those that lie beside the archive: nobody may write to them.
        """
        index = await self._open()
        if index is None and (path or self._tree is not None):
            await (await self._unpacked(progress)).save(target, path, progress)
            return
        try:
            part = await new_directory(".bacalhau-get-", target)
        except OSError as error:
            raise io_failure(error, "write to", target, COMPONENT) from error
        tree = part / "tree"
        try:
            if index is None:
                await self._download(part, progress)
            else:
                await whole(tree.mkdir)
                chosen = self._chosen(index, path, leave_out)
                await self._extract(index, chosen, tree, progress, may_link=may_link)
            await whole(merge_results, [tree], target)
        except OSError as error:
            raise io_failure(error, "write to", target, COMPONENT) from error
        finally:
            await asyncio.to_thread(remove_tree, part)

    async def save_archive(self, file: Path, progress: Progress = no_progress) -> None:
        """Write the archive itself, as it is.

        Raises
        ------
        BacalhauError
            It can't be fetched, or written, or has another checksum than was published; nothing stays.
        """
        size = await self._length()
        free = await asyncio.to_thread(free_bytes, file.parent)
        if free is not None and size > free:
            raise disk_full(file, COMPONENT, needed=size)
        part = file.with_name(f".{file.name}.part")
        try:
            with await or_undone(lambda made: made.close(), _create, part) as out:
                done = 0
                digest = hashlib.sha256()
                async for chunk in self._ranges.read(0, size):
                    await whole(out.write, chunk)
                    if self.sha256:
                        await asyncio.to_thread(digest.update, chunk)
                    done += len(chunk)
                    progress(Reading(PHASE, done, size))
                if done != size:
                    raise NetworkFailure(f"{self._name} broke off before its end")
            if self.sha256 and base64.b64encode(digest.digest()).decode() != self.sha256:
                raise IOFailure(
                    f"{self._name} is damaged: its SHA-256 differs from the published one",
                    hint="fetch it again; if that does not help, run the job again",
                )
            await asyncio.to_thread(part.replace, file)
        except OSError as error:
            raise io_failure(error, "write", file, COMPONENT) from error
        finally:
            await asyncio.to_thread(part.unlink, missing_ok=True)

    async def rest(self) -> None:
        """Close unused connections; the reader stays usable."""
        if self._rest is not None:
            await self._rest()

    async def close(self) -> None:
        """Release connections, memory and scratch files."""
        tree, self._tree = self._tree, None
        self._blocks = None
        if tree is not None:
            await tree.close()
        if self._close is not None:
            await self._close()

    # ---- the index

    async def _length(self) -> int:
        if self._size is None:
            self._size = await self._ranges.size()
        return self._size

    async def _open(self) -> ArchiveIndex | None:
        """Return the index; None: there is none."""
        async with self._lock:
            if self._size is not None:
                return self._index
            size = await self._ranges.size()
            begin = max(0, size - TAIL)
            tail = await _collect(self._ranges.read(begin, size)) if size else b""
            footer = parse_footer(tail, size)
            if footer is not None:
                end = size - FOOTER_SIZE
                if footer.start >= begin:
                    data = tail[footer.start - begin : end - begin]
                else:
                    data = await _collect(self._ranges.read(footer.start, end))
                self._index = await asyncio.to_thread(
                    parse_index,
                    data,
                    footer,
                    max_members=self._limits.max_members,
                    max_bytes=self._limits.max_bytes,
                )
                self._by_path = {entry.path: entry for entry in self._index.entries}
            self._size = size
            return self._index

    # ---- with an index

    def _stream(self, index: ArchiveIndex) -> ArchiveStream:
        if self._blocks is None:
            self._blocks = ArchiveStream(self._ranges, index, self._name)
        return self._blocks

    def _chosen(self, index: ArchiveIndex, path: str, leave_out: str) -> list[ArchiveEntry]:
        chosen = [
            entry
            for entry in index.entries
            if (not path or entry.path == path or entry.path.startswith(f"{path}/"))
            and not (leave_out and leave_out in entry.path.split("/"))
        ]
        if path and not chosen:
            raise missing(self._name, path)
        return chosen

    def _held(self, entry: ArchiveEntry) -> int | None:
        """Return the descriptor of a file that lies beside the archive, whole."""
        if not isinstance(self._ranges, HeldArchive) or not entry.size:
            return None
        return self._ranges.held(entry.path, entry.size)

    async def _extract(
        self,
        index: ArchiveIndex,
        chosen: Sequence[ArchiveEntry],
        root: Path,
        progress: Progress,
        *,
        may_link: bool,
    ) -> None:
        held = {entry.path: descriptor for entry in chosen if (descriptor := self._held(entry)) is not None}
        await whole(make_tree, root, chosen)
        linked = await whole(_link, root, held) if may_link else set()
        size = sum(entry.size for entry in chosen if entry.path not in linked)
        free = await asyncio.to_thread(free_bytes, root)
        if free is not None and size > free:
            raise disk_full(root.parent.parent, COMPONENT, needed=size)
        parts = list(runs(index, [entry for entry in chosen if entry.path not in held]))
        count = sum(len(run.files) for run in parts) + len(held)
        done, files = 0, len(linked)
        for entry in chosen:
            if entry.path in held and entry.path not in linked:
                await run_interruptible(partial(copy_held, root, entry, held[entry.path]))
                done, files = done + entry.size, files + 1
                progress(Reading(PHASE, done, size, files, count))
        for run in parts:
            async for taken, finished in self._write_run(index, run, root):
                done = min(size, done + taken)
                progress(Reading(PHASE, done, size, files + finished, count))
            files += len(run.files)
        await whole(finish_tree, root, chosen)

    async def _write_run(self, index: ArchiveIndex, run: Run, root: Path) -> AsyncIterator[tuple[int, int]]:
        writer = RunWriter(root, run)
        try:
            async for chunk in self._stream(index).read(run.start, run.stop):
                await whole(writer.feed, chunk)
                yield len(chunk), writer.done
            if writer.done != len(run.files):
                raise refused("its index and its contents disagree")
        finally:
            writer.close()

    # ---- without an index

    async def _unpacked(self, progress: Progress = no_progress) -> TreeReader:
        async with self._lock:
            if self._tree is None:
                place = await asyncio.to_thread(scratch_directory, self)
                try:
                    await self._download(place, progress)
                except BaseException:
                    await asyncio.to_thread(remove_tree, place)
                    raise
                self._tree = TreeReader(place / "tree", name=self._name, remove=place)
            return self._tree

    async def _download(self, place: Path, progress: Progress) -> None:
        """Bring the whole archive to ``place`` and unpack it there as ``tree``."""
        archive = place / f"archive{ARCHIVE_SUFFIX}"
        await self.save_archive(archive, progress)
        try:
            await unpack(archive, place / "tree", limits=self._limits, progress=progress)
        except BacalhauError as error:
            error.message = f"{self._name}: {error.message}"
            raise
        finally:
            await asyncio.to_thread(archive.unlink, missing_ok=True)


def _link(root: Path, held: Mapping[str, int]) -> set[str]:
    return {path for path, descriptor in held.items() if link_held(root / path, descriptor)}


async def _collect(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


def _create(path: Path) -> BinaryIO:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    return os.fdopen(descriptor, "wb", buffering=0)
