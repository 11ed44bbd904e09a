"""What nodes tell of executions whose machine is away: it becomes history at once, and only once."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from bacalhau_jupyter.models.jobs.spec import replace
from bacalhau_jupyter.models.records.history import LINK, Event, Topic
from bacalhau_jupyter.models.wire.messages import ExecutionNote
from bacalhau_jupyter.orchestrator.peers import reported
from bacalhau_jupyter.orchestrator.store import executions, history, jobs
from bacalhau_jupyter.orchestrator.store.transaction import Transaction

_log = logging.getLogger(__name__)

MOST_NOTES = 100
"""Notes of one message that are looked at."""

MOST_OF_EXECUTION = 10
"""Notes of one execution that become history."""


def store_notes(transaction: Transaction, node_id: str, notes: Sequence[ExecutionNote]) -> None:
    """Store what a node tells of its own executions; what is known, over or not its own is ignored."""
    for note in notes[:MOST_NOTES]:
        execution = executions.get(transaction.connection, note.execution_id)
        if execution is None or execution.is_terminal:
            continue
        if execution.node_id != node_id:
            _log.warning(
                "node %s told of execution %s, which is that of node %s; it was not believed",
                node_id,
                execution.id,
                execution.node_id,
            )
            continue
        job = jobs.get(transaction.connection, execution.job_id)
        known = _known(transaction, execution.job_id, execution.id)
        event = reported.bounded_event(note.event)
        if job is None or event.message in known or len(known) >= MOST_OF_EXECUTION:
            continue
        event = replace(event, topic=Topic.RUNNING, details={LINK: "true"})
        (event,), _ = reported.by_our_clock([event], execution.create_time, transaction.now_ns)
        transaction.record(replace(job, version=execution.job_version), event, execution)


def untold(transaction: Transaction, job_id: str, execution_id: str, events: Sequence[Event]) -> list[Event]:
    """Return the events of a report without those that are history already."""
    if not any(LINK in event.details for event in events):
        return list(events)
    known = _known(transaction, job_id, execution_id)
    return [event for event in events if LINK not in event.details or event.message not in known]


def _known(transaction: Transaction, job_id: str, execution_id: str) -> set[str]:
    return set(history.messages(transaction.connection, job_id, execution_id, LINK, MOST_OF_EXECUTION))
