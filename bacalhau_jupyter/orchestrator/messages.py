"""Which message a transition of an execution sends to its node: derived from before and after, nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from bacalhau_jupyter.models.records.execution import DesiredStateType, Execution, ExecutionStateType
from bacalhau_jupyter.models.records.history import Event
from bacalhau_jupyter.models.wire.messages import (
    AskForBid,
    BidAccepted,
    BidRejected,
    CancelExecution,
    ToCompute,
)

_OPEN_BID = (ExecutionStateType.NEW, ExecutionStateType.ASK_FOR_BID_ACCEPTED)


def message_of(before: Execution | None, after: Execution, events: Sequence[Event]) -> ToCompute | None:
    """Return the message to the node about a transition that the orchestrator decided.

    What a node reported itself needs no answer, so reports don't come here. ``after.job`` must be set for a new
    execution.
    """
    all_events = list(events)
    desired = after.desired_state.state_type
    if before is None:
        return None if desired is DesiredStateType.STOPPED else AskForBid(events=all_events, execution=after)
    had = before.desired_state.state_type
    if had is DesiredStateType.PENDING and desired is DesiredStateType.RUNNING:
        return BidAccepted(events=all_events, execution_id=after.id, accepted=True)
    if desired is not DesiredStateType.STOPPED or had is DesiredStateType.STOPPED or before.is_terminal:
        return None
    # An open bid is rejected rather than cancelled: the node has not started anything yet.
    if had is DesiredStateType.PENDING and before.compute_state.state_type in _OPEN_BID:
        return BidRejected(events=all_events, execution_id=after.id)
    return CancelExecution(events=all_events, execution_id=after.id)
