"""Deleting jobs that are over: what is left of one is the event that says so."""

from __future__ import annotations

from bacalhau_jupyter.models.errors import Conflict
from bacalhau_jupyter.models.records.history import Topic
from bacalhau_jupyter.orchestrator.store import executions, history, jobs
from bacalhau_jupyter.orchestrator.store.transaction import Transaction

COMPONENT = "Orchestrator"


def delete(transaction: Transaction, reference: str, namespace: str) -> list[str]:
    """Delete a job with all its versions, executions and events; return the IDs of the executions.

    Raises
    ------
    NotFound
        There is no such job.
    Conflict
        It is not over, or one of its executions still ends.
    """
    connection = transaction.connection
    job = jobs.version(connection, jobs.resolve(connection, reference, namespace), 0)
    if not job.is_terminal:
        raise Conflict(
            f"job {job.id} is {job.state.state_type.value} and can't be deleted",
            hint="Stop it first.",
            component=COMPONENT,
        )
    attempts = executions.of_job(connection, job.id)
    if any(not execution.is_terminal for execution in attempts):
        raise Conflict(
            f"job {job.id} can't be deleted yet: an execution of it is still being stopped",
            hint="Try again in a moment.",
            component=COMPONENT,
            retryable=True,
        )
    # Stored before the others go: numbers of events are positions in the stream and must never come again.
    transaction.record(job, transaction.request(Topic.DELETION, "Job deleted"))
    history.forget(connection, job.id)
    executions.forget(connection, job.id)
    jobs.forget(connection, job.id)
    return [execution.id for execution in attempts]
