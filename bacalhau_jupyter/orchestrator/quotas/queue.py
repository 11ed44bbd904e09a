"""Jobs that wait until others of the same principal end: which of them to evaluate again when some have.

As in `waiting`, this is a hint: whether the quota has room is decided by the evaluation, on what is stored. So it is
kept in memory; at start every job that is not over is evaluated anyway.
"""

from __future__ import annotations

import asyncio
import bisect
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.records.quotas import Quotas
from bacalhau_jupyter.orchestrator.scheduler.allowance import Allowance, Share
from bacalhau_jupyter.orchestrator.store import executions

WAKE_LIMIT = 64
"""Jobs of one principal that one walk wakes at most."""

Read = Callable[
    [Callable[[sqlite3.Connection], Mapping[str, Sequence[Share]]]], Awaitable[Mapping[str, Sequence[Share]]]
]
"""Runs a query on what is committed."""

_Key = tuple[int, int, str]
"""Order of waiting jobs: highest priority, oldest, ID."""


@dataclass(frozen=True)
class Claim:
    """What a job needs of a principal's quota to go on."""

    principal: str
    request: Resources


class QuotaQueue:
    """The waiting jobs of each principal, in order; used on one event loop.

    Parameters
    ----------
    quotas
        What principals may use.
    read
        Runs a query on what is committed.
    wake
        Asks for the evaluation of a job with a priority.
    """

    def __init__(self, quotas: Quotas, read: Read, wake: Callable[[str, int], None]) -> None:
        self._quotas = quotas
        self._read = read
        self._wake = wake
        self._claims: dict[str, tuple[_Key, Claim]] = {}
        self._order: dict[str, list[_Key]] = {}
        self._tried: set[str] = set()
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        """How many jobs wait."""
        return len(self._claims)

    def add(self, job: Job, claim: Claim) -> None:
        """A job waits (or waits for something else than before)."""
        self._take_out(job.id)
        key = (-job.priority, job.create_time, job.id)
        self._claims[job.id] = (key, claim)
        bisect.insort(self._order.setdefault(claim.principal, []), key)
        # Something may have ended since it was looked at.
        self._changed.set()

    def discard(self, job_id: str) -> None:
        """A job waits no more: it runs, or it waits for a node and leaves its place to others of its principal."""
        self._tried.discard(job_id)
        if self._take_out(job_id):
            self._changed.set()

    def freed(self) -> None:
        """Some executions ended: jobs that were woken without effect may be woken again."""
        if self._claims:
            self._tried.clear()
            self._changed.set()

    async def run(self) -> None:
        """Walk whenever something has changed, until this is cancelled: once for all that changes meanwhile."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self.walk()
            except BaseException:
                # What has changed was not looked at.
                self._changed.set()
                raise

    async def walk(self) -> None:
        """Wake the jobs for which their principal's quota has room now, in order, each once until `freed`."""
        principals = list(self._order)
        if not principals:
            return
        running = await self._read(lambda c: {name: executions.shares(c, name) for name in principals})
        for principal, shares in running.items():
            for key in self._choose(Allowance(principal, self._quotas.of(principal), shares)):
                self._tried.add(key[2])
                self._wake(key[2], -key[0])

    def _choose(self, allowance: Allowance) -> list[_Key]:
        chosen: list[_Key] = []
        quota, used = allowance.quota, allowance.used
        running = {share.job_id for share in allowance.shares}
        for key in self._order.get(allowance.principal, ()):
            job_id = key[2]
            if len(chosen) >= WAKE_LIMIT:
                break
            if job_id in self._tried:
                continue
            if quota.jobs is not None and job_id not in running and len(running) >= quota.jobs:
                continue
            request = self._claims[job_id][1].request
            # A smaller job further back goes first where a larger one has no room, as on nodes.
            if not quota.lacks(used, request):
                chosen.append(key)
                running.add(job_id)
                used = used + request
        return chosen

    def _take_out(self, job_id: str) -> bool:
        entry = self._claims.pop(job_id, None)
        if entry is None:
            return False
        key, claim = entry
        order = self._order[claim.principal]
        del order[bisect.bisect_left(order, key)]
        if not order:
            del self._order[claim.principal]
        return True
