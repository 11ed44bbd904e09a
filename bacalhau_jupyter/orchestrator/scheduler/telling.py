"""What an orchestrator tells of its work: a span for each job and each look at one, and the figures."""

from __future__ import annotations

from bacalhau_jupyter.lib.clock import SECOND
from bacalhau_jupyter.lib.telemetry.base import Readings, Span, Telemetry, Value
from bacalhau_jupyter.models.jobs.job import Job, JobStateType
from bacalhau_jupyter.models.jobs.trace import job_link, parent_link

_JOB = "job"
_EVALUATION = "pkg/orchestrator.Worker.processEvaluation"


class JobTeller:
    """Tells of jobs.

    Parameters
    ----------
    telemetry
        Where to.
    node_id
        Of this node.
    """

    def __init__(self, telemetry: Telemetry, node_id: str) -> None:
        self._telemetry = telemetry
        self._node_id = node_id
        self.is_on = telemetry.traces or telemetry.metrics

    def observe(self, name: str, readings: Readings) -> None:
        """Let a level be asked for."""
        self._telemetry.observe(name, readings)

    def evaluated(
        self, job: Job | None, placed: int, started_ns: int, ended_ns: int, error: str = ""
    ) -> None:
        """Tell of a look at a job; None where there is no such job, or it could not be read."""
        if not self.is_on:
            return
        attributes = {"outcome": "failure" if error else "success"}
        if job is not None:
            attributes |= {"job_type": job.type, "scheduler_type": job.type}
        self._telemetry.count("scheduler.process.count", attributes=attributes)
        self._telemetry.measure("scheduler.process.duration", (ended_ns - started_ns) / SECOND, attributes)
        if placed:
            self._telemetry.count("scheduler.executions.created.total", placed, attributes)
            self._telemetry.measure("scheduler.executions.created", placed, attributes)
        if job is None or not self._telemetry.traces:
            return
        link = job_link(job, self._telemetry.samples)
        named: dict[str, Value] = {"jobid": job.id, "nodeid": self._node_id, "executions.created": placed}
        self._telemetry.span(Span(_EVALUATION, link.next(), link, started_ns, ended_ns, named, error=error))

    def ended(self, job: Job) -> None:
        """Tell of a job that is over."""
        if not self._telemetry.traces:
            return
        link = job_link(job, self._telemetry.samples)
        named = {
            "jobid": job.id,
            "nodeid": self._node_id,
            "job_type": job.type,
            "outcome": job.state.state_type.value.lower(),
        }
        error = named["outcome"] if job.state.state_type is JobStateType.FAILED else ""
        self._telemetry.span(
            Span(_JOB, link, parent_link(job), job.create_time, job.modify_time, named, error=error)
        )

    def processed(self, kind: str, started_ns: int, ended_ns: int, *, failed: bool) -> None:
        """Tell of a message of a compute node."""
        if not self.is_on:
            return
        attributes = {"message_type": kind, "outcome": "failure" if failed else "success"}
        self._telemetry.count("message.handler.process.count", attributes=attributes)
        duration_s = (ended_ns - started_ns) / SECOND
        self._telemetry.measure("message.handler.process.duration", duration_s, attributes)
