"""What compute nodes report: bids, results, errors. Idempotent per execution; stored before it is acknowledged."""

from __future__ import annotations

import logging
from collections.abc import Callable

from bacalhau_jupyter.lib.times import rfc3339
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
from bacalhau_jupyter.orchestrator.store import executions, jobs
from bacalhau_jupyter.orchestrator.store.transaction import Transaction

_log = logging.getLogger(__name__)


def store_report(transaction: Transaction, node_id: str, message: ToOrchestrator) -> None:
    """Store what a node reported and ask for an evaluation of the job.

    Unknown executions, repeated reports and reports that come too late are taken and ignored: sending them again would
    not make them better.
    """
    before = executions.get(transaction.connection, message.execution_id)
    if before is None or before.node_id != node_id:
        _log.info("node %s reports about execution %s, which it does not have", node_id, message.execution_id)
        return
    published = None if isinstance(message, BidResult) else message.publish_result
    if problem := _foreign(before, published, lambda: _publisher(transaction, before)):
        _log.warning("node %s, execution %s: %s", node_id, before.id, problem)
        problem_event = Event(message=problem, topic=Topic.PUBLISHING, details={"IsError": "true"})
        message = ComputeError(
            execution_id=message.execution_id, job_id=message.job_id, events=[problem_event]
        )
    if isinstance(message, BidResult):
        after, event = _bid(before, message, transaction.now_ns)
    elif isinstance(message, RunResult):
        after, event = _run(before, message, transaction.now_ns)
    else:
        after, event = _error(before, message, transaction.now_ns)
    if after is None:
        return
    job = jobs.get(transaction.connection, before.job_id)
    if job is None:
        return
    if job.is_long_running and isinstance(message, RunResult):
        after = _unexpected(after)
    after = transaction.change_execution(before, after, reported=True)
    for each in message.events or ([event] if event is not None else []):
        shown = each if each.timestamp else replace(each, timestamp=rfc3339(transaction.now_ns))
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
