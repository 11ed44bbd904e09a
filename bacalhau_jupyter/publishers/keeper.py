"""The results in one directory: how much they take together, and which of them go for it, or for their age."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Collection, Sequence
from pathlib import Path

from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.models.errors import IOFailure
from bacalhau_jupyter.models.jobs.units import format_bytes
from bacalhau_jupyter.models.records.node import DiskUsage
from bacalhau_jupyter.publishers.retention import Kept, Rules
from bacalhau_jupyter.publishers.shelf import discard, kept_in, size_of
from bacalhau_jupyter.transfer.archive.keeping import remove_result

QUOTA, MAX_AGE, MIN_AGE = (f"Publishers.Types.Local.{name}" for name in ("Quota", "MaxAge", "MinAge"))
DEFAULTS = {QUOTA: 50_000_000_000, MAX_AGE: 0.0, MIN_AGE: 3600.0}

COMPONENT = "LocalPublisher"


class ResultKeeper:
    """Keeps the results in a directory within rules; used on one event loop.

    Parameters
    ----------
    directory
        Where the results lie (`publishers.shelf`).
    rules
        How long and how much is kept.
    unfinished
        Tells the executions whose results stay in any case: their jobs are not over.
    """

    def __init__(
        self,
        directory: Path,
        rules: Rules,
        clock: Clock,
        unfinished: Callable[[], Awaitable[Collection[str]]],
    ) -> None:
        self._directory = directory
        self._rules = rules
        self._clock = clock
        self._unfinished = unfinished
        # What each took when it was last looked at: one that is counted and published at once is one.
        self._sizes: dict[str, int] = {}
        # One at a time counts, removes, or adds what was published.
        self._counting = asyncio.Lock()

    def usage(self) -> DiskUsage:
        """Say how much is kept, and how much may be."""
        return DiskUsage(bytes=sum(self._sizes.values()), count=len(self._sizes), limit=self._rules.quota)

    async def tidy(self) -> None:
        """Remove what is too old, and the oldest of what is too much."""
        await self._clean()

    async def clear(self, older_than_s: float) -> DiskUsage:
        """Remove results of finished jobs that were published so many seconds ago; return what is gone."""
        unfinished = set(await self._unfinished())
        now_ns = self._clock.now_ns()
        return await self._clear(
            lambda kept: self._rules.chosen(kept, now_ns, older_than_s, unfinished),
            "the node's owner cleaned up",
        )

    async def remove(self, execution_ids: Sequence[str]) -> DiskUsage:
        """Remove the results of these executions, whose job is deleted; return what is gone."""
        return await self._clear(
            lambda kept: [each for each in kept if each.execution_id in execution_ids], "its job was deleted"
        )

    async def settle(self, target: Path, execution_id: str) -> None:
        """Count what was just published, and make room for it.

        Raises
        ------
        IOFailure
            All that could be removed does not make room enough; the new result is gone, nothing else is.
        """
        now_ns = self._clock.now_ns()
        await asyncio.to_thread(os.utime, target, ns=(now_ns, now_ns))
        async with self._counting:
            size = await asyncio.to_thread(size_of, target)
            if size is None:
                return  # removed meanwhile, with its job
            self._sizes[execution_id] = size
            # Adding up will do as long as there is room: looking at thousands of results each time would not.
            if not self._rules.quota or self.usage().bytes <= self._rules.quota:
                return
        if await self._clean(execution_id):
            return
        await asyncio.to_thread(remove_result, target)
        await self._clean()
        left = self.usage()
        raise IOFailure(
            f"{format_bytes(size)} do not fit into the quota of {format_bytes(self._rules.quota)} for local results: "
            f"those of {left.count} other executions take {format_bytes(left.bytes)} and can't be removed yet",
            hint=f"the node's owner can raise it: -c {QUOTA}=…; or publish to s3 or ipfs",
        )

    async def _clear(self, choose: Callable[[list[Kept]], list[Kept]], reason: str) -> DiskUsage:
        directory = self._directory
        async with self._counting:
            kept = await asyncio.to_thread(kept_in, directory)
            gone = choose(kept)
            await asyncio.to_thread(discard, directory, gone, reason, self._clock.now_ns())
            self._sizes = {each.execution_id: each.size for each in kept if each not in gone}
        return DiskUsage(bytes=sum(each.size for each in gone), count=len(gone))

    async def _clean(self, newest: str = "") -> bool:
        """Remove what has to go; False, and nothing is removed for it, when ``newest`` does not fit all the same."""
        directory = self._directory
        unfinished = set(await self._unfinished()) | {newest}
        async with self._counting:
            now_ns = self._clock.now_ns()
            kept = await asyncio.to_thread(kept_in, directory)
            old = self._rules.expired(kept, now_ns, unfinished)
            left = [each for each in kept if each not in old]
            surplus = self._rules.surplus(left, now_ns, unfinished)
            stays = sum(each.size for each in left) - sum(each.size for each in surplus)
            fits = not self._rules.quota or stays <= self._rules.quota
            if newest and not fits:
                surplus = []
            await asyncio.to_thread(self._remove, directory, old, surplus, now_ns)
            gone = {*old, *surplus}
            self._sizes = {each.execution_id: each.size for each in kept if each not in gone}
        return fits

    def _remove(self, directory: Path, old: list[Kept], surplus: list[Kept], now_ns: int) -> None:
        rules = self._rules
        reasons = [
            (old, f"local results are kept for {rules.max_age_s / 86400:g} days ({MAX_AGE})"),
            (surplus, f"local results may take {format_bytes(rules.quota)} ({QUOTA})"),
        ]
        for chosen, reason in reasons:
            discard(directory, chosen, reason, now_ns)


def rules_of(settings: Callable[[str], object]) -> Rules:
    """Read the rules from the configuration."""
    quota, max_age_s, min_age_s = (_number(settings(key), DEFAULTS[key]) for key in (QUOTA, MAX_AGE, MIN_AGE))
    return Rules(int(quota), max_age_s, min_age_s)


def _number(value: object, default: float) -> float:
    return float(value) if isinstance(value, int | float) and value >= 0 else default
