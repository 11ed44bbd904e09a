"""What a compute node tells of its executions: a span for each, and for each of their phases, and the figures."""

from __future__ import annotations

from bacalhau_jupyter.compute.execution.events import Act, BidRefused, Event, Faulted, Unpublished
from bacalhau_jupyter.compute.execution.record import ExecutionRecord, Phase
from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.lib.telemetry.base import Attributes, Kind, Span, Telemetry
from bacalhau_jupyter.lib.telemetry.trace import Link
from bacalhau_jupyter.models.jobs.job import META_TRACE, Job
from bacalhau_jupyter.models.jobs.trace import job_link, parent_link
from bacalhau_jupyter.models.records.execution import Execution

_MS = 1_000_000
_RUN = "pkg/compute.ExecutorBuffer.Run"
_NAMES = {
    Act.EVALUATE: "pkg/compute.Bidder.RunBidding",
    Act.FETCH: "prepare inputs",
    Act.START: "{engine}.container.start",
    Act.WAIT: "{engine}.container.wait",
    Act.PUBLISH: "pkg/publisher/{publisher}.Publisher.PublishResult",
}
_SOURCES = {
    "inline": "pkg/storage/inline.InlineStorage",
    "ipfs": "pkg/storage/ipfs.StorageProvider",
    "localdirectory": "pkg/storage/local.StorageProvider",
    "s3": "pkg/storage/s3.StorageProvider",
    "urldownload": "pkg/storage/url/urldownload.StorageProvider",
}
"""Types of inputs, and how the official node calls what fetches them."""


class ExecutionTeller:
    """Tells of executions.

    Parameters
    ----------
    telemetry
        Where to.
    clock
        For ends of phases.
    node_id
        Of this node.
    """

    def __init__(self, telemetry: Telemetry, clock: Clock, node_id: str) -> None:
        self._telemetry = telemetry
        self._clock = clock
        self._node_id = node_id

    @property
    def is_on(self) -> bool:
        """Whether anybody listens."""
        return self._telemetry.traces or self._telemetry.metrics

    def link(self, execution: Execution) -> Link | None:
        """Return the span of an execution; None where no traces are told."""
        job = execution.job
        if job is None or not self._telemetry.traces:
            return None
        return job_link(job, self._telemetry.samples).part(execution.id)

    def header(self, execution: Execution) -> str:
        """Return the ``traceparent`` for the task; its client's own where this node tells no traces."""
        link = self.link(execution)
        if link is not None:
            return link.header
        job = execution.job
        return job.meta[META_TRACE] if job is not None and parent_link(job) is not None else ""

    def received(self) -> None:
        """Tell that an execution was offered."""
        self._telemetry.count("jobs_received")

    def active(self, record: ExecutionRecord, change: int) -> None:
        """Tell that a container runs, or does not run any more."""
        job = record.execution.job
        if job is not None and job.task.engine.is_type("docker"):
            self._telemetry.count("docker_active_executions", change)

    def fetched(self, execution: Execution, source: str, started_ns: int, error: str = "") -> None:
        """Tell how long an input took."""
        if not self.is_on:
            return
        ended_ns, kind = self._clock.now_ns(), source.lower()
        self._telemetry.measure(
            "job_storage_prepare_duration_milliseconds", _ms(started_ns, ended_ns), {"type": source}
        )
        name = _SOURCES.get(kind, f"pkg/storage/{kind}.StorageProvider")
        self._span(f"{name}.PrepareStorage", execution, started_ns, ended_ns, error)

    def acted(self, act: Act, record: ExecutionRecord, started_ns: int, event: Event) -> None:
        """Tell how long a phase took, and how it ended."""
        job = record.execution.job
        if job is None or not self.is_on:
            return
        ended_ns = self._clock.now_ns()
        error = "failed" if isinstance(event, (Faulted, Unpublished)) else ""
        if isinstance(event, Faulted) and act is Act.EVALUATE:
            self._telemetry.count("execution_bidding_errors")
        if isinstance(event, Faulted) and act is Act.START:
            self._telemetry.count("execution_run_errors")
        if act is Act.PUBLISH:
            measured = _ms(started_ns, ended_ns)
            self._telemetry.measure("job_publish_duration_milliseconds", measured, job_attributes(job))
        if act is Act.FETCH and not job.task.input_sources:
            return
        if act is Act.PUBLISH and job.task.publisher.is_empty:
            return
        name = _NAMES[act].format(
            engine=job.task.engine.type.lower(), publisher=job.task.publisher.type.lower()
        )
        is_client = job.task.engine.is_type("docker") and act in (Act.START, Act.WAIT)
        outcome = {"outcome": "refused"} if isinstance(event, BidRefused) else {}
        self._span(name, record.execution, started_ns, ended_ns, error, outcome, is_client=is_client)

    def ended(self, record: ExecutionRecord) -> None:
        """Tell of an execution that is over; one that never began is not told."""
        job = record.execution.job
        if job is None or not self.is_on or not record.accepted_ns:
            return
        ended_ns = record.ended_ns or self._clock.now_ns()
        if record.phase is Phase.COMPLETED:
            self._telemetry.count("jobs_completed")
        elif record.phase is Phase.FAILED:
            self._telemetry.count("jobs_failed")
        self._telemetry.measure(
            "job_duration_milliseconds", _ms(record.accepted_ns, ended_ns), job_attributes(job)
        )
        link = self.link(record.execution)
        if link is None:
            return
        attributes = {**self._named(record.execution), **job_attributes(job), "outcome": record.phase.value}
        error = record.phase.value if record.phase is Phase.FAILED else ""
        above = job_link(job, self._telemetry.samples)
        self._telemetry.span(Span(_RUN, link, above, record.accepted_ns, ended_ns, attributes, error=error))

    def _span(
        self,
        name: str,
        execution: Execution,
        started_ns: int,
        ended_ns: int,
        error: str,
        more: Attributes | None = None,
        *,
        is_client: bool = False,
    ) -> None:
        link = self.link(execution)
        if link is None:
            return
        attributes = {**self._named(execution), **(more or {})}
        if is_client:
            attributes["peer.service"] = "docker"
        kind = Kind.CLIENT if is_client else Kind.INTERNAL
        self._telemetry.span(
            Span(name, link.next(), link, started_ns, ended_ns, attributes, kind=kind, error=error)
        )

    def _named(self, execution: Execution) -> dict[str, str | int | float | bool]:
        return {"jobid": execution.job_id, "nodeid": self._node_id, "executionid": execution.id}


def job_attributes(job: Job) -> dict[str, str]:
    """Return what figures are told apart by: kinds only, no names."""
    task = job.task
    return {
        "job_type": job.type,
        "task_engine": task.engine.type.lower(),
        "task_network": task.network.type.value,
        "task_publisher": task.publisher.type.lower(),
    }


def _ms(started_ns: int, ended_ns: int) -> int:
    return max(0, ended_ns - started_ns) // _MS
