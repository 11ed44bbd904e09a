"""What compute nodes report: bids, results, errors. Idempotent per execution; stored before it is acknowledged."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from bacalhau_jupyter.lib.times import rfc3339
from bacalhau_jupyter.models.codec import encode
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.spec import SpecConfig, replace
from bacalhau_jupyter.models.records.execution import (
    ComputeState,
    DesiredState,
    DesiredStateType,
    Execution,
    ExecutionStateType,
)
from bacalhau_jupyter.models.records.history import Event, Topic
from bacalhau_jupyter.models.records.published import is_own_publication
from bacalhau_jupyter.models.wire.messages import BidResult, ComputeError, RunResult, ToOrchestrator
from bacalhau_jupyter.orchestrator.peers import absence, late, reported
from bacalhau_jupyter.orchestrator.store import executions, jobs
from bacalhau_jupyter.orchestrator.store.transaction import Transaction

_log = logging.getLogger(__name__)

RESULT_LIMIT = 64 * 1024
"""Most bytes of the reference to a published result."""


def store_report(transaction: Transaction, node_id: str, message: ToOrchestrator) -> int:
    """Store what a node reported and ask for an evaluation of the job.

    Unknown executions, repeated reports and reports that come too late are taken and ignored: sending them again would
    not make them better.

    Returns
    -------
    int
        By how much at least the node's clock is ahead (nanoseconds; negative: behind; 0 if it may be right).
    """
    before = executions.get(transaction.connection, message.execution_id)
    if before is None:
        _log.info("node %s reports about an execution that does not exist any more", node_id)
        return 0
    if before.node_id != node_id:
        _log.warning(
            "node %s reported about execution %s, which is that of node %s; it was not believed",
            node_id,
            before.id,
            before.node_id,
        )
        return 0
    message = reported.bounded(message)
    events, clock_ns = reported.by_our_clock(message.events or (), before.create_time, transaction.now_ns)
    events = absence.untold(transaction, before.job_id, before.id, events)
    message = replace(message, events=events or None)
    message = _believable(transaction, before, message)
    job = jobs.get(transaction.connection, before.job_id)
    if job is None:
        return clock_ns
    if isinstance(message, RunResult) and late.was_given_up(before):
        _late(transaction, job, before, message)
        return clock_ns
    if isinstance(message, BidResult):
        after, event = _bid(before, message, transaction.now_ns)
    elif isinstance(message, RunResult):
        after, event = _run(before, message, transaction.now_ns)
    else:
        after, event = _error(before, message, transaction.now_ns)
    if after is None:
        return clock_ns
    if job.is_long_running and isinstance(message, RunResult):
        after = _unexpected(after)
    _store(transaction, job, before, after, message.events or ([event] if event is not None else []))
    return clock_ns


def _believable(transaction: Transaction, before: Execution, message: ToOrchestrator) -> ToOrchestrator:
    """Return a report, or the failure that it is where its result can't be the execution's own."""
    published = None if isinstance(message, BidResult) else message.publish_result
    problem = _foreign(before, published, lambda: _publisher(transaction, before))
    if not problem:
        return message
    _log.warning("node %s, execution %s: %s", before.node_id, before.id, problem)
    event = Event(message=problem, topic=Topic.PUBLISHING, details={"IsError": "true"})
    return ComputeError(execution_id=message.execution_id, job_id=message.job_id, events=[event])


def _late(transaction: Transaction, job: Job, before: Execution, message: RunResult) -> None:
    """Store the result of an execution that was given up, if its job can use it."""
    is_counted = late.counts(transaction.connection, job, before)
    words = late.sentence(transaction.connection, job, before, is_counted=is_counted)
    note = transaction.event(Topic.EXECUTION, words)
    if is_counted:
        after, done = _result(before, message, transaction.now_ns)
        events = [note, *(message.events or [done])]
    else:
        after, events = before, [note]
    state = replace(after.compute_state, details={**after.compute_state.details, late.LATE: "true"})
    _store(transaction, job, before, replace(after, compute_state=state), events)


def _store(
    transaction: Transaction, job: Job, before: Execution, after: Execution, events: Sequence[Event]
) -> None:
    after = transaction.change_execution(before, after, reported=True)
    for event in events:
        shown = event if event.timestamp else replace(event, timestamp=rfc3339(transaction.now_ns))
        # History rows carry the version that the execution belongs to.
        transaction.record(replace(job, version=after.job_version), shown, after)
    transaction.evaluate(job)


def _publisher(transaction: Transaction, execution: Execution) -> SpecConfig:
    """Return the publisher of the job as it was when the execution was made."""
    version = execution.job_version
    job = jobs.specs(transaction.connection, execution.job_id, {version}).get(version)
    return job.task.publisher if job is not None and job.tasks else SpecConfig()


def _foreign(before: Execution, published: SpecConfig | None, publisher: Callable[[], SpecConfig]) -> str:
    """Say why a published reference is not this execution's own; empty when it is, or nobody signs for it here.

    Links to these references are signed here, for every caller who may read this job: a node must not be able to
    point to the results of another one.
    """
    if published is None:
        return ""
    if (size := len(encode(published))) > RESULT_LIMIT:
        return f"the node reported a result in {size:,} bytes, and {RESULT_LIMIT:,} are the most"
    if published.is_type("s3"):
        own_place = is_own_publication(
            publisher(), published, job_id=before.job_id, execution_id=before.id, node_id=before.node_id
        )
        return (
            ""
            if own_place
            else "the node reported a result in S3 at another place than its job's publisher names"
        )
    own = {"executionid": before.id}
    if published.is_type("s3managed"):
        own["jobid"] = before.job_id
    elif not published.is_type("local"):
        return ""
    named = [(name.lower(), value) for name, value in published.params.items() if name.lower() in own]
    if len(named) == len(own) and all(value == own[name] for name, value in named):
        return ""
    return f"the node reported a result of type {published.type.strip()} that is not this execution's own"


def _bid(before: Execution, message: BidResult, now: int) -> tuple[Execution | None, Event | None]:
    if message.accepted and _was_not_asked(before):
        return (None, None) if message.ports == before.ports else (replace(before, ports=message.ports), None)
    if before.compute_state.state_type is not ExecutionStateType.NEW:
        return None, None
    if message.accepted:
        return replace(
            before,
            compute_state=_compute_state(ExecutionStateType.ASK_FOR_BID_ACCEPTED, message),
            ports=message.ports,
        ), None
    reason = Event(message="rejected bid", topic=Topic.EXECUTION_SCANNING, timestamp=rfc3339(now))
    after = replace(
        before,
        compute_state=_compute_state(ExecutionStateType.ASK_FOR_BID_REJECTED, message),
        desired_state=DesiredState(state_type=DesiredStateType.STOPPED, message="bid rejected"),
    )
    return after, reason


def _was_not_asked(before: Execution) -> bool:
    """Whether the node runs it without a bid; a bid that comes all the same only says which ports it has."""
    return before.desired_state.state_type is DesiredStateType.RUNNING and not before.is_terminal


def _run(before: Execution, message: RunResult, now: int) -> tuple[Execution | None, Event | None]:
    # A restarted node may report the end of an execution that it was not asked to start: the work is done.
    if before.is_terminal:
        return None, None
    return _result(before, message, now)


def _result(before: Execution, message: RunResult, now: int) -> tuple[Execution, Event]:
    done = Event(message="Completed successfully", topic=Topic.EXECUTION, timestamp=rfc3339(now))
    after = replace(
        before,
        # The message stays what it was, as officially; the details name what ran it (the engine's runtime).
        compute_state=ComputeState(
            state_type=ExecutionStateType.COMPLETED,
            message=before.compute_state.message,
            details=(message.events or [Event()])[-1].details,
        ),
        desired_state=DesiredState(state_type=DesiredStateType.STOPPED, message="execution completed"),
        published_result=message.publish_result or SpecConfig(),
        run_output=message.run_command_result,
    )
    return after, done


def _unexpected(after: Execution) -> Execution:
    """Return the execution of a job without an end, whose task ended: a failure, whatever its exit code."""
    words = "execution completed unexpectedly"
    return replace(
        after,
        compute_state=replace(after.compute_state, state_type=ExecutionStateType.FAILED, message=words),
        desired_state=replace(after.desired_state, message=words),
    )


def _error(before: Execution, message: ComputeError, now: int) -> tuple[Execution | None, Event | None]:
    if before.is_terminal:
        return None, None
    failed = Event(
        message="execution failed", topic=Topic.EXECUTION, timestamp=rfc3339(now), details={"IsError": "true"}
    )
    after = replace(
        before,
        compute_state=_compute_state(ExecutionStateType.FAILED, message),
        desired_state=DesiredState(state_type=DesiredStateType.STOPPED, message="execution failed"),
        # What ran to its end has an output, and perhaps a result that could only be kept on the node.
        published_result=message.publish_result or before.published_result,
        run_output=message.run_command_result or before.run_output,
    )
    return after, failed


def _compute_state(state: ExecutionStateType, message: BidResult | ComputeError) -> ComputeState:
    first_event = (message.events or [Event()])[0]
    return ComputeState(state_type=state, message=first_event.message, details=first_event.details)
