"""Rows of messages that a node has not acknowledged yet."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from bacalhau_jupyter.models.codec import decode_exact, encode
from bacalhau_jupyter.models.jobs.job import Job, JobType
from bacalhau_jupyter.models.jobs.spec import replace
from bacalhau_jupyter.models.records.execution import (
    ComputeState,
    DesiredState,
    DesiredStateType,
    Execution,
    ExecutionStateType,
)
from bacalhau_jupyter.models.records.history import Event
from bacalhau_jupyter.models.wire.messages import (
    TYPE_NAMES,
    AskForBid,
    BidAccepted,
    BidRejected,
    CancelExecution,
    ToCompute,
)
from bacalhau_jupyter.orchestrator.store import executions, jobs


@dataclass(frozen=True)
class OutboxItem:
    """A stored message on its way to a node; times in Unix nanoseconds."""

    seq: int
    node_id: str
    time_ns: int
    message: ToCompute


def append(
    connection: sqlite3.Connection, node_id: str, execution_id: str, message: ToCompute, now_ns: int
) -> OutboxItem:
    """Store a message."""
    cursor = connection.execute(
        "INSERT INTO outbox (node_id, execution_id, kind, events, time) VALUES (?,?,?,?,?)",
        (node_id, execution_id, TYPE_NAMES[type(message)], encode(message.events or []), now_ns),
    )
    return OutboxItem(cursor.lastrowid or 0, node_id, now_ns, message)


def pending(connection: sqlite3.Connection) -> list[OutboxItem]:
    """Return every unacknowledged message in order, rebuilt from what is stored now.

    An offer whose execution is over is left out: a node that lost its memory must not run it again.
    """
    rows = connection.execute(
        "SELECT seq, node_id, execution_id, kind, events, time FROM outbox ORDER BY seq"
    )
    items = []
    for seq, node_id, execution_id, kind, events, time in rows.fetchall():
        message = _message(connection, execution_id, kind, decode_exact(events, list[Event]))
        if message is not None:
            items.append(OutboxItem(seq, node_id, time, message))
    return items


def remove(connection: sqlite3.Connection, seqs: Sequence[int]) -> None:
    """Forget acknowledged messages."""
    connection.executemany("DELETE FROM outbox WHERE seq=?", [(seq,) for seq in seqs])


def remove_node(connection: sqlite3.Connection, node_id: str) -> None:
    """Forget every message to a node."""
    connection.execute("DELETE FROM outbox WHERE node_id=?", (node_id,))


def last(connection: sqlite3.Connection) -> int:
    """Return the highest sequence number ever given."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name='outbox'").fetchone()
    return int(row[0]) if row else 0


def _message(
    connection: sqlite3.Connection, execution_id: str, kind: str, events: list[Event]
) -> ToCompute | None:
    if kind == TYPE_NAMES[BidAccepted]:
        return BidAccepted(execution_id=execution_id, events=events, accepted=True)
    if kind == TYPE_NAMES[BidRejected]:
        return BidRejected(execution_id=execution_id, events=events)
    if kind == TYPE_NAMES[CancelExecution]:
        return CancelExecution(execution_id=execution_id, events=events)
    execution = executions.get(connection, execution_id)
    if execution is None or execution.is_terminal:
        return None
    spec = jobs.specs(connection, execution.job_id, {execution.job_version})[execution.job_version]
    return AskForBid(events=events, execution=offered(execution, spec))


def offered(execution: Execution, spec: Job) -> Execution:
    """Return the execution as it is offered to a node: new, with its job inside."""
    # Ops and daemon executions start without a round of bidding.
    at_once = spec.type in (JobType.OPS, JobType.DAEMON)
    return replace(
        execution,
        job=spec,
        revision=1,
        desired_state=DesiredState(
            state_type=DesiredStateType.RUNNING if at_once else DesiredStateType.PENDING
        ),
        compute_state=ComputeState(state_type=ExecutionStateType.NEW),
    )
