"""Content of IPFS to a disk: streamed, resumed when cut, checked against what the DAG says.

A directory comes as one tar; what a cut leaves undone is fetched file by file, from where each stopped.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from bacalhau_jupyter.lib.backoff import backoff
from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.lib.threads.whole import or_undone, whole
from bacalhau_jupyter.models.errors import BacalhauError, EngineError, IOFailure, NetworkFailure
from bacalhau_jupyter.models.records.progress import Progress, Reading, no_progress
from bacalhau_jupyter.transfer.core.files import disk_full, free_bytes, io_failure, write_at
from bacalhau_jupyter.transfer.core.readers import EntryKind
from bacalhau_jupyter.transfer.ipfs.disk import (
    incomplete,
    make_directory,
    make_links,
    open_part,
    present,
)
from bacalhau_jupyter.transfer.ipfs.errors import MAX_RETRIES
from bacalhau_jupyter.transfer.ipfs.node import IpfsNode, IpfsStat
from bacalhau_jupyter.transfer.ipfs.paths import IpfsPath
from bacalhau_jupyter.transfer.ipfs.tar import TarFiles
from bacalhau_jupyter.transfer.ipfs.tree import MAX_ENTRIES, IpfsTree, list_tree, refused

T = TypeVar("T")

_PHASE = "downloading"
# What an entry takes in a directory's block at least: its hash and a name.
_ENTRY_BYTES = 36


@dataclass(frozen=True)
class Fetched:
    """What was fetched: whether it is a directory, its files (1 for a file) and their bytes."""

    directory: bool
    files: int
    size: int


class IpfsDownload:
    """One download.

    Parameters
    ----------
    max_retries
        Connections in a row that bring nothing before it is given up.
    sleep
        Waits between tries.
    """

    def __init__(
        self,
        node: IpfsNode,
        *,
        progress: Progress = no_progress,
        max_retries: int = MAX_RETRIES,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._node = node
        self._progress = progress
        self._max_retries = max_retries
        self._sleep = sleep
        self._target = Path()
        self._done = 0
        self._total = 0

    async def fetch(self, path: IpfsPath, target: Path) -> Fetched:
        """Write a file or directory to ``target``, which must not exist; everyone may read it.

        Raises
        ------
        BacalhauError
            It can't be had, holds something hostile, or the disk is full. Nothing of it stays.
        """
        self._target = target
        stat = await self._node.stat(path)
        try:
            if stat.kind == "file":
                self._total = stat.size
                await self._room(target)
                await self._file(path, stat.size, target)
                return Fetched(False, 1, stat.size)
            if stat.kind != "directory":
                raise IOFailure(
                    f"the IPFS content {path} is refused: it is a {stat.kind or 'thing'}, not a file or directory",
                    component=self._node.component,
                )
            return await self._directory(path, stat, target)
        except BaseException:
            await whole(remove_tree, target)
            raise

    async def _room(self, target: Path) -> None:
        free = await asyncio.to_thread(free_bytes, target.parent)
        if free is not None and self._total - self._done > free:
            raise disk_full(target, self._node.component, self._total - self._done)

    async def _directory(self, path: IpfsPath, root_stat: IpfsStat, target: Path) -> Fetched:
        self._total = root_stat.cumulative_size
        await self._room(target)
        await self._on_disk(make_directory, target)
        files = TarFiles(path, target, self._node.component)
        try:
            await self._stream(files, root_stat, path)
        finally:
            await whole(files.close)
        if files.ended:
            links, count, size = files.links, files.files, files.size
        else:
            tree = await self._list(path, root_stat)
            await self._complete(tree, target)
            links = [entry for entry in tree.entries if entry.kind is EntryKind.LINK]
            count, size = len(tree.files), tree.size
        try:
            await whole(make_links, links, target)
        except FileExistsError as error:
            raise refused(path, f"it holds {error.filename!r} twice", self._node.component) from error
        except OSError as error:
            raise io_failure(error, "write", target, self._node.component) from error
        self._progress(Reading(_PHASE, size, size, count, count))
        return Fetched(True, count, size)

    async def _stream(self, files: TarFiles, root_stat: IpfsStat, path: IpfsPath) -> None:
        """Write as much of the tar as comes; one piece is written while the next one comes."""
        claimed = root_stat.cumulative_size
        writing: asyncio.Task[None] | None = None
        try:
            async with aclosing(self._node.tar(path)) as chunks:
                async for chunk in chunks:
                    if writing is not None:
                        await writing
                    self._done = files.size
                    self._progress(
                        Reading(_PHASE, self._done, max(self._done, self._total), files.files, None)
                    )
                    if files.entries > MAX_ENTRIES:
                        raise refused(path, f"it holds more than {MAX_ENTRIES} entries", self._node.component)
                    if files.size + files.entries * _ENTRY_BYTES > claimed:
                        # The root says less than there is: an odd writer of DAGs, or a bomb. The list tells.
                        claimed = await self._checked_size(path, root_stat, files)
                    writing = asyncio.create_task(self._on_disk(files.feed, chunk))
            if writing is not None:
                await writing
        except BacalhauError as error:
            # What is missing is asked for again.
            if not error.retryable:
                raise
        finally:
            if writing is not None:
                await asyncio.gather(writing, return_exceptions=True)

    async def _checked_size(self, path: IpfsPath, root_stat: IpfsStat, files: TarFiles) -> int:
        """List the tree, see that there is room for it, and return what it takes at most."""
        tree = await self._list(path, root_stat)
        self._total = tree.size
        if files.size > tree.size:
            raise self._differs(path, tree.size)
        await self._room(self._target)
        return tree.size + len(tree.entries) * _ENTRY_BYTES

    async def _list(self, path: IpfsPath, root_stat: IpfsStat) -> IpfsTree:
        tries, delays = 0, backoff(0.2, 5.0)
        while True:
            try:
                return await list_tree(self._node, path, root_stat)
            except BacalhauError as error:
                tries += 1
                if not error.retryable or tries > self._max_retries:
                    raise
            await self._sleep(next(delays))

    async def _complete(self, tree: IpfsTree, target: Path) -> None:
        """Bring what a cut left undone, file by file."""
        self._done, self._total = await self._on_disk(present, tree, target), tree.size
        await self._room(target)
        for entry, have in await self._on_disk(incomplete, tree, target):
            await self._file(tree.root.below(entry.path), entry.size, target / entry.path, have)

    async def _file(self, path: IpfsPath, size: int, target: Path, start: int = 0) -> None:
        """Bring a file from byte ``start`` on; a cut connection goes on where it broke."""
        descriptor = await self._explained(or_undone(os.close, open_part, target))
        try:
            position, tries, delays = start, 0, backoff(0.2, 5.0)
            while position < size:
                before, failure = position, None
                try:
                    async with aclosing(self._node.cat(path, position)) as chunks:
                        async for chunk in chunks:
                            if position + len(chunk) > size:
                                raise self._differs(path, size)
                            await self._on_disk(write_at, descriptor, chunk, position)
                            position += len(chunk)
                            self._done += len(chunk)
                            self._progress(Reading(_PHASE, self._done, self._total))
                except BacalhauError as error:
                    if not error.retryable:
                        raise
                    failure = error
                if position >= size:
                    break
                # Whatever came is progress: only tries that bring nothing use up the patience.
                if position > before:
                    tries, delays = 0, backoff(0.2, 5.0)
                tries += position == before
                if tries > self._max_retries:
                    raise failure or self._cut(path, position, size)
                await self._sleep(next(delays))
        finally:
            await whole(os.close, descriptor)

    def _cut(self, path: IpfsPath, position: int, size: int) -> NetworkFailure:
        return NetworkFailure(
            f"could not read the IPFS content {path}: the connection ended at byte {position} of {size}",
            component=self._node.component,
            retryable=True,
        )

    def _differs(self, path: IpfsPath, size: int) -> EngineError:
        return EngineError(
            f"the IPFS content {path} is longer than the {size} bytes that its root says",
            component=self._node.component,
        )

    async def _on_disk(self, work: Callable[..., T], *arguments: Any) -> T:
        return await self._explained(whole(work, *arguments))

    async def _explained(self, work: Awaitable[T]) -> T:
        try:
            return await work
        except OSError as error:
            place = Path(error.filename) if isinstance(error.filename, str) else self._target
            raise io_failure(error, "write", place, self._node.component) from error
