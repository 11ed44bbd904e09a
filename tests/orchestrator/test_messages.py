from __future__ import annotations

import pytest

from bacalhau_jupyter.models.codec import to_plain
from bacalhau_jupyter.models.records.execution import (
    ComputeState,
    DesiredState,
    DesiredStateType,
    Execution,
    ExecutionStateType,
)
from bacalhau_jupyter.models.wire.messages import AskForBid, BidAccepted, BidRejected, CancelExecution
from bacalhau_jupyter.orchestrator.messages import message_of
from tests.orchestrator.scheduler.world import World

PENDING, RUNNING, STOPPED = DesiredStateType.PENDING, DesiredStateType.RUNNING, DesiredStateType.STOPPED
S = ExecutionStateType


def execution(desired: DesiredStateType, state: ExecutionStateType) -> Execution:
    return Execution(
        id="e-1", desired_state=DesiredState(state_type=desired), compute_state=ComputeState(state_type=state)
    )


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (None, execution(PENDING, S.NEW), AskForBid),
        (None, execution(RUNNING, S.NEW), AskForBid),
        (execution(PENDING, S.ASK_FOR_BID_ACCEPTED), execution(RUNNING, S.BID_ACCEPTED), BidAccepted),
        (execution(PENDING, S.NEW), execution(STOPPED, S.CANCELLED), BidRejected),
        (execution(PENDING, S.ASK_FOR_BID_ACCEPTED), execution(STOPPED, S.BID_REJECTED), BidRejected),
        (execution(RUNNING, S.BID_ACCEPTED), execution(STOPPED, S.CANCELLED), CancelExecution),
        (execution(RUNNING, S.BID_ACCEPTED), execution(STOPPED, S.FAILED), CancelExecution),
        (execution(RUNNING, S.NEW), execution(STOPPED, S.CANCELLED), CancelExecution),
        (execution(RUNNING, S.COMPLETED), execution(STOPPED, S.COMPLETED), None),
        (execution(PENDING, S.FAILED), execution(STOPPED, S.FAILED), None),
        (execution(STOPPED, S.BID_ACCEPTED), execution(STOPPED, S.CANCELLED), None),
        (execution(PENDING, S.NEW), execution(PENDING, S.ASK_FOR_BID_ACCEPTED), None),
    ],
)
def test_which_message_follows_a_transition(
    before: Execution | None, after: Execution, expected: type | None
) -> None:
    message = message_of(before, after, [])
    assert (None if message is None else type(message)) is expected


def test_an_offer_has_an_object_or_a_list_wherever_a_go_program_would_crash_on_null() -> None:
    world = World(nodes=1)
    world.settle(world.submit().id)
    plain = to_plain(world.sent[0])["Execution"]
    job = plain["Job"]
    assert (job["Meta"] is not None, job["Labels"], job["Constraints"]) == (True, {}, [])
    assert plain["AllocatedResources"] == {"Tasks": {}}
    assert (plain["ComputeState"]["StateType"], plain["DesiredState"]["StateType"], plain["Revision"]) == (
        1,
        0,
        1,
    )
    assert job["Tasks"][0]["Timeouts"] == {}
