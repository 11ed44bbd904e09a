"""Reports about an execution to the orchestrator, in the wire's words."""

from __future__ import annotations

from collections.abc import Sequence

from bacalhau_jupyter.compute.execution.absence import link_notes
from bacalhau_jupyter.compute.execution.events import Act
from bacalhau_jupyter.compute.execution.record import ExecutionRecord
from bacalhau_jupyter.lib.times import rfc3339
from bacalhau_jupyter.models.jobs.ports import port_text
from bacalhau_jupyter.models.jobs.spec import SpecConfig
from bacalhau_jupyter.models.records.execution import RUNTIME, RunCommandResult
from bacalhau_jupyter.models.records.history import EXITED, LEFT_OUT, LEFT_OUT_COUNT, STARTED, Event, Topic
from bacalhau_jupyter.models.wire.messages import BidResult, ComputeError, RunResult, ToOrchestrator

_NAMED = 10
_LISTED = 100


def report(act: Act, record: ExecutionRecord, now_ns: int) -> ToOrchestrator:
    """Return the message that a report instruction asks for."""
    execution = record.execution
    job_id = execution.job_id or (execution.job.id if execution.job else "")
    job_type = execution.job.type if execution.job else ""
    if act is Act.REPORT_RESULT:
        return RunResult(
            execution_id=record.id,
            job_id=job_id,
            job_type=job_type,
            events=[
                *record.notes,
                *_left_out(record, now_ns),
                _event("Completed successfully", Topic.EXECUTION, record, now_ns),
            ],
            publish_result=record.published or SpecConfig(),
            run_command_result=record.output or RunCommandResult(),
        )
    if act is Act.REPORT_BID:
        return BidResult(
            execution_id=record.id,
            job_id=job_id,
            job_type=job_type,
            accepted=True,
            ports=list(record.ports),
            events=_bid_events(record, now_ns),
        )
    # First: official orchestrators take the first event for the reason, and nothing else of it.
    events = [_fault_event(record, now_ns), *link_notes(record), *_left_out(record, now_ns)]
    if act is Act.REPORT_REFUSAL:
        return BidResult(
            execution_id=record.id, job_id=job_id, job_type=job_type, accepted=False, events=events
        )
    return ComputeError(
        execution_id=record.id,
        job_id=job_id,
        job_type=job_type,
        events=events,
        publish_result=record.published,
        run_command_result=record.output,
    )


def left_out_text(lines: Sequence[str]) -> str:
    """Say what is not in the published results."""
    more = f"; and {len(lines) - _NAMED} more" if len(lines) > _NAMED else ""
    return "left out of the results: " + "; ".join(lines[:_NAMED]) + more


def _left_out(record: ExecutionRecord, now_ns: int) -> list[Event]:
    if not record.left_out:
        return []
    return [
        Event(
            message=left_out_text(record.left_out),
            topic=Topic.PUBLISHING,
            timestamp=rfc3339(now_ns),
            details=_left_out_details(record),
        )
    ]


def _left_out_details(record: ExecutionRecord) -> dict[str, str]:
    if not record.left_out:
        return {}
    return {LEFT_OUT: "\n".join(record.left_out[:_LISTED]), LEFT_OUT_COUNT: str(len(record.left_out))}


def _bid_events(record: ExecutionRecord, now_ns: int) -> list[Event] | None:
    messages = list(record.bid_notes)
    if record.ports:
        messages.insert(0, "Ports: " + "; ".join(port_text(port) for port in record.ports))
    stamp = rfc3339(now_ns)
    return [Event(message=text, topic=Topic.EXECUTION_SCANNING, timestamp=stamp) for text in messages] or None


def _fault_event(record: ExecutionRecord, now_ns: int) -> Event:
    if record.fault is None:
        return _event("the execution failed", Topic.EXECUTION, record, now_ns)
    return _event(record.fault.message, record.fault.topic, record, now_ns, record.fault.details)


def _event(
    message: str, topic: str, record: ExecutionRecord, now_ns: int, details: dict[str, str] | None = None
) -> Event:
    all_details = {**(details or {}), **_left_out_details(record)}
    if record.runtime:
        all_details[RUNTIME] = record.runtime
    for name, moment_ns in ((STARTED, record.started_ns), (EXITED, record.exited_ns)):
        if moment_ns:
            all_details[name] = rfc3339(moment_ns)
    return Event(message=message, topic=topic, timestamp=rfc3339(now_ns), details=all_details)
