"""Ops jobs: one execution on each node that suits when the job starts; over when all have ended."""

from __future__ import annotations

from bacalhau_jupyter.lib.clock import SECOND
from bacalhau_jupyter.models.records.execution import Execution, ExecutionStateType
from bacalhau_jupyter.models.records.history import Topic
from bacalhau_jupyter.orchestrator.scheduler.allowance import too_large
from bacalhau_jupyter.orchestrator.scheduler.attempts import is_capacity_rejection
from bacalhau_jupyter.orchestrator.scheduler.draft import Draft
from bacalhau_jupyter.orchestrator.scheduler.ending import end_executions, end_job
from bacalhau_jupyter.orchestrator.scheduler.placement import Obstacle, Placement, Refusal
from bacalhau_jupyter.orchestrator.scheduler.plan import Note, PlaceExecution, Plan, Situation
from bacalhau_jupyter.orchestrator.scheduler.shortage import no_match_details, no_match_text

EXECUTIONS_FAILED = "Job failed because one or more executions failed"


def schedule_ops(situation: Situation) -> Plan:
    """Decide what to do next about an ops job."""
    draft = Draft(situation)
    if end_job(draft):
        return draft.plan
    end_executions(draft)
    if draft.must_look_again():
        return draft.plan
    placement = Placement(situation)
    if not draft.current:
        _start(draft, placement)
        return draft.plan
    waiting = _place_where_room_is_now(draft, placement)
    placed = any(isinstance(step, PlaceExecution) for step in draft.plan.steps)
    if placed or draft.current_live:
        return draft.plan
    if waiting and _may_wait(draft, waiting):
        return draft.plan
    _finish(draft, placement, waiting)
    return draft.plan


def _start(draft: Draft, placement: Placement) -> None:
    """Place the job on all nodes that suit: these are its nodes, whatever joins later.

    A node without room is one of them. It turns the execution down, and gets another one when it has room.
    """
    refusals = {node.id: placement.refusal(node, 0) for node in placement.nodes}
    if None not in refusals.values():
        if draft.has_made_room():
            return
        known = {name: refusal for name, refusal in refusals.items() if refusal is not None}
        _wait_or_fail(draft, known, placement)
        return
    nodes = [node for node in placement.nodes if (refusal := refusals[node.id]) is None or refusal.full]
    if _wait_for_quota(draft, len(nodes)):
        return
    draft.run()
    for node in nodes:
        draft.place(node, at_once=True)


def _wait_for_quota(draft: Draft, count: int) -> bool:
    """Wait until the principal's quota has room for the job on all its nodes, or fail it; return whether it hasn't."""
    allowance, request = draft.situation.allowance, draft.situation.request
    words = draft.over_quota(count)
    if allowance is None or not words:
        return False
    excess = allowance.left_out(request, count)
    if excess:
        words = too_large(allowance, excess, request, count)
    if excess or not _may_wait(draft, {}):
        draft.fail(Note(Topic.SCHEDULING, words, {"IsError": "true"}))
    else:
        draft.wait_for_quota(count)
        draft.queue(words)
    return True


def _wait_or_fail(draft: Draft, refusals: dict[str, Refusal], placement: Placement) -> None:
    text = no_match_text(refusals, placement.absent, placement.unknown)
    hopeless = not any(refusal.temporary for refusal in refusals.values())
    never = hopeless and bool(refusals) and not draft.situation.queue_unsuitable
    if never or not _may_wait(draft, refusals):
        details = no_match_details(len(refusals), placement.unknown)
        draft.fail(Note(Topic.SCHEDULING, text, details))
    else:
        draft.queue(text)


def _may_wait(draft: Draft, refusals: dict[str, Refusal]) -> bool:
    """Whether the job waits for nodes that are full or away; wakes it when that may have changed."""
    deadline_ns = draft.situation.submitted_ns + draft.job.task.timeouts.queue_timeout * SECOND
    in_time = draft.situation.now_ns < deadline_ns
    if not in_time and not any(refusal.is_about_to_end for refusal in refusals.values()):
        return False
    if in_time:
        draft.plan.wake_at(deadline_ns)
    draft.wait_for(refusals)
    return True


def _place_where_room_is_now(draft: Draft, placement: Placement) -> dict[str, Refusal]:
    """Place the job on its nodes that had no room and have some now; return those that still have none."""
    last = {execution.node_id: execution for execution in draft.current}
    nodes = {node.id: node for node in placement.nodes}
    waiting = {}
    for node_id, execution in last.items():
        if not is_capacity_rejection(execution) or node_id not in nodes:
            continue
        refusal = placement.refusal(nodes[node_id], 0)
        if refusal is None and (words := draft.over_quota()):
            waiting[node_id] = Refusal(Obstacle.QUOTA, words)
            draft.wait_for_quota()
        elif refusal is None:
            draft.place(nodes[node_id], at_once=True)
        elif refusal.temporary:
            waiting[node_id] = refusal
    if waiting:
        draft.wait_for(waiting)
    return waiting


def _finish(draft: Draft, placement: Placement, waiting: dict[str, Refusal]) -> None:
    """End the job; ``waiting`` nodes had no room for it in time."""
    last = {execution.node_id: execution for execution in draft.current}
    states = [execution.compute_state.state_type for execution in last.values()]
    gone = any(is_capacity_rejection(execution) for execution in last.values())
    if ExecutionStateType.FAILED in states or (gone and ExecutionStateType.COMPLETED in states):
        draft.fail(Note(Topic.SCHEDULING, EXECUTIONS_FAILED))
    elif ExecutionStateType.COMPLETED in states:
        draft.complete()
    else:
        refusals = waiting or _refusals(placement, last)
        draft.fail(Note(Topic.SCHEDULING, no_match_text(refusals), no_match_details(len(refusals))))


def _refusals(placement: Placement, last: dict[str, Execution]) -> dict[str, Refusal]:
    refusals = ((node.id, placement.refusal(node, 0)) for node in placement.nodes if node.id in last)
    return {node_id: refusal for node_id, refusal in refusals if refusal is not None}
