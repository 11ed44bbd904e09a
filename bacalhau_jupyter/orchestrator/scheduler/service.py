"""Service jobs: ``Count`` partitions, each of which is kept running until somebody stops the job."""

from __future__ import annotations

from bacalhau_jupyter.models.records.execution import ExecutionStateType
from bacalhau_jupyter.orchestrator.scheduler.draft import Draft
from bacalhau_jupyter.orchestrator.scheduler.ending import end_executions, end_job, failed_for_good
from bacalhau_jupyter.orchestrator.scheduler.partitions import Partitions
from bacalhau_jupyter.orchestrator.scheduler.plan import Plan, Situation


def schedule_service(situation: Situation) -> Plan:
    """Decide what to do next about a service job."""
    draft = Draft(situation)
    if end_job(draft) or failed_for_good(draft):
        return draft.plan
    end_executions(draft)
    failures = [
        execution.modify_time
        for execution in draft.current
        if execution.compute_state.state_type is ExecutionStateType.FAILED
    ]
    # It may have run for days: the time-out is for the search for another node, not for that.
    partitions = Partitions(draft, frozenset(), max([situation.submitted_ns, *failures]))
    partitions.keep_one_each()
    partitions.place_missing()
    return draft.plan
