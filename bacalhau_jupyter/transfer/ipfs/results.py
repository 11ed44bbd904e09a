"""Results in IPFS: listed by their CID, and read file by file, range by range, or whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.lib.threads.directories import new_directory
from bacalhau_jupyter.lib.trees import make_directories
from bacalhau_jupyter.models.errors import BadRequest, NetworkFailure, NotFound
from bacalhau_jupyter.models.jobs.spec import SpecConfig
from bacalhau_jupyter.models.records.progress import Progress, no_progress
from bacalhau_jupyter.transfer.core.files import io_failure
from bacalhau_jupyter.transfer.core.layout import merge_results
from bacalhau_jupyter.transfer.core.readers import EntryKind, ResultEntry
from bacalhau_jupyter.transfer.ipfs.errors import READ_TIMEOUT_S
from bacalhau_jupyter.transfer.ipfs.get import IpfsDownload
from bacalhau_jupyter.transfer.ipfs.node import IpfsNode
from bacalhau_jupyter.transfer.ipfs.paths import IpfsPath, parse_path, path_of
from bacalhau_jupyter.transfer.ipfs.swarm import IpfsSwarm, swarm_endpoint
from bacalhau_jupyter.transfer.ipfs.tree import list_tree

COMPONENT = "IPFSResults"


def open_ipfs_result(
    spec: SpecConfig,
    endpoint: str,
    *,
    swarm: IpfsSwarm | None = None,
    read_timeout_s: float = READ_TIMEOUT_S,
) -> IpfsResultReader:
    """Open a published ``ipfs`` result; nothing is asked before the first use.

    Parameters
    ----------
    endpoint
        ``ResultDownloaders.Types.IPFS.Endpoint``; ``""`` needs a swarm and the `ipfs` command.
    swarm
        The swarm that the results are in, where the node does not know it by itself.
    read_timeout_s
        Seconds that content is searched for, and seconds without a byte.

    Raises
    ------
    BadRequest
        The result names no CID.
    """
    return IpfsResultReader(path_of(spec.params, COMPONENT), endpoint, swarm or IpfsSwarm(), read_timeout_s)


class IpfsResultReader:
    """The `ResultReader` of a result in IPFS. Made by `open_ipfs_result`."""

    def __init__(self, root: IpfsPath, endpoint: str, swarm: IpfsSwarm, read_timeout_s: float) -> None:
        self._root = root
        self._endpoint = endpoint
        self._swarm = swarm
        self._read_timeout_s = read_timeout_s
        self._stack = AsyncExitStack()
        self._opening = asyncio.Lock()
        self._node: IpfsNode | None = None
        self._entries: tuple[ResultEntry, ...] | None = None

    async def entries(self) -> Sequence[ResultEntry]:
        if self._entries is None:
            node = await self._open()
            tree = await list_tree(node, self._root, await node.stat(self._root))
            self._entries = tree.entries
        return self._entries

    async def read(self, path: str, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        entry = await self._entry(path)
        if entry.kind is not EntryKind.FILE:
            raise NotFound(f"there is no file {path!r} in the result {self._root}")
        if start < 0 or (stop is not None and stop < start):
            raise BadRequest(f"{start} to {stop} is not a range of bytes")
        end = entry.size if stop is None else min(stop, entry.size)
        if start >= end:
            return
        node = await self._open()
        left = end - start
        async with aclosing(node.cat(self._root.below(entry.path), start, left)) as chunks:
            async for chunk in chunks:
                left -= len(chunk)
                yield chunk
        if left:
            raise NetworkFailure(
                f"could not read {path} of the result {self._root}: {left} bytes are missing",
                retryable=True,
            )

    async def save(self, target: Path, path: str = "", progress: Progress = no_progress) -> None:
        entry = await self._entry(path) if path else None
        entry_path = "" if entry is None else entry.path
        node = await self._open()
        try:
            part = await new_directory(".bacalhau-get-", target)
        except OSError as error:
            raise io_failure(error, "write the results to", target, COMPONENT) from error
        try:
            place = part / "all" / entry_path
            await asyncio.to_thread(make_directories, place.parent)
            if entry is not None and entry.kind is EntryKind.LINK:
                await asyncio.to_thread(place.symlink_to, entry.target)
            else:
                await IpfsDownload(node, progress=progress).fetch(self._root.below(entry_path), place)
            await asyncio.to_thread(merge_results, [part / "all"], target)
        except OSError as error:
            raise io_failure(error, "write the results to", target, COMPONENT) from error
        finally:
            await asyncio.to_thread(remove_tree, part)

    async def close(self) -> None:
        self._node = None
        await self._stack.aclose()

    async def _entry(self, path: str) -> ResultEntry:
        entry_path = parse_path(f"{self._root.cid}/{path}", COMPONENT).path
        for entry in await self.entries():
            if entry.path == entry_path:
                return entry
        raise NotFound(f"there is no {path!r} in the result {self._root}")

    async def _open(self) -> IpfsNode:
        """Connect on first use; a node of our own is started then, and ended by `close`."""
        async with self._opening:
            if self._node is None:
                endpoint = self._endpoint
                if not endpoint.strip() or self._swarm.addresses:
                    endpoint = await self._stack.enter_async_context(swarm_endpoint(endpoint, self._swarm))
                self._node = await self._stack.enter_async_context(
                    IpfsNode(endpoint, COMPONENT, read_timeout_s=self._read_timeout_s)
                )
            return self._node
