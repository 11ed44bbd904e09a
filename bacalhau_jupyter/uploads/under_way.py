"""The drafts that are open: who goes on with which one, how many there may be, and which go when nobody does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bacalhau_jupyter.lib.clock import SECOND, Clock
from bacalhau_jupyter.lib.threads.whole import whole
from bacalhau_jupyter.models.errors import Conflict, ResourceExhausted
from bacalhau_jupyter.models.records.uploads import BeginUpload
from bacalhau_jupyter.uploads.drafts import Draft, DraftFiles, new_id, no_such

MAX_DRAFTS = 64
"""Drafts at a time; a kernel uploads one after the other."""

MAX_DRAFTS_OF_ONE = MAX_DRAFTS // 2
"""Drafts of one principal at a time: what one leaves unfinished keeps no place from others."""

IDLE_S = 300.0
"""Seconds after which a draft to which no byte came makes room for new ones."""

DRAFT_AGE_S = 24 * 3600.0
"""Seconds after which a draft goes to which no byte came."""


class UnderWay:
    """The open drafts; used on one event loop.

    Parameters
    ----------
    files
        Where they lie.
    clock
        Tells how long no byte came.
    """

    def __init__(self, files: DraftFiles, clock: Clock) -> None:
        self._files = files
        self._clock = clock
        self._open: dict[str, Draft] = {}
        self._busy: set[str] = set()

    @property
    def size(self) -> int:
        """Bytes of what all of them are to become, as far as that is known."""
        return sum(map(self._size, self._open.values()))

    def size_of(self, owner: str) -> int:
        """Return the same for those of one principal."""
        return sum(self._size(draft) for draft in self._open.values() if draft.owner == owner)

    async def start(self) -> None:
        """Take up what is there since an earlier run."""
        self._open = {draft.id: draft for draft in await asyncio.to_thread(self._files.open)}

    def get(self, owner: str, draft_id: str) -> Draft:
        """Return a draft; raises NotFound for one that is not there, or another principal's."""
        draft = self._open.get(draft_id)
        if draft is None or draft.owner != owner:
            raise no_such(draft_id)
        return draft

    def broken_off(self, owner: str, order: BeginUpload) -> Draft | None:
        """Return a draft of the same content that its owner may go on with."""
        if not order.sha256 or order.fresh or order.local:
            return None
        for draft in self._open.values():
            same = (draft.owner, draft.sha256, draft.size) == (owner, order.sha256, order.size)
            if same and not draft.local and draft.id not in self._busy:
                return draft
        return None

    async def make(self, owner: str, order: BeginUpload) -> Draft:
        """Open a new draft."""
        draft = Draft(
            id=new_id(),
            owner=owner,
            name=order.name,
            size=order.size,
            sha256=order.sha256,
            local=order.local,
        )
        await asyncio.to_thread(self._files.make, draft)
        self._open[draft.id] = draft
        return draft

    async def drop(self, draft: Draft) -> None:
        """Remove a draft, if it is there."""
        self._open.pop(draft.id, None)
        await whole(self._files.remove, draft.id)

    def _size(self, draft: Draft) -> int:
        return draft.size if draft.size >= 0 else self._files.offset(draft.id)

    @contextmanager
    def working(self, draft: Draft) -> Iterator[None]:
        """Keep others from a draft; raises Conflict while somebody else works with it."""
        if draft.id in self._busy:
            raise Conflict(f"somebody else is uploading {draft.name} at the moment", retryable=True)
        if draft.id not in self._open:
            raise no_such(draft.id)
        self._busy.add(draft.id)
        try:
            yield
        finally:
            self._busy.discard(draft.id)

    async def make_place(self, owner: str) -> None:
        """Let idle drafts go where there are too many; raises ResourceExhausted where none is idle."""

        def own(draft: Draft) -> bool:
            return draft.owner == owner

        def count_own() -> int:
            return sum(map(own, self._open.values()))

        if count_own() >= MAX_DRAFTS_OF_ONE and not await self.drop_idle(own):
            raise ResourceExhausted(
                f"{count_own()} uploads of yours are under way already",
                hint="try again when one of them is over",
            )
        if len(self._open) >= MAX_DRAFTS and not await self.drop_idle(lambda draft: True):
            raise ResourceExhausted(
                f"{MAX_DRAFTS} uploads are under way already", hint="try again when one of them is over"
            )

    async def drop_old(self) -> None:
        """Remove drafts that nobody goes on with."""
        await self.drop_idle(lambda draft: True, DRAFT_AGE_S)

    async def drop_idle(self, is_meant: Callable[[Draft], bool], idle_s: float = IDLE_S) -> int:
        """Remove the drafts of some to which no byte came for so long; return how many."""
        oldest_s = self._clock.now_ns() / SECOND - idle_s
        count = 0
        for draft in list(self._open.values()):
            if draft.id not in self._busy and is_meant(draft):
                changed_s = await asyncio.to_thread(self._files.changed_s, draft.id)
                # Somebody may have begun to write to it meanwhile.
                if changed_s < oldest_s and draft.id not in self._busy:
                    await self.drop(draft)
                    count += 1
        return count
