"""The orchestrator: everything in this room wired together behind one service, no HTTP in it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import sqlite3
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

from bacalhau_jupyter.lib.clock import Clock, SystemClock
from bacalhau_jupyter.lib.database import Database
from bacalhau_jupyter.lib.ids import IdSource, uuid4
from bacalhau_jupyter.lib.problems import Problems
from bacalhau_jupyter.lib.telemetry.base import SILENT, Telemetry
from bacalhau_jupyter.lib.times import rfc3339
from bacalhau_jupyter.models.errors import Conflict
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
from bacalhau_jupyter.models.wire.messages import AskForBid, BidResult, ComputeError, RunResult, ToCompute
from bacalhau_jupyter.orchestrator import queries, submission
from bacalhau_jupyter.orchestrator.base import (
    ExecutionQuery,
    HistoryQuery,
    JobQuery,
    LogQuery,
    NodeQuery,
    ResultSigner,
)
from bacalhau_jupyter.orchestrator.dispatcher import Dispatcher
from bacalhau_jupyter.orchestrator.evaluating.evaluations import Evaluations
from bacalhau_jupyter.orchestrator.explaining.explain import explain
from bacalhau_jupyter.orchestrator.explaining.reading import Cluster, JobRule, read_ahead, read_circumstances
from bacalhau_jupyter.orchestrator.logs import JobWatch, LogReader
from bacalhau_jupyter.orchestrator.members import joined
from bacalhau_jupyter.orchestrator.membership import NodeListener, Nodes
from bacalhau_jupyter.orchestrator.peers import offers
from bacalhau_jupyter.orchestrator.peers.offers import FarAddress, nowhere
from bacalhau_jupyter.orchestrator.peers.register import Register
from bacalhau_jupyter.orchestrator.quotas.reading import check as check_quota
from bacalhau_jupyter.orchestrator.reports import store_report
from bacalhau_jupyter.orchestrator.scheduler.telling import JobTeller
from bacalhau_jupyter.orchestrator.settings import OrchestratorSettings
from bacalhau_jupyter.orchestrator.store import deletion, executions, jobs
from bacalhau_jupyter.orchestrator.store.store import Store
from bacalhau_jupyter.orchestrator.store.transaction import Changes
from bacalhau_jupyter.orchestrator.stream import PASSING, EventStream, progress_details
from bacalhau_jupyter.orchestrator.uploads import UploadProblem, Uploads, UploadSigner, no_problem
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
        Signs links by which nodes upload results to a bucket of the orchestrator's, or to its disk; None for neither.
    upload_problem
        Why nodes could not reach what such links lead to.
    problems
        List of failed background tasks.
    renew_links
        Makes links of this node in a job live as long as the job may wait; without it they stay as they are.
    telemetry
        Who is told of jobs.
    own_info
        Describes the process of an orchestrator that runs no jobs itself.
    far_address
        Where nodes of other machines reach this one; asked whenever it matters.
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
        upload_problem: UploadProblem = no_problem,
        problems: Problems | None = None,
        renew_links: submission.LinkRenewal | None = None,
        telemetry: Telemetry = SILENT,
        own_info: Callable[[], NodeInfo] | None = None,
        far_address: FarAddress = nowhere,
    ) -> None:
        self._settings = settings
        self._own_info = own_info
        self._far_address = far_address
        self._renew_links = renew_links or submission.unchanged
        self.problems = problems or Problems(clock)
        self._clock = clock or SystemClock()
        self._started_ns = self._clock.now_ns()
        self._ids = ids
        self._transport = transport
        self._store = Store(database, self._clock, self._committed)
        self._teller = JobTeller(telemetry, settings.node_id)
        self._uploads = Uploads(self._store, upload_signer, upload_problem)
        self._evaluations = Evaluations(
            settings,
            self._store,
            clock=self._clock,
            ids=ids,
            teller=self._teller,
            problems=self.problems,
            address_problem=self._address_problem,
        )
        self._watch = JobWatch()
        self._stream = EventStream(self._store, settings.stream_queue)
        self._dispatcher = Dispatcher(
            self._store, transport, f"orchestrator-{settings.node_id}", self.problems, self._shaped
        )
        self._register = Register(self._clock)
        self._nodes = Nodes(
            self._store,
            self._dispatcher,
            self._register,
            clock=self._clock,
            settings=settings,
            uploads=self._uploads,
            listener=NodeListener(
                self._evaluations.node_joined,
                self._evaluations.node_freed,
                self._evaluations.node_gone,
                self._node_changed,
            ),
            problems=self.problems,
            way_to=transport.way_to,
            cut=transport.cut,
        )
        self._logs = LogReader(self._store, transport, self._watch, self._is_official)

    # ---- life

    async def start(self) -> None:
        """Pick up where the last process stopped, then answer nodes."""
        active, held = await self._store.read(lambda c: (jobs.active(c), executions.held(c)))
        self._evaluations.hold(held)
        await self._dispatcher.start()
        await self._nodes.start()
        self._evaluations.start(self._register, active)
        await self._transport.serve(self._nodes.control, self._message)

    async def close(self) -> None:
        """Stop answering and evaluating; what is not finished goes on at the next start."""
        self._stream.close()
        await self._transport.close()
        await self._evaluations.stop(STOP_S)
        await self._dispatcher.stop()
        await self._nodes.stop()

    def wake(self) -> None:
        """Look at the clock again (after a test moved it)."""
        self._evaluations.broker.wake()
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
        self._check_size(prepared)
        self._check_uploads(prepared)
        renewed = await self._renewed(prepared, again=False)
        stored = await self._evaluations.add(
            renewed, lambda transaction: submission.submit(transaction, renewed, force), principal
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
        self._check_uploads(spec)
        renewed = await self._renewed(spec, again=True)
        again = await self._store.transact(
            lambda t: submission.rerun(t, job, namespace, version, renewed), principal
        )
        return RerunJobResponse(evaluation_id=self._ids(), job_id=again.id, job_version=again.version)

    def _check_size(self, job: Job) -> None:
        limits = [
            node.way.payload_limit for node in self._register.views() if not (node.lost or node.rejected)
        ]
        if any(limit is not None for limit in limits):
            submission.check_size(job, limits)

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
            self._register.views(),
            self._register.states(),
            self._clock.now_ns(),
            self._settings.quotas,
            self._address_problem,
        )
        circumstances = await self._store.read(
            lambda c: read_circumstances(c, job, namespace, may_see, cluster)
        )
        ahead = self._evaluations.waiting.ahead_of(circumstances.situation.job.id)
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

    async def check_expected(self, execution_id: str) -> None:
        """Refuse results of an execution that is over, or of a job that was deleted."""
        await self._uploads.check_expected(execution_id)

    # ---- nodes

    async def nodes(self, query: NodeQuery) -> Sequence[NodeState]:
        """Return known nodes."""
        own = [state for state in self._own_state() if state.info.node_id not in self._register]
        return queries.list_nodes([*self._register.states(), *own], query)

    async def node(self, node_id: str) -> NodeState:
        """Return a node by ID or unique prefix."""
        for state in self._own_state():
            if node_id == state.info.node_id and node_id not in self._register:
                return state
        return self._register.resolve(node_id)

    def _own_state(self) -> list[NodeState]:
        """Describe this process where no compute half does; like official ones, it is in the list of nodes."""
        if self._own_info is None:
            return []
        return [joined(self._own_info(), Membership.APPROVED, ConnectionState(), self._started_ns, 0)]

    async def change_node(self, node_id: str, action: str, message: str = "") -> None:
        """Approve, reject or delete a node."""
        await self._nodes.change(node_id, action, message)

    async def cut_off(self, reason: str) -> None:
        """Note that nodes of other processes can't be heard any more."""
        await self._nodes.cut(reason)

    # ---- what happens inside

    def _address_problem(self, job: Job) -> str:
        return offers.address_problem(job, self._far_address()) or self._uploads.problem_of(job)

    def _check_uploads(self, job: Job) -> None:
        # A node of this process needs no address for it.
        if self._own_info is not None:
            self._uploads.check(job)

    def _is_official(self, node_id: str) -> bool:
        # What runs in this process is ours, whatever it says.
        return self._transport.way_to(node_id).is_far and self._register.is_stock(node_id)

    def _shaped(self, node_id: str, message: ToCompute) -> ToCompute:
        if not self._transport.way_to(node_id).is_far:
            return message
        job = message.execution.job if isinstance(message, AskForBid) else None
        # Only links need the address, which takes longer to find than a message to be sent.
        far_address = self._far_address() if job is not None and offers.needs_address(job) else ""
        return offers.shaped(message, is_stock=self._register.is_stock(node_id), far_address=far_address)

    async def _message(self, node_id: str, envelope: Envelope) -> None:
        message = envelope.message
        if not isinstance(message, (BidResult, RunResult, ComputeError)):
            _log.warning(
                "node %s sent a %s, which is not for an orchestrator", node_id, type(message).__name__
            )
            return
        started_ns, failed = self._clock.now_ns(), True
        try:
            clock_ns = await self._evaluations.transact(
                message.job_id, lambda transaction: store_report(transaction, node_id, message)
            )
            failed = False
        finally:
            self._teller.processed(type(message).__name__, started_ns, self._clock.now_ns(), failed=failed)
        self._nodes.processed(node_id, envelope.seq, clock_ns)

    def _committed(self, changes: Changes) -> None:
        """Tell everybody about a commit; called in commit order, must not raise."""
        try:
            self._stream.publish(changes.events)
            for event in changes.events:
                self._watch.changed(event.job)
            self._dispatcher.add(changes.messages)
            for job in changes.ended:
                self._teller.ended(job)
            self._evaluations.committed(changes)
        except Exception:
            _log.exception("a commit could not be announced to all listeners")

    def _node_changed(self, node_id: str, what: str) -> None:
        now = rfc3339(self._clock.now_ns())
        event = StreamEvent(seq=PASSING, time=now, topic=Topic.NODE, message=f"Node {what}", node=node_id)
        self._stream.publish([event])
