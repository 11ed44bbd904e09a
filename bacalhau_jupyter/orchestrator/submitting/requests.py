"""Requests about jobs: each is checked first, then stored in one transaction with the look that follows from it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping

from bacalhau_jupyter.lib.ids import IdSource
from bacalhau_jupyter.models.errors import Conflict
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.wire.api import PutJobResponse, RerunJobResponse, StopJobResponse
from bacalhau_jupyter.orchestrator.evaluating.evaluations import Evaluations
from bacalhau_jupyter.orchestrator.peers.register import Register
from bacalhau_jupyter.orchestrator.quotas.reading import check as check_quota
from bacalhau_jupyter.orchestrator.settings import OrchestratorSettings
from bacalhau_jupyter.orchestrator.store import deletion, jobs
from bacalhau_jupyter.orchestrator.store.store import Store
from bacalhau_jupyter.orchestrator.submitting import comparing, submission


class JobRequests:
    """Takes, changes and removes jobs for somebody.

    Parameters
    ----------
    settings
        Defaults of jobs, and quotas.
    store, evaluations
        Where jobs are, and who looks at them.
    register
        The nodes, whose links limit the size of a spec.
    ids
        Source of IDs.
    check_uploads
        Refuses a job whose results no node could upload.
    renew_links
        Makes links of this node in a job live as long as the job may wait.
    """

    def __init__(
        self,
        settings: OrchestratorSettings,
        store: Store,
        evaluations: Evaluations,
        register: Register,
        *,
        ids: IdSource,
        check_uploads: Callable[[Job], None],
        renew_links: submission.LinkRenewal,
    ) -> None:
        self._settings = settings
        self._store = store
        self._evaluations = evaluations
        self._register = register
        self._ids = ids
        self._check_uploads = check_uploads
        self._renew_links = renew_links

    async def submit(
        self, job: Job | None, *, force: bool, client: Mapping[str, str] | None, principal: str
    ) -> PutJobResponse:
        """Check and store a job; returns after the commit."""
        prepared, warnings = submission.prepare(job, self._settings, client, self._ids)
        check_quota(self._settings.quotas, principal, prepared)
        self._check_size(prepared)
        self._check_uploads(prepared)
        renewed = await self._renewed(prepared, again=False)
        stored = await self._evaluations.add(
            renewed, lambda transaction: submission.submit(transaction, renewed, force), principal
        )
        return PutJobResponse(job_id=stored.id, evaluation_id=self._ids(), warnings=warnings or None)

    async def stop(self, job: str, namespace: str, reason: str, *, principal: str) -> StopJobResponse:
        """Stop a job and all that runs for it; a `Conflict` where it ended by itself."""
        stopped = await self._store.transact(lambda t: submission.stop(t, job, namespace, reason), principal)
        return StopJobResponse(evaluation_id="" if stopped is None else self._ids())

    async def stop_all(self, reason: str) -> None:
        """Stop every job that is not over."""
        for job_id, _ in await self._store.read(jobs.active):
            # It may have ended by itself meanwhile.
            with contextlib.suppress(Conflict):
                await self.stop(job_id, "", reason, principal="")

    async def delete(self, job: str, namespace: str, *, principal: str) -> list[str]:
        """Delete a job that is over; return the IDs of its executions, whose results may go now."""
        return await self._store.transact(lambda t: deletion.delete(t, job, namespace), principal)

    async def rerun(self, job: str, namespace: str, version: int, *, principal: str) -> RerunJobResponse:
        """Run a version of a job again as its next version."""
        spec = await self._store.read(lambda c: jobs.version(c, jobs.resolve(c, job, namespace), version))
        check_quota(self._settings.quotas, principal, spec)
        self._check_uploads(spec)
        renewed = await self._renewed(spec, again=True)
        again = await self._store.transact(
            lambda t: submission.rerun(t, job, namespace, version, renewed), principal
        )
        return RerunJobResponse(evaluation_id=self._ids(), job_id=again.id, job_version=again.version)

    async def diff(self, job: Job) -> tuple[str, list[str]]:
        """Compare a spec with the stored job of its name; returns diff and warnings."""
        name, namespace = comparing.stored_namesake(job)
        prepared, warnings = submission.prepare(job, self._settings, None, self._ids)
        old = await self._store.read(lambda c: jobs.by_name(c, namespace, name))
        return comparing.difference(old, prepared), warnings

    def _check_size(self, job: Job) -> None:
        limits = [
            node.way.payload_limit for node in self._register.views() if not (node.lost or node.rejected)
        ]
        if any(limit is not None for limit in limits):
            submission.check_size(job, limits)

    async def _renewed(self, job: Job, *, again: bool) -> Job:
        # Not in the transaction: an input may have to be looked at, on the disk.
        return await asyncio.to_thread(self._renew_links, job, again) if submission.has_links(job) else job
