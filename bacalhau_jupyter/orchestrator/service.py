"""The orchestrator: everything in this room wired together behind one service, no HTTP in it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import sqlite3
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from typing import Any

from bacalhau_jupyter.lib.clock import Clock, SystemClock
from bacalhau_jupyter.lib.database import Database
from bacalhau_jupyter.lib.ids import IdSource, uuid4
from bacalhau_jupyter.lib.problems import Problems
from bacalhau_jupyter.lib.telemetry.base import SILENT, Telemetry
from bacalhau_jupyter.lib.telemetry.subject import about
from bacalhau_jupyter.lib.times import rfc3339
from bacalhau_jupyter.models.errors import BacalhauError, Conflict
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.records.explanation import Explanation
from bacalhau_jupyter.models.records.history import StreamEvent, Topic
from bacalhau_jupyter.models.records.node import ConnectionState, Membership, NodeInfo, NodeState
from bacalhau_jupyter.models.records.progress import Reading
from bacalhau_jupyter.models.wire.api import (
    ListExecutionsResponse,
    ListHistoryResponse,
    ListJobsResponse,
    ListResultsResponse,
    LogFrame,
    PutJobResponse,
    RerunJobResponse,
    StopJobResponse,
)
from bacalhau_jupyter.models.wire.messages import BidResult, ComputeError, RunResult
from bacalhau_jupyter.orchestrator import queries, submission
from bacalhau_jupyter.orchestrator.base import (
    ExecutionQuery,
    HistoryQuery,
    JobQuery,
    LogQuery,
    NodeQuery,
    ResultSigner,
)
from bacalhau_jupyter.orchestrator.broker import Broker, Evaluation
from bacalhau_jupyter.orchestrator.dispatcher import Dispatcher
from bacalhau_jupyter.orchestrator.explaining.explain import explain
from bacalhau_jupyter.orchestrator.explaining.reading import Cluster, JobRule, read_ahead, read_circumstances
from bacalhau_jupyter.orchestrator.logs import JobWatch, LogReader
from bacalhau_jupyter.orchestrator.members import joined
from bacalhau_jupyter.orchestrator.membership import NodeListener, Nodes
from bacalhau_jupyter.orchestrator.planner import Outcome, Planner
from bacalhau_jupyter.orchestrator.quotas.queue import QuotaQueue
from bacalhau_jupyter.orchestrator.quotas.reading import check as check_quota
from bacalhau_jupyter.orchestrator.reports import store_report
from bacalhau_jupyter.orchestrator.scheduler.telling import JobTeller
from bacalhau_jupyter.orchestrator.settings import OrchestratorSettings
from bacalhau_jupyter.orchestrator.store import deletion, executions, jobs
from bacalhau_jupyter.orchestrator.store.store import Store
from bacalhau_jupyter.orchestrator.store.transaction import Changes
from bacalhau_jupyter.orchestrator.stream import PASSING, EventStream, progress_details
from bacalhau_jupyter.orchestrator.uploads import Uploads, UploadSigner
from bacalhau_jupyter.orchestrator.waiting import Waiting
from bacalhau_jupyter.transport.base import Envelope, OrchestratorTransport

_log = logging.getLogger(__name__)

STOP_S = 10.0
"""How long `Orchestrator.close` waits for what is in flight."""


class Orchestrator:
    """The orchestrator, as the API and the node see it.

    ``job`` arguments are a name, an ID or a unique prefix of an ID. Methods raise subclasses of `BacalhauError` with
    the official messages (`NotFound` "job not found: X" …).

    Parameters
    ----------
    settings
        What can be set.
    database
        Opened with `store.schema.MIGRATIONS`; stays open at `close`.
    transport
        The orchestrator's end of a carrier; closed at `close`.
    clock
        Wall time.
    ids
        Source of IDs.
    upload_signer
        Signs links to a bucket of the orchestrator's own; None without one.
    problems
        List of failed background tasks.
    renew_links
        Makes links of this node in a job live as long as the job may wait; without it they stay as they are.
    telemetry
        Who is told of jobs.
    own_info
        Describes the process of an orchestrator that runs no jobs itself.
    """

    def __init__(
        self,
        settings: OrchestratorSettings,
        database: Database,
        transport: OrchestratorTransport,
        *,
        clock: Clock | None = None,
        ids: IdSource = uuid4,
        upload_signer: UploadSigner | None = None,
        problems: Problems | None = None,
        renew_links: submission.LinkRenewal | None = None,
        telemetry: Telemetry = SILENT,
        own_info: Callable[[], NodeInfo] | None = None,
    ) -> None:
        self._settings = settings
        self._own_info = own_info
        self._renew_links = renew_links or submission.unchanged
        self.problems = problems or Problems(clock)
        self._clock = clock or SystemClock()
        self._started_ns = self._clock.now_ns()
        self._ids = ids
        self._transport = transport
        self._store = Store(database, self._clock, self._committed)
        self._broker = Broker(self._clock)
        self._teller = JobTeller(telemetry, settings.node_id)
        for name, readings in self._broker.levels().items():
            self._teller.observe(name, readings)
        self._waiting = Waiting()
        self._for_quota = QuotaQueue(settings.quotas, self._store.read, self._broker.enqueue)
        self._watch = JobWatch()
        self._stream = EventStream(self._store, settings.stream_queue)
        self._dispatcher = Dispatcher(
            self._store, transport, f"orchestrator-{settings.node_id}", self.problems
        )
        self._nodes = Nodes(
            self._store,
            self._dispatcher,
            clock=self._clock,
            settings=settings,
            uploads=Uploads(self._store, upload_signer),
            listener=NodeListener(self._node_joined, self._node_freed, self._node_gone, self._node_changed),
            problems=self.problems,
        )
        self._planner = Planner(settings, ids)
        self._logs = LogReader(self._store, transport, self._watch)
        self._tasks: set[asyncio.Task[None]] = set()
        self._walk_due = False
        self._running = False

    # ---- life

    async def start(self) -> None:
        """Pick up where the last process stopped, then answer nodes."""
        active, held = await self._store.read(lambda c: (jobs.active(c), executions.held(c)))
        for execution_id, node_id, resources in held:
            self._waiting.hold(execution_id, node_id, resources)
        await self._dispatcher.start()
        await self._nodes.start()
        for job_id, priority in active:
            self._broker.enqueue(job_id, priority)
        self._running = True
        self._spawn(self.problems.keep("loading jobs to evaluate", self._evaluate_all), "evaluations")
        self._spawn(self.problems.keep("waking jobs that wait for a quota", self._for_quota.run), "quotas")
        await self._transport.serve(self._nodes.control, self._message)

    async def close(self) -> None:
        """Stop answering and evaluating; what is not finished goes on at the next start."""
        self._running = False
        self._stream.close()
        await self._transport.close()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_S)
        await self._dispatcher.stop()
        await self._nodes.stop()

    def wake(self) -> None:
        """Look at the clock again (after a test moved it)."""
        self._broker.wake()
        self._nodes.wake()

    # ---- jobs

    async def submit(
        self,
        job: Job | None,
        *,
        force: bool = False,
        client: Mapping[str, str] | None = None,
        principal: str = "",
    ) -> PutJobResponse:
        """Check and store a job for somebody; returns after the commit."""
        prepared, warnings = submission.prepare(job, self._settings, client, self._ids)
        check_quota(self._settings.quotas, principal, prepared)
        renewed = await self._renewed(prepared, again=False)
        stored = await self._store.transact(
            lambda transaction: submission.submit(transaction, renewed, force), principal
        )
        return PutJobResponse(job_id=stored.id, evaluation_id=self._ids(), warnings=warnings or None)

    async def get_job(self, job: str, namespace: str = "", version: int = 0) -> Job:
        """Return a version of a job (0: the latest)."""
        return await self._store.read(lambda c: queries.get_job(c, job, namespace, version))

    async def job_name(self, job: str, namespace: str = "") -> tuple[str, str]:
        """Return the ID and the name of a job."""

        def name(connection: sqlite3.Connection) -> tuple[str, str]:
            job_id = jobs.resolve(connection, job, namespace)
            return job_id, jobs.names(connection, [job_id])[job_id][1]

        return await self._store.read(name)

    async def list_jobs(self, query: JobQuery) -> ListJobsResponse:
        """Return a page of jobs."""
        return await self._store.read(queries.list_jobs(query))

    async def versions(self, job: str, namespace: str = "") -> ListJobsResponse:
        """Return every version of a job, oldest first."""
        items = await self._store.read(lambda c: jobs.versions(c, jobs.resolve(c, job, namespace)))
        return ListJobsResponse(items=items)

    async def stop(
        self, job: str, namespace: str = "", reason: str = "", *, principal: str = ""
    ) -> StopJobResponse:
        """Stop a job and all that runs for it; a `Conflict` where it ended by itself."""
        stopped = await self._store.transact(lambda t: submission.stop(t, job, namespace, reason), principal)
        return StopJobResponse(evaluation_id="" if stopped is None else self._ids())

    async def stop_all(self, reason: str) -> None:
        """Stop every job that is not over."""
        for job_id, _ in await self._store.read(jobs.active):
            # It may have ended by itself meanwhile.
            with contextlib.suppress(Conflict):
                await self.stop(job_id, reason=reason)

    async def delete(self, job: str, namespace: str = "", *, principal: str = "") -> list[str]:
        """Delete a job that is over; return the IDs of its executions, whose results may go now."""
        return await self._store.transact(lambda t: deletion.delete(t, job, namespace), principal)

    async def rerun(
        self, job: str, namespace: str = "", version: int = 0, reason: str = "", *, principal: str = ""
    ) -> RerunJobResponse:
        """Run a version of a job again as its next version."""
        spec = await self._store.read(lambda c: jobs.version(c, jobs.resolve(c, job, namespace), version))
        check_quota(self._settings.quotas, principal, spec)
        renewed = await self._renewed(spec, again=True)
        again = await self._store.transact(
            lambda t: submission.rerun(t, job, namespace, version, renewed), principal
        )
        return RerunJobResponse(evaluation_id=self._ids(), job_id=again.id, job_version=again.version)

    async def _renewed(self, job: Job, *, again: bool) -> Job:
        # Not in the transaction: an input may have to be looked at, on the disk.
        return await asyncio.to_thread(self._renew_links, job, again) if submission.has_links(job) else job

    async def diff(self, job: Job) -> tuple[str, list[str]]:
        """Compare a spec with the stored job of its name; returns diff and warnings."""
        name, namespace = submission.stored_namesake(job)
        prepared, warnings = submission.prepare(job, self._settings, None, self._ids)
        old = await self._store.read(lambda c: jobs.by_name(c, namespace, name))
        return submission.difference(old, prepared), warnings

    async def history(self, job: str, query: HistoryQuery) -> ListHistoryResponse:
        """Return a page of a job's history."""
        return await self._store.read(queries.list_history(job, query))

    async def executions(self, job: str, query: ExecutionQuery) -> ListExecutionsResponse:
        """Return a job's executions."""
        return await self._store.read(queries.list_executions(job, query))

    async def explain(
        self, job: str, namespace: str, may_see: JobRule, *, principal: str = ""
    ) -> Explanation:
        """Say why a job waits, or how it came to run where it did, without the names of jobs that are hidden."""
        cluster = Cluster(
            self._nodes.views(), self._nodes.states(), self._clock.now_ns(), self._settings.quotas
        )
        circumstances = await self._store.read(
            lambda c: read_circumstances(c, job, namespace, may_see, cluster)
        )
        ahead = self._waiting.ahead_of(circumstances.situation.job.id)
        if ahead:
            jobs_ahead = await self._store.read(lambda c: read_ahead(c, ahead, may_see))
            circumstances = dataclasses.replace(circumstances, ahead=jobs_ahead)
        return explain(circumstances, principal)

    async def results(
        self, job: str, namespace: str, sign: ResultSigner, version: int = 0
    ) -> ListResultsResponse:
        """Return the published results of a version of a job (0: the latest), signed for the caller."""
        published = await self._store.read(queries.list_results(job, namespace, version))
        # Credentials that sign may have to be renewed first.
        items = await asyncio.to_thread(lambda: [sign(spec) for spec in published])
        return ListResultsResponse(items=items)

    def logs(self, job: str, query: LogQuery) -> AsyncGenerator[LogFrame, None]:
        """Stream the output of an execution."""
        return self._logs.read(job, query)

    async def events(
        self, since: int | None, job: str = "", topics: Sequence[str] = ()
    ) -> AsyncGenerator[StreamEvent, None]:
        """Stream history rows of all jobs, or of one."""
        job_id = await self._store.read(lambda c: jobs.resolve(c, job, "")) if job else ""
        reader = self._stream.read(since, job_id, topics)
        try:
            async for event in reader:
                yield event
        finally:
            await reader.aclose()

    def progress(self, job_id: str, execution_id: str, node_id: str, reading: Reading) -> None:
        """Tell readers of the event stream how far a phase of an execution is (bytes, files); nothing is stored."""
        event = StreamEvent(
            seq=PASSING,
            time=rfc3339(self._clock.now_ns()),
            topic=Topic.PROGRESS,
            message=reading.phase,
            job=job_id,
            execution=execution_id,
            node=node_id,
            details=progress_details(reading),
        )
        self._stream.publish([event])

    async def active_jobs(self) -> int:
        """Return how many jobs are not over."""
        return await self._store.read(jobs.count_active)

    async def unfinished_jobs(self, texts: Sequence[str]) -> list[Job]:
        """Return the jobs that are not over and in whose specs one of some texts stands."""
        return await self._store.read(lambda c: jobs.unfinished_with(c, texts))

    async def finished_jobs(self, texts: Sequence[str]) -> list[Job]:
        """Return the jobs that are over and in whose specs one of some texts stands."""
        return await self._store.read(lambda c: jobs.finished_with(c, texts))

    async def unfinished_executions(self) -> list[str]:
        """Return the IDs of executions whose job is not over."""
        return await self._store.read(jobs.unfinished_executions)

    # ---- nodes

    async def nodes(self, query: NodeQuery) -> Sequence[NodeState]:
        """Return known nodes."""
        own = [state for state in self._own_state() if state.info.node_id not in self._nodes]
        return queries.list_nodes([*self._nodes.states(), *own], query)

    async def node(self, node_id: str) -> NodeState:
        """Return a node by ID or unique prefix."""
        for state in self._own_state():
            if node_id == state.info.node_id and node_id not in self._nodes:
                return state
        return self._nodes.resolve(node_id)

    def _own_state(self) -> list[NodeState]:
        """Describe this process where no compute half does; like official ones, it is in the list of nodes."""
        if self._own_info is None:
            return []
        return [joined(self._own_info(), Membership.APPROVED, ConnectionState(), self._started_ns, 0)]

    async def change_node(self, node_id: str, action: str, message: str = "") -> None:
        """Approve, reject or delete a node."""
        await self._nodes.change(node_id, action, message)

    # ---- what happens inside

    async def _message(self, node_id: str, envelope: Envelope) -> None:
        message = envelope.message
        if not isinstance(message, (BidResult, RunResult, ComputeError)):
            _log.warning(
                "node %s sent a %s, which is not for an orchestrator", node_id, type(message).__name__
            )
            return
        started_ns, failed = self._clock.now_ns(), True
        try:
            await self._store.transact(lambda transaction: store_report(transaction, node_id, message))
            failed = False
        finally:
            self._teller.processed(type(message).__name__, started_ns, self._clock.now_ns(), failed=failed)
        self._nodes.processed(node_id, envelope.seq)

    def _committed(self, changes: Changes) -> None:
        """Tell everybody about a commit; called in commit order, must not raise."""
        try:
            self._stream.publish(changes.events)
            for event in changes.events:
                self._watch.changed(event.job)
            self._dispatcher.add(changes.messages)
            for held in changes.held:
                self._waiting.hold(*held)
            for job in changes.ended:
                self._teller.ended(job)
            for job_id in changes.over:
                self._waiting.discard(job_id)
                self._for_quota.discard(job_id)
                self._broker.forget(job_id)
            for job_id, priority in changes.evaluate:
                self._broker.enqueue(job_id, priority)
            if self._waiting.free(execution_id for execution_id, _ in changes.freed):
                self._walk_soon()
            if changes.freed:
                self._for_quota.freed()
        except Exception:
            _log.exception("a commit could not be announced to all listeners")

    async def _evaluate_all(self) -> None:
        slots = asyncio.Semaphore(self._settings.workers)
        async with asyncio.TaskGroup() as group:
            while True:
                await slots.acquire()
                evaluation = await self._broker.dequeue()
                task = group.create_task(self._evaluate(evaluation), name=f"evaluate {evaluation.job_id}")
                task.add_done_callback(lambda _: slots.release())

    async def _evaluate(self, evaluation: Evaluation) -> None:
        with about(job=evaluation.job_id):
            await self._look(evaluation)

    async def _look(self, evaluation: Evaluation) -> None:
        started_ns = self._clock.now_ns()
        job_id, views, generation = evaluation.job_id, self._nodes.views(), self._nodes.generation
        try:
            outcome = await self._store.transact(
                lambda transaction: self._planner.evaluate(transaction, job_id, views)
            )
        except Exception as error:
            self.problems.failed(f"evaluating job {job_id}", error)
            self._teller.evaluated(None, 0, started_ns, self._clock.now_ns(), type(error).__name__)
            self._broker.nack(evaluation)
            return
        self.problems.clear(f"evaluating job {job_id}")
        self._teller.evaluated(outcome.job, outcome.placed, started_ns, self._clock.now_ns())
        if outcome.rest_s and outcome.job is not None and not outcome.job.is_terminal:
            await asyncio.sleep(outcome.rest_s)
        self._broker.ack(evaluation)
        try:
            self._follow_up(outcome)
        except Exception:
            _log.exception("the evaluation of job %s could not be followed up", job_id)
        # A node that went away meanwhile was looked through before this placed something there.
        if self._nodes.generation != generation and outcome.job is not None:
            self._broker.enqueue(job_id, evaluation.priority)

    def _follow_up(self, outcome: Outcome) -> None:
        job = outcome.job
        if job is None:
            return
        if outcome.again:
            self._broker.enqueue(job.id, job.priority)
        elif outcome.wakeup_ns is not None:
            self._broker.enqueue(job.id, job.priority, outcome.wakeup_ns)
        if outcome.claim is not None:
            self._for_quota.add(job, outcome.claim)
        else:
            self._for_quota.discard(job.id)
        if outcome.wish is None:
            self._waiting.discard(job.id)
            return
        self._waiting.add(job.id, job.priority, job.create_time, outcome.wish)
        if self._waiting.worth_a_walk(job.id, self._nodes.capacity()):
            self._walk_soon()

    def _walk_soon(self) -> None:
        """Wake waiting jobs once for all that is freed in this turn of the loop."""
        if not self._walk_due and self._running:
            self._walk_due = True
            asyncio.get_running_loop().call_soon(self._walk)

    def _walk(self) -> None:
        self._walk_due = False
        for job_id, priority in self._waiting.wake(self._nodes.capacity()):
            self._broker.enqueue(job_id, priority)

    def _node_joined(self) -> None:
        self._waiting.again()
        for job_id, priority in self._waiting.everyone():
            self._broker.enqueue(job_id, priority)

    def _node_freed(self) -> None:
        self._waiting.again()
        self._walk_soon()

    def _node_changed(self, node_id: str, what: str) -> None:
        now = rfc3339(self._clock.now_ns())
        event = StreamEvent(seq=PASSING, time=now, topic=Topic.NODE, message=f"Node {what}", node=node_id)
        self._stream.publish([event])

    def _node_gone(self, node_id: str) -> None:
        self._spawn(self._give_up(node_id), f"give up {node_id}")

    async def _give_up(self, node_id: str) -> None:
        try:
            affected = await self._store.read(lambda c: executions.live_jobs(c, node_id))
        except BacalhauError as error:
            _log.error("jobs on the lost node %s can't be read: %s", node_id, error)
            return
        for job_id in affected:
            self._broker.enqueue(job_id)
        self._node_joined()

    def _spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("%s ended with an error", task.get_name(), exc_info=error)
