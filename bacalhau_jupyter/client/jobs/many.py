"""Many jobs at once: submitted a few at a time, watched to their end, counted, and stopped together."""

from __future__ import annotations

import asyncio
import concurrent.futures
import uuid
from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Protocol

from bacalhau_jupyter.client.connection.cluster import Cluster
from bacalhau_jupyter.client.jobs.failure import JobFailed, raise_for_state
from bacalhau_jupyter.client.jobs.job import Job
from bacalhau_jupyter.client.jobs.standing import Standing, Standings, View, find_view, seconds_of
from bacalhau_jupyter.client.jobs.watch import Transition, watch
from bacalhau_jupyter.client.results.result import JobResult
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.jobs.job import Job as JobModel
from bacalhau_jupyter.models.jobs.job import JobStateType
from bacalhau_jupyter.models.records.outcome import (
    Outcome,
    deciding,
    error_line,
    outcome_of,
)
from bacalhau_jupyter.models.wire.api import PutJobResponse

GROUP = "bacalhau-group"
"""Label that jobs which belong together have in common."""

SUBMITTED_AT_ONCE = 8
"""Submissions under way at the same time."""

WATCHED_AT_ONCE = 64
"""Jobs whose events are read at the same time; the others still count as waiting."""

_LATE_S = 5.0
"""Seconds that submissions under way may take to say which jobs they made, once all are to stop."""

_SLICE_S = 0.2
_NAMED = 3
_LONGEST_LINE = 160


def group_label() -> dict[str, str]:
    """Return the label of a new group of jobs."""
    return {GROUP: uuid.uuid4().hex[:8]}


class Submits(Cluster, Protocol):
    """A cluster to which jobs can be submitted; `Client` is one."""

    async def asubmit(self, model: JobModel, *, force: bool = False) -> PutJobResponse:
        """Submit a job on the portal's loop."""
        ...


@dataclass
class Member:
    """One job of many.

    Attributes
    ----------
    label
        What distinguishes it, for people: ``lr=0.1, depth=3``.
    model
        What is submitted.
    job
        Its handle, once it was submitted.
    outcome
        How it stands.
    result
        What it left behind, once it is over.
    error
        Why it has no result, or why the result is a failure.
    is_cached
        Whether an equal job that ran before answers for it.
    """

    label: str
    model: JobModel
    job: Job | None = None
    outcome: Outcome = Outcome.WAITING
    result: JobResult | None = None
    error: BacalhauError | None = None
    is_cached: bool = False

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.result is not None or self.error is not None

    def standing(self) -> Standing:
        """Return how it stands, as people are shown it."""
        result = self.result
        return Standing(
            self.label,
            job_id=self.job.id if self.job is not None else "",
            outcome=self.outcome,
            exit_code=result.exit_code if result is not None else None,
            duration_s=seconds_of(result.job) if result is not None else None,
            error=self.error.message if self.error is not None else "",
            is_cached=self.is_cached,
        )


class ManyFailed(JobFailed):
    """Some of many jobs did not end well; the others did.

    Attributes
    ----------
    members
        All jobs, in order; `Member.result` of those that succeeded is there.
    """

    default_code = "JobFailed"

    def __init__(self, members: Sequence[Member], what: str) -> None:
        failed = [member for member in members if member.error is not None]
        named = failed[:_NAMED]
        more = [f"… and {len(failed) - _NAMED} more"] if len(failed) > _NAMED else []
        if len(failed) > 1 and len({_last_line(member) for member in failed}) == 1:
            # A label may hold commas: `lr=0.1, depth=3`.
            labels = [*(member.label for member in named), *more]
            names = ("; " if any("," in label for label in labels) else ", ").join(labels)
            text = f"{names}: {_last_line(failed[0])}"
        else:
            text = "; ".join([*(f"{member.label}: {_last_line(member)}" for member in named), *more])
        group = next((member.model.labels.get(GROUP, "") for member in failed if member.job), "")
        super().__init__(
            f"{len(failed)} of {len(members)} {what} failed: {text}",
            hint=f"%bacalhau job list --labels {GROUP}={group} lists them all" if group else "",
        )
        self.members = list(members)


def _last_line(member: Member) -> str:
    """Return what a program that failed said last, else the first line of what is known."""
    result = member.error.result if isinstance(member.error, JobFailed) else None
    line = error_line(deciding(result.executions)) if result is not None and result.exit_code else ""
    line = line or str(member.error).partition("\n")[0]
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}…"


class Many:
    """Jobs that belong together.

    Parameters
    ----------
    client
        The cluster.
    members
        What to run.
    what
        What to call them: ``combinations``, ``calls``.
    """

    def __init__(self, client: Submits, members: Sequence[Member], what: str = "jobs") -> None:
        self._client = client
        self.members = list(members)
        self._what = what
        self._running: concurrent.futures.Future[None] | None = None
        self._submissions: set[asyncio.Task[PutJobResponse]] = set()
        self._is_stopping = False
        self._reason: str | None = None
        """Why a job ends that the cluster takes only now, after all others were stopped."""

    def counts(self) -> Counter[Outcome]:
        """Return how many jobs stand how."""
        return Counter(member.outcome for member in self.members)

    def text(self) -> str:
        """Return the counts in one line."""
        return self.standings().text

    def standings(self) -> Standings:
        """Return how all jobs stand."""
        return Standings(
            self._what,
            self.members[0].model.labels.get(GROUP, "") if self.members else "",
            self._client.endpoint.url if self._client.is_connected else "",
            [member.standing() for member in self.members],
        )

    def run(self, *, view: View | None = None, check: bool = True) -> None:
        """Submit all jobs and wait until the last one is over; how they stand is shown meanwhile.

        Parameters
        ----------
        view
            Where it is shown; without one it is found out.
        check
            Whether an exit code other than 0 is a failure.

        Raises
        ------
        KeyboardInterrupt
            The person interrupted; `stop` was not called yet.
        """
        if not self.members:
            return
        view = view or find_view()
        self._client.api()
        view.show(self.standings())
        future = self._running = self._client.portal.start(self._run(check=check))
        try:
            while not concurrent.futures.wait([future], timeout=_SLICE_S).done:
                view.show(self.standings())
            future.result()
        finally:
            view.finish(self.standings())

    def submit_all(self) -> None:
        """Submit all jobs without waiting for their ends; one that is refused has its `Member.error`."""
        self._client.api()
        self._client.portal.run(self._submit_all())

    def stop(self, reason: str) -> None:
        """Stop all jobs that are not over, submit no more, and wait until they are gone."""
        self._client.portal.run(self._stop(reason))
        if self._running is not None:
            self._client.portal.wait(self._running)

    def raise_for_failures(self) -> None:
        """Raise an exception that names every job that did not end well.

        Raises
        ------
        ManyFailed
            There are some.
        """
        if any(member.error is not None for member in self.members):
            raise ManyFailed(self.members, self._what) from None

    # ---- on the portal's loop

    async def _run(self, *, check: bool) -> None:
        submitting = asyncio.Semaphore(SUBMITTED_AT_ONCE)
        watching = asyncio.Semaphore(WATCHED_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for member in self.members:
                group.create_task(self._one(member, submitting, watching, check=check))

    async def _submit_all(self) -> None:
        submitting = asyncio.Semaphore(SUBMITTED_AT_ONCE)
        await asyncio.gather(*(self._submitted(member, submitting) for member in self.members))

    async def _one(
        self, member: Member, submitting: asyncio.Semaphore, watching: asyncio.Semaphore, *, check: bool
    ) -> None:
        if member.is_over:
            return
        job = await self._submitted(member, submitting)
        if job is None:
            return
        try:
            async with watching:
                await self._watched(member, job)
            answer = await self._client.acall(lambda api: api.get_job(job.id, include="executions"))
        except BacalhauError as error:
            member.outcome, member.error = Outcome.FAILED, error
            return
        executions = answer.executions.items if answer.executions else []
        result = JobResult(job, answer.job, executions)
        try:
            raise_for_state(result, check=check)
        except JobFailed as error:
            member.error = error
        member.outcome = result.outcome
        member.result = result

    async def _submitted(self, member: Member, submitting: asyncio.Semaphore) -> Job | None:
        if member.job is not None:
            return member.job
        async with submitting:
            if self._is_stopping:
                member.outcome = Outcome.STOPPED
                member.error = JobFailed("it was not submitted any more")
                return None
            # A task of its own: an interrupt must not lose a job that the cluster takes all the same.
            task = asyncio.create_task(self._client.asubmit(member.model))
            self._submissions.add(task)
            task.add_done_callback(self._submissions.discard)
            try:
                answer = await asyncio.shield(task)
            except BacalhauError as error:
                member.outcome, member.error = Outcome.FAILED, error
                return None
        job = member.job = Job(self._client, answer.job_id)
        if self._reason is not None:
            await self._end(job, self._reason)
        return job

    async def _watched(self, member: Member, job: Job) -> None:
        source = watch(self._client.api_now(), job.id, logs=False, reconnect=self._client.reconnect)
        async with aclosing(source):
            async for update in source:
                if isinstance(update, Transition) and update.event.state:
                    state = JobStateType(update.event.state)
                    # How it ended is known when its exit code is.
                    member.outcome = Outcome.RUNNING if state.is_terminal else outcome_of(state, None)

    async def _stop(self, reason: str) -> None:
        self._is_stopping = True
        if self._submissions:
            await asyncio.wait(self._submissions, timeout=_LATE_S)
        limit = asyncio.Semaphore(SUBMITTED_AT_ONCE)

        async def end(job: Job) -> None:
            async with limit:
                await self._end(job, reason)

        # A submission that was answered just now becomes a member at the loop's next turn.
        await asyncio.sleep(0)
        jobs = [member.job for member in self.members if member.job is not None and not member.is_over]
        self._reason = reason
        await asyncio.gather(*(end(job) for job in jobs))

    async def _end(self, job: Job, reason: str) -> None:
        with suppress(BacalhauError):
            await self._client.acall(lambda api: api.stop(job.id, reason=reason))
