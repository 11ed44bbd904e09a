"""What must end before anything new is placed: jobs that are over or out of time, executions that are lost or late."""

from __future__ import annotations

from bacalhau_jupyter.lib.clock import SECOND
from bacalhau_jupyter.models.errors import FAILS_JOB
from bacalhau_jupyter.models.jobs.job import JobType
from bacalhau_jupyter.models.records.execution import Execution, ExecutionStateType
from bacalhau_jupyter.models.records.history import Topic
from bacalhau_jupyter.models.records.hosts import LABEL as HOST
from bacalhau_jupyter.orchestrator.scheduler.attempts import NODE_DISAPPEARED, NODE_REJECTED
from bacalhau_jupyter.orchestrator.scheduler.draft import STOP_WORDS, Draft, is_wanted
from bacalhau_jupyter.orchestrator.scheduler.plan import NEW_EXECUTIONS_LIMIT, NodeView, Note

TIMEOUT_DETAILS = {
    "Hint": "Increase the task timeout or allocate more resources",
    "FailsExecution": "true",
    "IsError": "true",
}

_AWAY_PAUSE_S = 10
"""Seconds between looks at executions whose node is away."""
_EXECUTING = (ExecutionStateType.BID_ACCEPTED, ExecutionStateType.RUNNING, ExecutionStateType.PUBLISHING)


def end_job(draft: Draft) -> bool:
    """End all that runs for a job that is over or out of time; return whether that is all there is to do."""
    if draft.job.is_terminal:
        draft.stop_all(STOP_WORDS[draft.job.state.state_type])
        return True
    return _total_time_is_up(draft)


def failed_for_good(draft: Draft) -> bool:
    """Fail the job with an execution that must not be run again: its work is done, or nothing would help."""
    for execution in draft.current:
        state = execution.compute_state
        if state.state_type is ExecutionStateType.FAILED and state.details.get(FAILS_JOB) == "true":
            draft.fail(Note(Topic.EXECUTION, state.message, dict(state.details)))
            return True
    return False


def end_executions(draft: Draft) -> None:
    """End executions of older versions, of nodes that are gone, and those that take too long."""
    _stop_old_versions(draft)
    _give_up_lost(draft)
    _end_overdue(draft)


def _stop_old_versions(draft: Draft) -> None:
    old = [execution for execution in draft.live if execution.job_version != draft.job.version]
    for execution in old[:NEW_EXECUTIONS_LIMIT]:
        draft.stop(execution, "Execution stopped for job update")
    draft.plan.again |= len(old) > NEW_EXECUTIONS_LIMIT


def _give_up_lost(draft: Draft) -> None:
    nodes = {node.id: node for node in draft.situation.nodes}
    for execution in draft.live:
        node = nodes.get(execution.node_id)
        if node is not None and node.rejected:
            words = NODE_REJECTED
        elif node is None or node.lost:
            words = NODE_DISAPPEARED
        else:
            continue
        draft.stop(execution, words, ExecutionStateType.FAILED)


def _end_overdue(draft: Draft) -> None:
    if not draft.time_limit_ns:
        return
    limit_s = draft.job.task.timeouts.execution_timeout
    nodes = {node.id: node for node in draft.situation.nodes}
    for execution in draft.live:
        if not _is_executing(execution):
            continue
        # Nothing is stored between the start and the end, so the last change is the start.
        due_ns = execution.modify_time + draft.time_limit_ns
        node = nodes.get(execution.node_id)
        if node is not None:
            due_ns = max(due_ns, _heard_out_ns(draft, execution, node, limit_s))
        if draft.situation.now_ns < due_ns:
            draft.plan.wake_at(due_ns)
            continue
        words = f"Execution timed out. Execution took longer than {limit_s}s"
        draft.stop(
            execution, words, ExecutionStateType.FAILED, Topic.EXECUTION_TIMEOUT, dict(TIMEOUT_DETAILS)
        )


def _heard_out_ns(draft: Draft, execution: Execution, node: NodeView, limit_s: int) -> int:
    """Return until when (Unix nanoseconds) a node may still tell by its own clock how an execution ended.

    What happened while it, or the machine that it works on, could not be heard comes with the return; until then nobody
    here knows of an end in time. 0: it could always be heard.
    """
    grace_ns = int(draft.situation.execution_grace_s * SECOND)
    if not node.ready or node.info.compute_node_info.away:
        return draft.situation.now_ns + max(grace_ns, _AWAY_PAUSE_S * SECOND)
    bounds = [0]
    if node.since_ns >= execution.modify_time:
        bounds.append(node.since_ns + grace_ns)
    back_ns = max(node.back_ns, node.since_ns) if HOST in node.info.labels else node.back_ns
    if back_ns >= execution.modify_time:
        # What is still to be done with its results has the time that was left when it ended.
        bounds.append(back_ns + limit_s * SECOND + grace_ns)
    return max(bounds)


def _is_executing(execution: Execution) -> bool:
    state = execution.compute_state.state_type
    # What starts without a bid reports nothing before its end.
    return state in _EXECUTING or (state is ExecutionStateType.NEW and is_wanted(execution))


def _total_time_is_up(draft: Draft) -> bool:
    limit_s = draft.job.task.timeouts.total_timeout
    if not limit_s or draft.job.is_long_running or _is_done(draft):
        return False
    due_ns = draft.situation.submitted_ns + limit_s * SECOND
    due_ns = max(due_ns, _all_heard_out_ns(draft, limit_s, due_ns))
    if draft.situation.now_ns < due_ns:
        draft.plan.wake_at(due_ns)
        return False
    words = f"Job timed out. Job took longer than {limit_s}s"
    draft.fail(Note(Topic.JOB_TIMEOUT, words, dict(TIMEOUT_DETAILS)))
    return True


def _all_heard_out_ns(draft: Draft, limit_s: int, due_ns: int) -> int:
    """Return until when (Unix nanoseconds) all that is missing of a job may yet be told to have ended in time.

    Parameters
    ----------
    limit_s
        The job's total limit.
    due_ns
        When that ends.
    """
    nodes = {node.id: node for node in draft.situation.nodes}
    bounds, partitions = list[int](), set[int]()
    for execution in draft.current_live:
        node = nodes.get(execution.node_id)
        if node is None or node.lost or node.rejected or not _is_executing(execution):
            return 0
        bound_ns = _heard_out_ns(draft, execution, node, limit_s)
        if HOST in node.info.labels:
            # That its machine is away may be noticed only after the limit; its node stops what runs there till then.
            bound_ns = max(bound_ns, due_ns + int(draft.situation.execution_grace_s * SECOND))
        bounds.append(bound_ns)
        partitions.add(execution.partition_index)
    is_all = draft.job.type != JobType.BATCH or len(partitions | _completed(draft)) >= _count(draft)
    return min(bounds, default=0) if is_all else 0


def _is_done(draft: Draft) -> bool:
    """Whether all work of a batch job is done; of when that was told, nothing depends."""
    return draft.job.type == JobType.BATCH and len(_completed(draft)) >= _count(draft)


def _completed(draft: Draft) -> set[int]:
    return {
        execution.partition_index
        for execution in draft.current
        if execution.compute_state.state_type is ExecutionStateType.COMPLETED
    }


def _count(draft: Draft) -> int:
    return max(1, draft.job.count or 0)
