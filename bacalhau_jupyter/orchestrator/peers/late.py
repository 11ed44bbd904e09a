"""Results of executions that were given up: work that is done is not done again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from bacalhau_jupyter.lib.ids import short_id
from bacalhau_jupyter.models.jobs.job import Job, JobType
from bacalhau_jupyter.models.records.execution import Execution, ExecutionStateType
from bacalhau_jupyter.orchestrator.scheduler.attempts import NODE_DISAPPEARED
from bacalhau_jupyter.orchestrator.store import executions, jobs

LATE = "Late"
"""Detail of an execution's state: its result came after it had been given up."""


def was_given_up(execution: Execution) -> bool:
    """Whether an execution was ended here only because nothing was heard of its node."""
    # Only the orchestrator writes the desired state, so a node can't say this of itself.
    return (
        execution.compute_state.state_type is ExecutionStateType.FAILED
        and execution.desired_state.message == NODE_DISAPPEARED
        and LATE not in execution.compute_state.details
    )


def is_awaited(connection: sqlite3.Connection, execution: Execution) -> bool:
    """Whether an execution may still bring a result: it is not over, or it was given up and the job needs it yet."""
    if not execution.is_terminal:
        return True
    job = jobs.get(connection, execution.job_id)
    return was_given_up(execution) and job is not None and counts(connection, job, execution)


def counts(connection: sqlite3.Connection, job: Job, execution: Execution) -> bool:
    """Whether a late result is what the job still needs: its partition has no other result yet."""
    if job.is_terminal or job.is_long_running or execution.job_version != job.version:
        return False
    return not any(
        each.compute_state.state_type is ExecutionStateType.COMPLETED
        for each in twins(connection, job, execution)
    )


def sentence(connection: sqlite3.Connection, job: Job, execution: Execution, *, is_counted: bool) -> str:
    """Say what becomes of a late result."""
    words = f"The result of {short_id(execution.node_id)} arrived after its execution had been given up"
    others = list(twins(connection, job, execution))
    if not is_counted:
        done = [each for each in others if each.compute_state.state_type is ExecutionStateType.COMPLETED]
        other = (
            f", because {short_id(done[0].id)} had done the work" if done else ", because the job had ended"
        )
        return f"{words}; it does not count{other}"
    live = [short_id(each.id) for each in others if not each.is_terminal]
    return (
        f"{words}; it counts, and {live[0]}, which replaced it, is stopped" if live else f"{words}; it counts"
    )


def twins(connection: sqlite3.Connection, job: Job, execution: Execution) -> Iterable[Execution]:
    """Return the other executions of the same work."""
    for each in executions.of_job(connection, execution.job_id, execution.job_version):
        if each.id == execution.id or each.partition_index != execution.partition_index:
            continue
        # An ops job has one piece of work per node, all of them numbered 0.
        if job.type != JobType.OPS or each.node_id == execution.node_id:
            yield each
