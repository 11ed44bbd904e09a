"""The store of uploads: drafts become contents, each once, within a quota; the longest unused go first.

What jobs that are not over refer to never goes, nor what was just uploaded or named in a submission. What finished
jobs refer to goes last: their results may be kept, and they may run again. Knowing a hash gives nothing: an upload is
skipped only for content that the same principal uploaded before.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from pathlib import Path

import msgspec

from bacalhau_jupyter.lib.clock import SECOND, Clock
from bacalhau_jupyter.lib.reserve import is_full
from bacalhau_jupyter.models.errors import Conflict, IOFailure, ResourceExhausted
from bacalhau_jupyter.models.jobs.units import format_bytes
from bacalhau_jupyter.models.records.node import DiskUsage
from bacalhau_jupyter.models.records.uploads import UNKNOWN, BeginUpload
from bacalhau_jupyter.uploads.appending import append_to
from bacalhau_jupyter.uploads.contents import About, ContentFiles
from bacalhau_jupyter.uploads.drafts import Draft, DraftFiles
from bacalhau_jupyter.uploads.index import Index
from bacalhau_jupyter.uploads.orders import Kept, check_order, disk_full, failed, no_room
from bacalhau_jupyter.uploads.shares import LimitOf, Shares, unlimited
from bacalhau_jupyter.uploads.under_way import UnderWay

_log = logging.getLogger(__name__)

TIDY_S = 3600.0
"""Seconds between two looks at what can go."""

FRESH_S = 600.0
"""Seconds that a new content stays in any case: its job is about to be submitted."""

NAMED_S = 30.0
"""Seconds that a content stays after a submission named it: until the job is stored, and refers to it."""


async def _nothing() -> Collection[str]:
    return ()


class UploadStore:
    """Takes uploads; used on one event loop.

    Parameters
    ----------
    root
        Its directory.
    quota
        Bytes that contents and drafts may take; 0 for no limit.
    min_free
        Bytes of the disk that stay free.
    clock
        Ends the time for which new content stays.
    free
        Tells the free bytes of the disk of a path; blocks.
    limit_of
        Tells how many bytes a principal may take of the quota.
    """

    def __init__(
        self,
        root: Path,
        quota: int,
        *,
        min_free: int,
        clock: Clock,
        free: Callable[[Path], int],
        limit_of: LimitOf = unlimited,
    ) -> None:
        self._root = root
        self._quota = quota
        self._min_free = min_free
        self._clock = clock
        self._free = free
        self._contents = ContentFiles(root)
        self._drafts = DraftFiles(root)
        self._under_way = UnderWay(self._drafts, clock)
        self._known = Index()
        self._shares = Shares(limit_of, self._known, self._under_way)
        # No two may make room, or take it, at the same time.
        self._counting = asyncio.Lock()
        self.referred: Callable[[], Awaitable[Collection[str]]] = _nothing
        """Tells which contents jobs that are not over refer to; set once the orchestrator is there."""
        self.repeatable: Callable[[], Awaitable[Collection[str]]] = _nothing
        """Tells which contents finished jobs refer to: they are needed to run those again, and go last."""

    async def start(self) -> None:
        """Take up what is there since an earlier run."""
        await asyncio.to_thread(self._root.mkdir, mode=0o700, parents=True, exist_ok=True)
        for about in await asyncio.to_thread(self._contents.open):
            self._known.add(about)
        await self._under_way.start()
        async with self._counting:
            await self._under_way.drop_old()

    def usage(self) -> DiskUsage:
        """Say how much is kept, and how much may be."""
        return DiskUsage(bytes=self._size(), count=len(self._known), limit=self._quota)

    # ---- taking

    async def begin(self, owner: str, order: BeginUpload) -> Draft | Kept:
        """Return where to upload to: a new draft, one that broke off, or what the same owner has uploaded already.

        Raises
        ------
        BadRequest
            The name, size or hash is not one.
        ResourceExhausted
            There is no room for it within the quota, or too much is being uploaded at a time.
        IOFailure
            The disk has no room for it.
        """
        check_order(order)
        known = self._known.get(order.sha256)
        is_own = known is not None and owner in known.owners and order.size in (UNKNOWN, known.size)
        if is_own and known is not None and await self._whole(known) is not None:
            self._protect(known.sha256, FRESH_S)
            return Kept(known.sha256, order.name, known.size)
        if broken_off := self._under_way.broken_off(owner, order):
            return broken_off
        async with self._counting:
            await self._under_way.drop_old()
            await self._under_way.make_place(owner)
            await self._make_own_room(owner, max(order.size, 0), order.name)
            try:
                await self._make_room(max(order.size, 0), order.name)
            except (ResourceExhausted, IOFailure):
                # What was announced takes room, too: of those who send nothing, others get it.
                if not await self._under_way.drop_idle(lambda draft: draft.owner != owner):
                    raise
                await self._make_room(max(order.size, 0), order.name)
            return await self._under_way.make(owner, order)

    def draft(self, owner: str, draft_id: str) -> Draft:
        """Return a draft; raises NotFound for one that is not there, or another principal's."""
        return self._under_way.get(owner, draft_id)

    async def offset(self, draft: Draft) -> int:
        """Return how many bytes of a draft are there."""
        return await asyncio.to_thread(self._drafts.offset, draft.id)

    def file(self, draft: Draft) -> Path:
        """Return where the bytes of a draft are."""
        return self._drafts.path(draft.id)

    async def append(self, draft: Draft, start: int, chunks: AsyncIterator[bytes]) -> int:
        """Write to the end of a draft; return how many bytes it has then. What came before a failure stays.

        Raises
        ------
        Conflict
            The draft ends elsewhere than at ``start``, or somebody else is writing to it.
        BadRequest
            More comes than was announced.
        IOFailure
            The disk is full; the draft is gone.
        """
        with self._under_way.working(draft):
            offset = await self.offset(draft)
            if start != offset or draft.local:
                raise Conflict(
                    f"the upload {draft.name} goes on at byte {offset}, not {start}",
                    details={"offset": str(offset)},
                )
            try:
                return await append_to(self._drafts, draft, offset, chunks)
            except ConnectionError:
                raise  # the sender's
            except OSError as error:
                if is_full(error):
                    await self._under_way.drop(draft)
                raise failed(error, draft.name, "written") from error

    async def finish(self, draft: Draft) -> Kept:
        """Make a draft a content; the draft is gone then, in any case but that of bytes still to come.

        Raises
        ------
        Conflict
            Somebody is writing to it.
        BadRequest
            Its size or hash is not what was announced.
        ResourceExhausted
            It does not fit into the quota.
        """
        with self._under_way.working(draft):
            try:
                path, sha256 = await asyncio.to_thread(self._drafts.sealed, draft)
                if draft.size == UNKNOWN:
                    async with self._counting:
                        await self._make_own_room(draft.owner, 0, draft.name)
                        await self._make_room(0, draft.name)
                known = self._known.get(sha256)
                if known is None or await self._whole(known) is None:
                    known = await asyncio.to_thread(self._contents.keep, path, sha256, draft.owner)
                await self._own(known, draft.owner)
                self._protect(sha256, FRESH_S)
            except OSError as error:
                raise failed(error, draft.name, "kept") from error
            finally:
                await self._under_way.drop(draft)
        return Kept(sha256, draft.name, known.size)

    async def drop(self, draft: Draft) -> None:
        """Remove a draft; raises Conflict while it is written to."""
        with self._under_way.working(draft):
            await self._under_way.drop(draft)

    # ---- finding

    def look_up(self, sha256: str) -> About | None:
        """Return what is known of a content; any thread may ask. The caller has proved that he may."""
        return self._known.get(sha256)

    def open_content(self, sha256: str) -> Path | None:
        """Return the file of a content, noting its use; None where it is gone, or was written to. Blocks."""
        about = self._known.get(sha256)
        if about is None:
            return None
        checked = self._contents.checked(about)
        if checked is None:
            _log.warning("the upload %s was changed on the disk; it is not used any more", sha256[:12])
            return None
        self._known.add(msgspec.structs.replace(checked, used_ns=self._clock.now_ns()))
        self._contents.touch(sha256)
        return self._contents.path(sha256)

    def named(self, sha256: str) -> None:
        """Note that a submission names a content: until its job is stored, it stays; after that the job keeps it."""
        self._protect(sha256, NAMED_S)

    # ---- room

    async def tidy(self) -> None:
        """Remove drafts that nobody goes on with, and contents that are too much."""
        async with self._counting:
            await self._under_way.drop_old()
            if self._quota and self._size() > self._quota:
                await self._evict(self._size() - self._quota)

    async def run(self, interval_s: float = TIDY_S) -> None:
        """Tidy up from time to time, until this is cancelled."""
        while True:
            await self.tidy()
            await asyncio.sleep(interval_s)

    async def clear(self) -> DiskUsage:
        """Remove what no job refers to; return what is gone."""
        async with self._counting:
            before = self.usage()
            # All that may go goes, however fresh: that is what its owner asks for.
            self._known.let_go()
            await self._evict(before.bytes)
            after = self.usage()
        return DiskUsage(bytes=before.bytes - after.bytes, count=before.count - after.count)

    async def _make_own_room(self, owner: str, needed: int, name: str) -> None:
        if (excess := self._shares.excess(owner, needed)) > 0:
            await self._evict(excess, owner)
            if self._shares.excess(owner, needed) > 0:
                await self._under_way.drop_idle(lambda draft: draft.owner == owner)
            if self._shares.excess(owner, needed) > 0:
                raise self._shares.no_room(owner, needed, name)

    async def _make_room(self, needed: int, name: str) -> None:
        excess = self._size() + needed - self._quota if self._quota else 0
        if excess > 0:
            await self._evict(excess)
            if self._size() + needed > self._quota:
                raise no_room(name, needed, self._quota, self._size())
        while await asyncio.to_thread(self._free, self._root) < needed + self._min_free:
            if not await self._evict(1):
                raise disk_full(name)

    async def _evict(self, excess: int, owner: str = "") -> int:
        """Remove the longest unused contents, of one owner or all, until so many bytes are free; return how many."""
        freed = 0
        referred, repeatable = await self.referred(), await self.repeatable()
        for about in self._known.chosen(excess, referred, self._clock.now_ns(), repeatable, owner=owner):
            _log.info("removing the upload %s (%s)", about.sha256[:12], format_bytes(about.size))
            self._known.drop(about.sha256)
            await asyncio.to_thread(self._contents.remove, about.sha256)
            freed += about.size
        return freed

    # ---- below

    def _size(self) -> int:
        """Return the bytes of all contents, and of what drafts are to become."""
        return self._known.size + self._under_way.size

    def _protect(self, sha256: str, seconds: float) -> None:
        self._known.keep(sha256, self._clock.now_ns() + int(seconds * SECOND))

    async def _whole(self, about: About) -> About | None:
        """Return a content that is still what was stored; a spoiled one goes."""
        checked = await asyncio.to_thread(self._contents.checked, about)
        if checked is None:
            self._known.drop(about.sha256)
            await asyncio.to_thread(self._contents.remove, about.sha256)
        return checked

    async def _own(self, about: About, owner: str) -> None:
        about = self._known.get(about.sha256) or about
        about = msgspec.structs.replace(about, used_ns=self._clock.now_ns())
        if owner not in about.owners:
            about = msgspec.structs.replace(about, owners=(*about.owners, owner))
            await asyncio.to_thread(self._contents.note, about)
        self._known.add(about)
        await asyncio.to_thread(self._contents.touch, about.sha256)
