"""What the executions of a job say about each node: how often it failed there, and whether the node refused."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from bacalhau_jupyter.lib.clock import SECOND
from bacalhau_jupyter.models.errors import CAPACITY
from bacalhau_jupyter.models.records.execution import Execution, ExecutionStateType
from bacalhau_jupyter.orchestrator.scheduler.plan import Situation

ATTEMPTS_PER_NODE = 2
"""How often a partition is tried on one node."""

RESTART_PAUSE_S = 1.0
"""Seconds before a partition of a job without an end is started again on a node where it ended."""

STEADY_S = 600.0
"""An execution of a job without an end that ran for so many seconds clears what failed on its node before it."""

REJECTION_PAUSE_S = 0.25
"""Seconds a node is left alone after it turned a bid down for want of capacity; doubles with each, to 30 s."""

PATIENCE = 6
"""Capacity rejections in a row after which a node counts as full rather than as about to have room."""

NODE_REJECTED = "Execution stop requested because node has been rejected"
NODE_DISAPPEARED = "Execution stop requested because node has disappeared"

_OF_ACCOUNT = re.compile(r"not (have )?enough ")
"""In refusals that say no more than the account of resources does."""


def is_capacity_rejection(execution: Execution) -> bool:
    """Whether a node turned an execution down for want of capacity only: its bid, or before the task began."""
    state = execution.compute_state
    if state.state_type is ExecutionStateType.FAILED:
        # Others on the same machine took at the same time what the bid had counted on.
        return state.details.get(CAPACITY) == "true"
    if state.state_type is not ExecutionStateType.ASK_FOR_BID_REJECTED:
        return False
    # "insufficient resources" is a node's word for what it will never have, so it is not among these.
    return "true" in (state.details.get(CAPACITY), state.details.get("Retryable")) or (
        "enough capacity" in state.message.lower()
    )


@dataclass
class Past:
    """What happened on one node.

    Parameters
    ----------
    failures
        Partition → attempts that count against the node.
    failed
        Partition → why the last one failed.
    restart_ns
        Partition → when it may be started again (Unix nanoseconds).
    barred, objection
        Whether the node turned the job down for good, and why.
    full, full_at
        How often in a row it had no room, and when it last said so.
    lacks
        What it had not free then, where the account of resources does not show that.
    """

    failures: Counter[int] = field(default_factory=Counter)
    failed: dict[int, str] = field(default_factory=dict)
    restart_ns: dict[int, int] = field(default_factory=dict)
    barred: bool = False
    objection: str = ""
    full: int = 0
    full_at: int = 0
    lacks: str = ""

    def pause_until(self) -> int:
        """When (Unix nanoseconds) to ask a node again that had no room."""
        pause_s = min(30.0, REJECTION_PAUSE_S * 2 ** min(self.full - 1, 10))
        return self.full_at + int(pause_s * SECOND)


def past_of(situation: Situation) -> dict[str, Past]:
    """Return what happened to the job's version, by node ID."""
    past: dict[str, Past] = {}
    for execution in situation.executions:
        if execution.job_version != situation.job.version:
            continue
        entry = past.setdefault(execution.node_id, Past())
        state = execution.compute_state.state_type
        if is_capacity_rejection(execution):
            entry.full += 1
            entry.full_at = max(entry.full_at, execution.modify_time)
            entry.lacks = _lacking(execution)
        elif state is ExecutionStateType.FAILED:
            _count_failure(entry, execution, endless=situation.job.is_long_running)
        elif state is ExecutionStateType.ASK_FOR_BID_REJECTED:
            entry.barred = True
            entry.objection = execution.refusal or ""
        elif state is ExecutionStateType.COMPLETED:
            entry.full = 0
    return past


def _lacking(execution: Execution) -> str:
    if execution.compute_state.state_type is ExecutionStateType.FAILED:
        return execution.compute_state.message
    words = execution.refusal or ""
    return "" if _OF_ACCOUNT.search(words) else words


def _count_failure(entry: Past, execution: Execution, *, endless: bool) -> None:
    partition = execution.partition_index
    if endless:
        # Only the orchestrator writes the desired state, so a node can't say this of itself.
        if execution.desired_state.message in (NODE_REJECTED, NODE_DISAPPEARED):
            return
        entry.restart_ns[partition] = execution.modify_time + int(RESTART_PAUSE_S * SECOND)
        entry.full = 0
        if execution.modify_time - execution.create_time >= STEADY_S * SECOND:
            entry.failures[partition] = 0
            return
    entry.failures[partition] += 1
    entry.failed[partition] = execution.compute_state.message
