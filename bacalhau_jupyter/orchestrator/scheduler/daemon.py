"""Daemon jobs: one execution on each node that suits, now and later, until somebody stops the job."""

from __future__ import annotations

from bacalhau_jupyter.orchestrator.scheduler.draft import Draft
from bacalhau_jupyter.orchestrator.scheduler.ending import end_executions, end_job
from bacalhau_jupyter.orchestrator.scheduler.placement import Placement, Refusal
from bacalhau_jupyter.orchestrator.scheduler.plan import NEW_EXECUTIONS_LIMIT, Plan, Situation
from bacalhau_jupyter.orchestrator.scheduler.shortage import no_match_text


def schedule_daemon(situation: Situation) -> Plan:
    """Decide what to do next about a daemon job."""
    draft = Draft(situation)
    if end_job(draft):
        return draft.plan
    end_executions(draft)
    if draft.must_look_again():
        return draft.plan
    placement = Placement(situation)
    # An execution of an older version that could not be stopped yet keeps its node, too.
    taken = {execution.node_id for execution in draft.live}
    refusals: dict[str, Refusal] = {}
    placed = 0
    over_quota = ""
    for node in placement.nodes:
        if node.id in taken:
            continue
        refusal = placement.refusal(node, 0)
        if refusal is not None:
            refusals[node.id] = refusal
        elif over_quota := draft.over_quota():
            draft.wait_for_quota()
            break
        elif placed < NEW_EXECUTIONS_LIMIT:
            draft.run()
            draft.place(node, at_once=True)
            placed += 1
        else:
            draft.plan.again = True
            break
    if (refusals or over_quota) and draft.has_made_room():
        return draft.plan
    # Also with no refusal: a node that joins wakes what waits.
    draft.wait_for(refusals)
    if not draft.live and not placed:
        text = over_quota or no_match_text(refusals, placement.absent, placement.unknown)
        draft.stay_pending(text)
        hopeless = not any(refusal.temporary for refusal in refusals.values())
        if draft.current and (over_quota or hopeless):
            draft.stay_idle(text)
    return draft.plan
