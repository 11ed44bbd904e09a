"""The orchestrator: everything in this room behind one service, no HTTP in it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

from bacalhau_jupyter.lib.clock import Clock, SystemClock
from bacalhau_jupyter.lib.database import Database
from bacalhau_jupyter.lib.ids import IdSource, uuid4
from bacalhau_jupyter.lib.problems import Problems
from bacalhau_jupyter.lib.telemetry.base import SILENT, Telemetry
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.records.explanation import Explanation
from bacalhau_jupyter.models.records.history import StreamEvent
from bacalhau_jupyter.models.records.node import NodeInfo, NodeState
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
from bacalhau_jupyter.orchestrator import queries
from bacalhau_jupyter.orchestrator.base import (
    ExecutionQuery,
    HistoryQuery,
    JobQuery,
    LogQuery,
    NodeQuery,
    ResultSigner,
)
from bacalhau_jupyter.orchestrator.explaining.reading import JobRule
from bacalhau_jupyter.orchestrator.parts import Parts, Surroundings
from bacalhau_jupyter.orchestrator.peers.offers import FarAddress, nowhere
from bacalhau_jupyter.orchestrator.settings import OrchestratorSettings
from bacalhau_jupyter.orchestrator.store import executions, jobs
from bacalhau_jupyter.orchestrator.submitting import submission
from bacalhau_jupyter.orchestrator.uploads import UploadProblem, UploadSigner, no_problem
from bacalhau_jupyter.transport.base import OrchestratorTransport

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
        Why nodes of other machines could not reach what such links lead to.
    upload_signer_here
        Signs such links for nodes of this machine where the others' lead nowhere.
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
        upload_signer_here: UploadSigner | None = None,
        problems: Problems | None = None,
        renew_links: submission.LinkRenewal | None = None,
        telemetry: Telemetry = SILENT,
        own_info: Callable[[], NodeInfo] | None = None,
        far_address: FarAddress = nowhere,
    ) -> None:
        self.problems = problems or Problems(clock)
        self._transport = transport
        self._parts = Parts(
            settings,
            database,
            transport,
            Surroundings(
                clock=clock or SystemClock(),
                ids=ids,
                problems=self.problems,
                telemetry=telemetry,
                upload_signer=upload_signer,
                upload_problem=upload_problem,
                upload_signer_here=upload_signer_here,
                renew_links=renew_links or submission.unchanged,
                own_info=own_info,
                far_address=far_address,
            ),
        )
        self._store = self._parts.store

    # ---- life

    async def start(self) -> None:
        """Pick up where the last process stopped, then answer nodes."""
        active, held = await self._store.read(lambda c: (jobs.active(c), executions.held(c)))
        self._parts.evaluations.hold(held)
        await self._parts.dispatcher.start()
        await self._parts.nodes.load()
        self._parts.silence.start()
        self._parts.evaluations.start(self._parts.register, active)
        await self._transport.serve(self._parts.nodes.control, self._parts.received.take)

    async def close(self) -> None:
        """Stop answering and evaluating; what is not finished goes on at the next start."""
        self._parts.stream.close()
        await self._transport.close()
        await self._parts.evaluations.stop(STOP_S)
        await self._parts.dispatcher.stop()
        await self._parts.silence.stop()
        await self._parts.nodes.save()

    def wake(self) -> None:
        """Look at the clock again (after a test moved it)."""
        self._parts.evaluations.broker.wake()
        self._parts.silence.wake()

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
        return await self._parts.requests.submit(job, force=force, client=client, principal=principal)

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
        return await self._parts.requests.stop(job, namespace, reason, principal=principal)

    async def stop_all(self, reason: str) -> None:
        """Stop every job that is not over."""
        await self._parts.requests.stop_all(reason)

    async def delete(self, job: str, namespace: str = "", *, principal: str = "") -> list[str]:
        """Delete a job that is over; return the IDs of its executions, whose results may go now."""
        return await self._parts.requests.delete(job, namespace, principal=principal)

    async def rerun(
        self, job: str, namespace: str = "", version: int = 0, reason: str = "", *, principal: str = ""
    ) -> RerunJobResponse:
        """Run a version of a job again as its next version."""
        return await self._parts.requests.rerun(job, namespace, version, principal=principal)

    async def diff(self, job: Job) -> tuple[str, list[str]]:
        """Compare a spec with the stored job of its name; returns diff and warnings."""
        return await self._parts.requests.diff(job)

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
        return await self._parts.explainer.explain(job, namespace, may_see, principal)

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
        return self._parts.logs.read(job, query)

    async def events(
        self, since: int | None, job: str = "", topics: Sequence[str] = ()
    ) -> AsyncGenerator[StreamEvent, None]:
        """Stream history rows of all jobs, or of one."""
        job_id = await self._store.read(lambda c: jobs.resolve(c, job, "")) if job else ""
        reader = self._parts.stream.read(since, job_id, topics)
        try:
            async for event in reader:
                yield event
        finally:
            await reader.aclose()

    def progress(self, job_id: str, execution_id: str, node_id: str, reading: Reading) -> None:
        """Tell readers of the event stream how far a phase of an execution is (bytes, files); nothing is stored."""
        self._parts.news.progress(job_id, execution_id, node_id, reading)

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
        await self._parts.uploads.check_expected(execution_id)

    # ---- nodes

    async def nodes(self, query: NodeQuery) -> Sequence[NodeState]:
        """Return known nodes."""
        return self._parts.shown.list(query)

    async def node(self, node_id: str) -> NodeState:
        """Return a node by ID or unique prefix."""
        return self._parts.shown.get(node_id)

    async def change_node(self, node_id: str, action: str, message: str = "") -> None:
        """Approve, reject or delete a node."""
        await self._parts.decisions.change(node_id, action, message)

    async def cut_off(self, reason: str) -> None:
        """Note that nodes of other processes can't be heard any more."""
        await self._parts.nodes.cut(reason)
