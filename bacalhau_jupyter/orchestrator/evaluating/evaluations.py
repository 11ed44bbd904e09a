"""The loop that looks at jobs: what wakes a job, the look itself, and what follows from it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.lib.ids import IdSource
from bacalhau_jupyter.lib.problems import Problems
from bacalhau_jupyter.lib.telemetry.subject import about
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.orchestrator.broker import Broker, Evaluation
from bacalhau_jupyter.orchestrator.peers.offers import AddressProblem, no_address_problem
from bacalhau_jupyter.orchestrator.planner import Outcome, Planner
from bacalhau_jupyter.orchestrator.quotas.queue import QuotaQueue
from bacalhau_jupyter.orchestrator.scheduler.plan import NodeView
from bacalhau_jupyter.orchestrator.scheduler.telling import JobTeller
from bacalhau_jupyter.orchestrator.settings import OrchestratorSettings
from bacalhau_jupyter.orchestrator.store import executions
from bacalhau_jupyter.orchestrator.store.store import Store
from bacalhau_jupyter.orchestrator.store.transaction import Changes, Transaction
from bacalhau_jupyter.orchestrator.waiting import Waiting

_log = logging.getLogger(__name__)

T = TypeVar("T")

FEW = 100
"""Nodes of a cluster, and parts of a job, with which a look takes so little time that who changes the job waits."""


class KnownNodes(Protocol):
    """What the loop asks of the nodes."""

    generation: int

    def views(self) -> list[NodeView]:
        """Return the nodes as schedulers see them."""
        ...

    def capacity(self) -> dict[str, Resources]:
        """Return what each node that takes jobs has in all."""
        ...


@dataclass(frozen=True)
class Look:
    """A look at a job, and what was known of the nodes when it began."""

    evaluation: Evaluation
    views: Sequence[NodeView]
    generation: int
    started_ns: int


class _LookFailed(Exception):
    """A look failed that shared a transaction with the change that led to it."""


class Evaluations:
    """Looks at jobs when something about them has changed.

    Parameters
    ----------
    settings
        How many looks at a time, and the planner's rules.
    store
        Where jobs are.
    clock
        Wall time.
    ids
        Source of execution IDs.
    teller
        Who is told of each look.
    problems
        List of failed background tasks.
    address_problem
        Why nodes of other machines lack an address of this one for a job.

    Attributes
    ----------
    broker
        Jobs that are due.
    waiting
        Jobs that wait for capacity.
    for_quota
        Jobs that wait for a quota.
    """

    def __init__(
        self,
        settings: OrchestratorSettings,
        store: Store,
        *,
        clock: Clock,
        ids: IdSource,
        teller: JobTeller,
        problems: Problems,
        address_problem: AddressProblem = no_address_problem,
    ) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._teller = teller
        self._problems = problems
        self._planner = Planner(settings, ids, address_problem=address_problem)
        self._nodes: KnownNodes | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._walk_due = False
        self._large: set[str] = set()
        self.broker = Broker(clock)
        self.waiting = Waiting()
        self.for_quota = QuotaQueue(settings.quotas, store.read, self.broker.enqueue)
        for name, readings in self.broker.levels().items():
            teller.observe(name, readings)

    # ---- life

    def hold(self, held: Iterable[tuple[str, str, Resources]]) -> None:
        """Take over what executions hold: execution, node, resources."""
        for execution_id, node_id, resources in held:
            self.waiting.hold(execution_id, node_id, resources)

    def start(self, nodes: KnownNodes, due: Iterable[tuple[str, int]]) -> None:
        """Look at jobs from now on, first at those that are ``due`` (with their priority)."""
        self._nodes = nodes
        for job_id, priority in due:
            self.broker.enqueue(job_id, priority)
        self._spawn(self._problems.keep("loading jobs to evaluate", self._evaluate_all), "evaluations")
        self._spawn(self._problems.keep("waking jobs that wait for a quota", self.for_quota.run), "quotas")

    async def stop(self, timeout_s: float) -> None:
        """Stop; what is not finished goes on at the next start."""
        self._nodes = None
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)

    # ---- what wakes jobs

    def committed(self, changes: Changes) -> None:
        """Hear of a commit; called in commit order."""
        self.hold(changes.held)
        for job_id in changes.over:
            self._large.discard(job_id)
            self.waiting.discard(job_id)
            self.for_quota.discard(job_id)
            self.broker.forget(job_id)
        for job_id, priority in changes.evaluate:
            self.broker.enqueue(job_id, priority)
        if self.waiting.free(execution_id for execution_id, _ in changes.freed):
            self._walk_soon()
        if changes.freed:
            self.for_quota.freed()

    def node_joined(self) -> None:
        """Look at all jobs that wait: a node may take jobs now."""
        self.waiting.again()
        for job_id, priority in self.waiting.everyone():
            self.broker.enqueue(job_id, priority)

    def node_freed(self) -> None:
        """Look at the jobs that fit what a node has free."""
        self.waiting.again()
        self._walk_soon()

    def node_gone(self, node_id: str) -> None:
        """Look at the jobs that run on a node."""
        task = f"looking at the jobs on the lost node {node_id}"
        self._spawn(self._problems.keep(task, lambda: self._look_at_jobs_of(node_id)), f"jobs on {node_id}")

    async def _look_at_jobs_of(self, node_id: str) -> None:
        for job_id in await self._store.read(lambda c: executions.live_jobs(c, node_id)):
            self.broker.enqueue(job_id)
        self.node_joined()

    # ---- the looks

    async def _evaluate_all(self) -> None:
        slots = asyncio.Semaphore(self._settings.workers)
        async with asyncio.TaskGroup() as group:
            while True:
                await slots.acquire()
                evaluation = await self.broker.dequeue()
                task = group.create_task(self._evaluate(evaluation), name=f"evaluate {evaluation.job_id}")
                task.add_done_callback(lambda _: slots.release())

    async def _evaluate(self, evaluation: Evaluation) -> None:
        nodes = self._nodes
        if nodes is not None:
            with about(job=evaluation.job_id):
                await self._look(evaluation, nodes)

    async def _look(self, evaluation: Evaluation, nodes: KnownNodes) -> None:
        look = Look(evaluation, nodes.views(), nodes.generation, self._clock.now_ns())
        try:
            outcome = await self._store.transact(
                lambda transaction: self._planner.evaluate(transaction, evaluation.job_id, look.views)
            )
        except Exception as error:
            self._problems.failed(f"evaluating job {evaluation.job_id}", error)
            self._teller.evaluated(None, 0, look.started_ns, self._clock.now_ns(), type(error).__name__)
            self.broker.nack(evaluation)
            return
        self._tell(look, outcome)
        if outcome.rest_s and outcome.job is not None and not outcome.job.is_terminal:
            await asyncio.sleep(outcome.rest_s)
        self._finish(look, outcome, nodes)

    def _tell(self, look: Look, outcome: Outcome) -> None:
        self._problems.clear(f"evaluating job {look.evaluation.job_id}")
        self._teller.evaluated(outcome.job, outcome.placed, look.started_ns, self._clock.now_ns())

    def _finish(self, look: Look, outcome: Outcome, nodes: KnownNodes) -> None:
        job_id = look.evaluation.job_id
        self.broker.ack(look.evaluation)
        try:
            self._follow_up(outcome, nodes)
        except Exception:
            _log.exception("the evaluation of job %s could not be followed up", job_id)
        # A node that went away meanwhile was looked through before this placed something there.
        if nodes.generation != look.generation and outcome.job is not None:
            self.broker.enqueue(job_id, outcome.job.priority)

    async def add(self, job: Job, change: Callable[[Transaction], T], principal: str = "") -> T:
        """As `transact`, for a job that is new."""
        if (job.count or 0) > FEW:
            return await self._store.transact(change, principal)
        return await self.transact(job.id, change, principal)

    async def transact(self, job_id: str, change: Callable[[Transaction], T], principal: str = "") -> T:
        """Store a change of a job for somebody, and what its look leads to with it where the look can be at once.

        Raises
        ------
        BacalhauError
            What ``change`` raises, or `IOFailure`; nothing is stored.
        """
        nodes = self._nodes
        views = [] if nodes is None else nodes.views()
        begun = None
        if nodes is not None and len(views) <= FEW and job_id not in self._large:
            begun = self.broker.begin(job_id)
        if nodes is None or begun is None:
            return await self._store.transact(change, principal)
        look = Look(begun, views, nodes.generation, self._clock.now_ns())

        def change_and_look(transaction: Transaction) -> tuple[T, Outcome | None]:
            result = change(transaction)
            if not transaction.take_evaluation(job_id):
                return result, None
            try:
                return result, self._planner.evaluate(transaction, job_id, views)
            except Exception as error:
                raise _LookFailed from error

        try:
            result, outcome = await self._store.transact(change_and_look, principal)
        except _LookFailed:
            # The look that is asked for then tells of the problem.
            self.broker.ack(begun)
            return await self._store.transact(change, principal)
        except asyncio.CancelledError:
            # It may be stored all the same, and what follows from the look is not known here.
            self.broker.ack(begun)
            self.broker.enqueue(job_id)
            raise
        except BaseException:
            self.broker.ack(begun)
            raise
        if outcome is None:
            self.broker.ack(begun)
        else:
            self.broker.forget(job_id)
            self._tell(look, outcome)
            self._finish(look, outcome, nodes)
        return result

    def _follow_up(self, outcome: Outcome, nodes: KnownNodes) -> None:
        job = outcome.job
        if job is None:
            return
        if outcome.rest_s and not job.is_terminal:
            self._large.add(job.id)
        if outcome.again:
            self.broker.enqueue(job.id, job.priority)
        elif outcome.wakeup_ns is not None:
            self.broker.enqueue(job.id, job.priority, outcome.wakeup_ns)
        if outcome.claim is not None:
            self.for_quota.add(job, outcome.claim)
        else:
            self.for_quota.discard(job.id)
        if outcome.wish is None:
            self.waiting.discard(job.id)
            return
        self.waiting.add(job.id, job.priority, job.create_time, outcome.wish)
        if self.waiting.worth_a_walk(job.id, nodes.capacity()):
            self._walk_soon()

    def _walk_soon(self) -> None:
        """Wake waiting jobs once for all that is freed in this turn of the loop."""
        if not self._walk_due and self._nodes is not None:
            self._walk_due = True
            asyncio.get_running_loop().call_soon(self._walk)

    def _walk(self) -> None:
        self._walk_due = False
        if self._nodes is None:
            return
        for job_id, priority in self.waiting.wake(self._nodes.capacity()):
            self.broker.enqueue(job_id, priority)

    def _spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("%s ended with an error", task.get_name(), exc_info=error)
