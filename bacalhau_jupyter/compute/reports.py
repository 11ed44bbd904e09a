"""What the orchestrator is told about an execution, in the wire's words."""

from __future__ import annotations

from bacalhau_jupyter.compute.events import Act
from bacalhau_jupyter.compute.record import Record
from bacalhau_jupyter.lib.times import rfc3339
from bacalhau_jupyter.models.execution import RunCommandResult
from bacalhau_jupyter.models.history import Event, Topic
from bacalhau_jupyter.models.messages import BidResult, ComputeError, RunResult, ToOrchestrator
from bacalhau_jupyter.models.spec import SpecConfig

RUNTIME = "Runtime"
"""Detail of a final event: what ran the task ("Docker Engine 27.1"), so that it is never hidden."""


def report(act: Act, record: Record, now_ns: int) -> ToOrchestrator:
    """Return the message that a report instruction asks for."""
    execution = record.execution
    job_id = execution.job_id or (execution.job.id if execution.job else "")
    job_type = execution.job.type if execution.job else ""
    if act is Act.REPORT_RESULT:
        return RunResult(
            execution_id=record.id,
            job_id=job_id,
            job_type=job_type,
            events=[*record.notes, _event("Completed successfully", Topic.EXECUTION, record, now_ns)],
            publish_result=record.published or SpecConfig(),
            run_command_result=record.output or RunCommandResult(),
        )
    if act is Act.REPORT_BID:
        return BidResult(execution_id=record.id, job_id=job_id, job_type=job_type, accepted=True)
    # Alone: official orchestrators take the first event for the reason.
    events = [_fault_event(record, now_ns)]
    if act is Act.REPORT_REFUSAL:
        return BidResult(
            execution_id=record.id, job_id=job_id, job_type=job_type, accepted=False, events=events
        )
    return ComputeError(execution_id=record.id, job_id=job_id, job_type=job_type, events=events)


def _fault_event(record: Record, now_ns: int) -> Event:
    if record.fault is None:
        return _event("the execution failed", Topic.EXECUTION, record, now_ns)
    return _event(record.fault.message, record.fault.topic, record, now_ns, record.fault.details)


def _event(
    message: str, topic: str, record: Record, now_ns: int, details: dict[str, str] | None = None
) -> Event:
    told = dict(details or {})
    if record.runtime:
        told[RUNTIME] = record.runtime
    return Event(message=message, topic=topic, timestamp=rfc3339(now_ns), details=told)
