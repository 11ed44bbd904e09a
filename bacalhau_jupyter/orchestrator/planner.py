"""One evaluation: load what is stored, let the scheduler decide, store the decision — all in one transaction.

The database runs one transaction at a time, so nothing changes between the look and the decision: two jobs can't be
given the same capacity, and a plan never meets a job in another state than it was made for. The revision is
checked all the same, so that a broken caller gets an error.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bacalhau_jupyter.lib.ids import IdSource, execution_id
from bacalhau_jupyter.models.errors import HINT, BacalhauError
from bacalhau_jupyter.models.jobs.job import Job, JobState
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import replace
from bacalhau_jupyter.models.jobs.units import resources_of
from bacalhau_jupyter.models.records.execution import (
    ComputeState,
    DesiredState,
    DesiredStateType,
    Execution,
    ExecutionStateType,
)
from bacalhau_jupyter.models.records.history import Event
from bacalhau_jupyter.orchestrator.peers.offers import AddressProblem, no_address_problem
from bacalhau_jupyter.orchestrator.quotas.queue import Claim
from bacalhau_jupyter.orchestrator.quotas.reading import allowance_of
from bacalhau_jupyter.orchestrator.scheduler import SCHEDULERS
from bacalhau_jupyter.orchestrator.scheduler.plan import (
    NEW_EXECUTIONS_LIMIT,
    Change,
    JobChange,
    NodeView,
    Note,
    PlaceExecution,
    Plan,
    Situation,
)
from bacalhau_jupyter.orchestrator.settings import OrchestratorSettings
from bacalhau_jupyter.orchestrator.store import executions, jobs
from bacalhau_jupyter.orchestrator.store.transaction import Transaction
from bacalhau_jupyter.orchestrator.waiting import Wish

LARGE = 200
"""From so many executions on a job is looked at for several reports at once."""
_REST_S = 8e-6
"""Seconds of rest per execution: not much longer than the look took."""
_SHORTEST_REST_S, _LONGEST_REST_S = 0.025, 0.1
_LARGE_KEPT = 8
"""Large jobs whose ended executions stay decoded between looks (about 20 MB per 10 000)."""
_RANDOM = random.Random()


@dataclass(frozen=True)
class Outcome:
    """What an evaluation leaves to do.

    Parameters
    ----------
    job
        The job as it now is; None if it does not exist.
    again
        Evaluate once more at once.
    wakeup_ns
        Evaluate at this time though nothing happens.
    wish
        What the job waits for; None if it does not wait.
    placed
        How many executions were created.
    size
        How many executions were looked at.
    claim
        What the job waits for of its principal's quota; None if it does not.
    """

    job: Job | None
    again: bool = False
    wakeup_ns: int | None = None
    wish: Wish | None = None
    placed: int = 0
    size: int = 0
    claim: Claim | None = None

    @property
    def rest_s(self) -> float:
        """How long the job is not looked at again: many reports about a large job are one look, not one each."""
        if self.size < LARGE:
            return 0.0
        return min(max(self.size * _REST_S, _SHORTEST_REST_S), _LONGEST_REST_S)


class Planner:
    """Makes and applies plans.

    Parameters
    ----------
    settings
        Grace and queueing rules.
    ids
        Source of execution IDs.
    seed
        Seeds the choice between equally good nodes of each evaluation.
    address_problem
        Why nodes of other machines lack an address of this one for a job.
    """

    def __init__(
        self,
        settings: OrchestratorSettings,
        ids: IdSource,
        seed: Callable[[], float] = _RANDOM.random,
        address_problem: AddressProblem = no_address_problem,
    ) -> None:
        self._address_problem = address_problem
        self._settings = settings
        self._ids = ids
        self._seed = seed
        self._ended: dict[str, executions.Ended] = {}

    def evaluate(self, transaction: Transaction, job_id: str, nodes: Sequence[NodeView]) -> Outcome:
        """Look at a job and do what its scheduler says; runs inside a transaction."""
        connection = transaction.connection
        job = jobs.get(connection, job_id)
        if job is None:
            return Outcome(None)
        request = request_of(job)
        ended = self._ended.get(job_id, executions.Ended())
        known = executions.relevant(connection, job_id, job.version, ended)
        # Whoever reads why this job waits may read of others in its namespace.
        most = max(NEW_EXECUTIONS_LIMIT, len(nodes))
        allowance = allowance_of(connection, self._settings.quotas, job, job.namespace.__eq__, most=most)
        far = any(node.way.is_far for node in nodes)
        plan = SCHEDULERS[job.type](
            Situation(
                job=job,
                executions=known,
                nodes=nodes,
                used=executions.used(connection),
                request=request,
                submitted_ns=jobs.submitted(connection, job_id),
                now_ns=transaction.now_ns,
                execution_grace_s=self._settings.execution_grace_s,
                queue_unsuitable=self._settings.queue_unsuitable,
                rng=random.Random(self._seed()),
                allowance=allowance,
                spec_bytes=jobs.spec_bytes(connection, job_id, job.version) if far else 0,
                address_problem=self._address_problem(job) if far else "",
            )
        )
        job = self.apply(transaction, job, plan, request)
        wish = None if plan.waits_for is None else Wish(request, plan.waits_for)
        placed = sum(isinstance(step, PlaceExecution) for step in plan.steps)
        self._keep(job, len(known), ended)
        claim = Claim(allowance.principal, plan.claims) if allowance and plan.claims is not None else None
        return Outcome(job, plan.again, plan.wakeup_ns, wish, placed, size=len(known), claim=claim)

    def _keep(self, job: Job, size: int, ended: executions.Ended) -> None:
        """Keep what was decoded of a large job for its next look; of the jobs that were looked at last only."""
        self._ended.pop(job.id, None)
        if size >= LARGE and not job.is_terminal:
            self._ended[job.id] = ended
        if len(self._ended) > _LARGE_KEPT:
            del self._ended[next(iter(self._ended))]

    def apply(self, transaction: Transaction, job: Job, plan: Plan, request: Resources) -> Job:
        """Store a plan made for this revision of the job.

        Raises
        ------
        BacalhauError
            The job has changed since; nothing is stored.
        """
        if plan.steps:
            stored = jobs.get(transaction.connection, job.id)
            if stored is None or stored.revision != job.revision:
                raise BacalhauError(
                    f"job {job.id} has changed since it was read",
                    code="ConflictJobRevision",
                    retryable=True,
                )
        spec = None
        for step in plan.steps:
            if isinstance(step, JobChange):
                job = _change_job(transaction, job, step)
            elif isinstance(step, Change):
                _change_execution(transaction, job, step)
            else:
                spec = spec or jobs.specs(transaction.connection, job.id, {job.version})[job.version]
                self._place(transaction, job, spec, step, request)
        return job

    def _place(
        self, transaction: Transaction, job: Job, spec: Job, step: PlaceExecution, request: Resources
    ) -> None:
        now = transaction.now_ns
        execution = Execution(
            id=execution_id(self._ids),
            namespace=job.namespace,
            node_id=step.node_id,
            job_id=job.id,
            job=spec,
            job_version=job.version,
            desired_state=DesiredState(
                state_type=DesiredStateType.RUNNING if step.at_once else DesiredStateType.PENDING
            ),
            compute_state=ComputeState(state_type=ExecutionStateType.NEW),
            partition_index=step.partition,
            revision=1,
            create_time=now,
            modify_time=now,
        )
        event = _event(transaction, step.note)
        transaction.add_execution(execution, request, [event])
        transaction.record(job, event, execution)


def request_of(job: Job) -> Resources:
    """Return what one execution of a job holds."""
    return resources_of(job.task.resources)


def _change_job(transaction: Transaction, job: Job, step: JobChange) -> Job:
    hint = "" if step.note is None or not step.state.is_terminal else step.note.details.get(HINT, "")
    state = JobState(state_type=step.state, message=step.message, details={HINT: hint} if hint else {})
    changed = transaction.set_state(job, state)
    if step.note is not None:
        transaction.record(changed, _event(transaction, step.note))
    return changed


def _change_execution(transaction: Transaction, job: Job, step: Change) -> None:
    before = step.execution
    event = _event(transaction, step.note)
    after = replace(
        before,
        desired_state=DesiredState(state_type=step.desired, message=step.message),
        compute_state=ComputeState(state_type=step.observed, message=step.message),
    )
    after = transaction.change_execution(before, after, [event])
    transaction.record(job, event, after)


def _event(transaction: Transaction, note: Note) -> Event:
    return transaction.event(note.topic, note.message, note.details)
