"""Batch jobs: ``Count`` partitions, each of which has to complete once."""

from __future__ import annotations

from bacalhau_jupyter.models.records.execution import ExecutionStateType
from bacalhau_jupyter.orchestrator.scheduler.draft import Draft
from bacalhau_jupyter.orchestrator.scheduler.ending import end_executions, end_job, failed_for_good
from bacalhau_jupyter.orchestrator.scheduler.partitions import Partitions
from bacalhau_jupyter.orchestrator.scheduler.plan import Plan, Situation


def schedule_batch(situation: Situation) -> Plan:
    """Decide what to do next about a batch job."""
    draft = Draft(situation)
    if end_job(draft) or failed_for_good(draft):
        return draft.plan
    end_executions(draft)
    completed = {
        execution.partition_index
        for execution in draft.current
        if execution.compute_state.state_type is ExecutionStateType.COMPLETED
    }
    partitions = Partitions(draft, completed, situation.submitted_ns)
    partitions.keep_one_each()
    if partitions.are_done:
        draft.complete()
    else:
        partitions.place_missing()
    return draft.plan
