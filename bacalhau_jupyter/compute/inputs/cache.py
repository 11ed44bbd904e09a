"""The content cache: inputs with the same identity are fetched once and shared between executions.

An execution never gets the cache's own path: it gets its own tree of hard links to the entry's files. So
the link count of each file is its reference count: an entry may be evicted at any time, executions keep what they have.
What is shared is read-only twice: files have no permission to write, and engines show inputs read-only.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from bacalhau_jupyter.compute.inputs.cache_files import CacheFiles, Spoiled, Unfit, move
from bacalhau_jupyter.compute.inputs.cache_index import CacheIndex, Entry, in_order
from bacalhau_jupyter.models.records.node import DiskUsage
from bacalhau_jupyter.models.records.progress import Reading
from bacalhau_jupyter.plugins.contract import InputMount, Progress

T = TypeVar("T")

Fetch = Callable[[Path, Progress], Awaitable[InputMount]]
"""Brings an input to an empty private directory, reporting how far it is."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Brought:
    """An input that is there, and what of it did not have to be fetched."""

    mount: InputMount
    size: int | None = None
    files: int | None = None
    from_cache: bool = False


@dataclass
class _Flight:
    """A fetch that others may wait for; ``progress`` is everybody's who does."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    progress: list[Progress] = field(default_factory=list)

    def report(self, reading: Reading) -> None:
        for progress in tuple(self.progress):
            progress(reading)


class ContentCache:
    """Shares inputs between executions; used on one event loop.

    Parameters
    ----------
    root
        Its directory.
    limit
        Bytes of disk that it may take; 0 switches it off.
    min_free
        Bytes of disk that it leaves free, as far as it can.
    free
        Tells the free bytes of the disk of a path; blocks.
    """

    def __init__(
        self, root: Path, limit: int, min_free: int, free: Callable[[Path], int] | None = None
    ) -> None:
        self._files = CacheFiles(root)
        self._index = CacheIndex(limit)
        self._min_free = min_free
        self._free = free or (lambda path: shutil.disk_usage(path).free)
        self._flights: dict[str, _Flight] = {}
        self._works: set[asyncio.Future[object]] = set()

    @property
    def enabled(self) -> bool:
        """Whether anything is kept."""
        return self._index.limit > 0

    def usage(self) -> DiskUsage:
        """Say how much is kept and how often it was of use."""
        index = self._index
        return DiskUsage(
            bytes=index.disk,
            count=len(index),
            limit=index.limit,
            hits=index.hits,
            misses=index.misses,
            hit_bytes=index.hit_bytes,
        )

    async def start(self) -> None:
        """Take up what was kept before a restart, and remove what a crash left half fetched."""
        for entry in in_order(await asyncio.to_thread(self._files.open)):
            self._index.add(entry)
        await self.tidy()

    async def close(self, timeout_s: float) -> None:
        """Wait until nothing is being written any more, for so many seconds at most."""
        if self._works:
            await asyncio.wait(self._works, timeout=timeout_s)

    async def bring(
        self, identity: str, directory: Path, fetch: Fetch, progress: Progress, needed: int = 0
    ) -> Brought:
        """Bring an input to an execution's own directory, from the cache or by ``fetch``.

        Where the same is being fetched already it is waited for; if that comes to nothing, the next one fetches.

        Parameters
        ----------
        identity
            What `plugins.source.IdentifyingSource.identity` said.
        directory
            Where the execution's tree of links is made.
        needed
            Bytes that the execution may take: so much room is made, as far as the cache stands in its way.

        Raises
        ------
        BacalhauError, OSError
            What ``fetch`` raised, or the disk is full. Nothing half done is left in the cache.
        """
        key = hashlib.sha256(identity.encode("utf-8", "surrogateescape")).hexdigest()
        flight = self._flights.setdefault(key, _Flight())
        flight.progress.append(progress)
        self._index.pin(key)
        try:
            brought = await self._take(key, directory)
            if brought is None:
                async with flight.lock:
                    # Another execution may have fetched it while this one waited.
                    brought = await self._take(key, directory)
                    if brought is None:
                        brought = await self._fetch(key, directory, fetch, flight, needed)
        finally:
            self._index.unpin(key)
            flight.progress.remove(progress)
            if not flight.progress:
                self._flights.pop(key, None)
        if not brought.from_cache or self._index.disk > self._index.limit:
            await self.tidy()
        return brought

    async def tidy(self) -> None:
        """Evict what is too much: by the limit on the cache's size, then by the floor of free disk."""
        for entry in self._index.surplus():
            await self._evict(entry)
        await self.make_room(0)

    async def clear(self) -> DiskUsage:
        """Evict everything; return what is gone. Executions keep what they have linked."""
        before = self.usage()
        for entry in list(self._index.oldest()):
            await self._evict(entry)
        after = self.usage()
        return DiskUsage(bytes=before.bytes - after.bytes, count=before.count - after.count)

    async def make_room(self, needed: int) -> None:
        """Evict until ``needed`` bytes are free above the floor, or nothing is left that would free any."""
        for entry in self._index.oldest():
            free = await asyncio.to_thread(self._free, self._files.entries)
            if free >= needed + self._min_free:
                return
            if not await asyncio.to_thread(self._files.in_use, entry):
                await self._evict(entry)

    # ---- below: one input

    async def _take(self, key: str, directory: Path) -> Brought | None:
        """Share an entry if there is one; a spoiled one is thrown away."""
        entry = self._index.get(key)
        if entry is None:
            return None
        brought = await self._share(entry, directory)
        if brought is not None:
            self._index.used(key)
            return replace(brought, from_cache=True)
        # Another one may have found that out, too, and put a good one in its place already.
        if self._index.get(key) is entry:
            _log.warning("the cached input %s was changed; it is fetched again", key[:12])
            await self._evict(entry)
        return None

    async def _share(self, entry: Entry, directory: Path) -> Brought | None:
        try:
            path = await self._whole(lambda: self._files.share(entry, directory))
        except Spoiled:
            return None
        return Brought(InputMount(path, "", read_only=True), entry.size, entry.files)

    async def _fetch(self, key: str, directory: Path, fetch: Fetch, flight: _Flight, needed: int) -> Brought:
        self._index.misses += 1
        await self.make_room(needed)
        place = await self._whole(self._files.begin)
        try:
            mount = await fetch(place, flight.report)
            brought = await self._keep(key, place, mount, directory)
        finally:
            await self._whole(lambda: self._files.give_up(place))
        return brought

    async def _keep(self, key: str, place: Path, mount: InputMount, directory: Path) -> Brought:
        """Make an entry of what was fetched, and share it; what can't be one goes to the execution as it is."""
        if place != mount.path and place not in mount.path.parents:
            return Brought(mount)
        if mount.identity:
            key = hashlib.sha256(mount.identity.encode("utf-8", "surrogateescape")).hexdigest()
        if mount.read_only:
            # The index must match the disk, also if one of the waiting executions is cancelled.
            self._index.pin(key)
            try:
                entry = await self._whole(lambda: self._files.seal(place, mount.path, key), self._index.add)
                brought = await self._share(entry, directory)
                if brought is not None:
                    return replace(brought, mount=replace(brought.mount, target=mount.target))
            except Unfit:
                _log.debug("an input can't be shared between executions: it holds more than files")
            except OSError as error:
                # A disk full to the last byte, for example: the input itself is whole, and moving takes no room.
                _log.warning("an input can't be kept: %s", error)
                if not mount.path.exists():
                    raise
            finally:
                self._index.unpin(key)
        path = await self._whole(lambda: move(mount.path, place, directory))
        return Brought(replace(mount, path=path))

    async def _evict(self, entry: Entry) -> None:
        self._index.drop(entry.key)
        try:
            await self._whole(lambda: self._files.remove(entry.key))
        except OSError as error:
            _log.warning("the cached input %s can't be removed: %s", entry.key[:12], error)

    async def _whole(self, work: Callable[[], T], then: Callable[[T], None] | None = None) -> T:
        """Run blocking work to its end, even if the caller is cancelled; ``then`` gets what it returned."""

        async def run() -> T:
            result = await asyncio.to_thread(work)
            if then is not None:
                then(result)
            return result

        task = asyncio.ensure_future(run())
        self._works.add(task)  # type: ignore[arg-type]
        task.add_done_callback(self._works.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task])
            if not task.cancelled():
                task.exception()
            raise
