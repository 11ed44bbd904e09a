"""Batch jobs: ``Count`` partitions, each of which has to complete once."""

from __future__ import annotations

from bacalhau_jupyter.lib.clock import SECOND
from bacalhau_jupyter.lib.ids import short_id
from bacalhau_jupyter.models.errors import FAILS_JOB
from bacalhau_jupyter.models.execution import DesiredStateType, Execution, ExecutionStateType
from bacalhau_jupyter.models.history import Topic
from bacalhau_jupyter.models.job import JobStateType
from bacalhau_jupyter.orchestrator.scheduler.placement import Placement, Refusal
from bacalhau_jupyter.orchestrator.scheduler.plan import (
    NEW_EXECUTIONS_LIMIT,
    Change,
    JobChange,
    NodeView,
    Note,
    PlaceExecution,
    Plan,
    Situation,
)
from bacalhau_jupyter.orchestrator.scheduler.shortage import same_shortage, shortage_details, shortage_text

TIMEOUT_DETAILS = {
    "Hint": "Increase the task timeout or allocate more resources",
    "FailsExecution": "true",
    "IsError": "true",
}

_STOP_WORDS = {
    JobStateType.STOPPED: "Execution stop requested because job has been stopped",
    JobStateType.FAILED: "Execution stopped due to job failure",
    JobStateType.COMPLETED: "Execution stop requested because there are more executions than needed",
}

_EXECUTING = (ExecutionStateType.BID_ACCEPTED, ExecutionStateType.RUNNING, ExecutionStateType.PUBLISHING)


def schedule_batch(situation: Situation) -> Plan:
    """Decide what to do next about a batch job."""
    return _Batch(situation).plan_next()


class _Batch:
    """One look at one job; ``live`` shrinks as executions are stopped."""

    def __init__(self, situation: Situation) -> None:
        self.situation = situation
        self.job = situation.job
        self.plan = Plan()
        self.live = [execution for execution in situation.executions if not execution.is_terminal]
        self.failed_here: set[str] = set()

    def plan_next(self) -> Plan:
        if self.job.is_terminal:
            self._stop_all(_STOP_WORDS[self.job.state.state_type])
            return self.plan
        if self._total_time_is_up() or self._failed_for_good():
            return self.plan
        self._stop_old_versions()
        self._give_up_lost()
        self._end_overdue()
        completed = {
            execution.partition_index
            for execution in self.situation.executions
            if execution.job_version == self.job.version
            and execution.compute_state.state_type is ExecutionStateType.COMPLETED
        }
        self._one_per_partition(completed)
        partitions = range(self.job.count or 0)
        if sum(partition in partitions for partition in completed) == len(partitions):
            self._complete()
            return self.plan
        taken = completed | {e.partition_index for e in self.live if e.job_version == self.job.version}
        self._place(partitions, taken)
        return self.plan

    # ---- ending executions

    def _stop_all(self, words: str) -> None:
        for execution in list(self.live):
            self._stop(execution, words)

    def _stop(
        self,
        execution: Execution,
        words: str,
        observed: ExecutionStateType = ExecutionStateType.CANCELLED,
        topic: Topic = Topic.SCHEDULING,
        details: dict[str, str] | None = None,
    ) -> None:
        self.live.remove(execution)
        note = Note(topic, words, details or {})
        self.plan.steps.append(Change(execution, DesiredStateType.STOPPED, observed, words, note))
        if observed is ExecutionStateType.FAILED:
            self.failed_here.add(execution.id)

    def _stop_old_versions(self) -> None:
        old = [execution for execution in self.live if execution.job_version != self.job.version]
        for execution in old[:NEW_EXECUTIONS_LIMIT]:
            self._stop(execution, "Execution stopped for job update")
        self.plan.again |= len(old) > NEW_EXECUTIONS_LIMIT

    def _give_up_lost(self) -> None:
        nodes = {node.id: node for node in self.situation.nodes}
        for execution in list(self.live):
            node = nodes.get(execution.node_id)
            if node is not None and node.rejected:
                words = "Execution stop requested because node has been rejected"
            elif node is None or node.lost:
                words = "Execution stop requested because node has disappeared"
            else:
                continue
            self._stop(execution, words, ExecutionStateType.FAILED)

    def _end_overdue(self) -> None:
        limit = self.job.task.timeouts.execution_timeout
        allowed = self._allowed()
        if not allowed:
            return
        for execution in list(self.live):
            if execution.compute_state.state_type not in _EXECUTING:
                continue
            # Nothing is stored between the start and the end, so the last change is the start.
            due = execution.modify_time + allowed
            if self.situation.now_ns < due:
                self.plan.wake_at(due)
                continue
            words = f"Execution timed out. Execution took longer than {limit}s"
            self._stop(
                execution, words, ExecutionStateType.FAILED, Topic.EXECUTION_TIMEOUT, dict(TIMEOUT_DETAILS)
            )

    def _allowed(self) -> int:
        """Return how long (nanoseconds) an execution may take before it is ended from here; 0 for ever."""
        limit = self.job.task.timeouts.execution_timeout
        return int((limit + self.situation.execution_grace_s) * SECOND) if limit else 0

    def _total_time_is_up(self) -> bool:
        limit = self.job.task.timeouts.total_timeout
        if not limit:
            return False
        due = self.situation.submitted_ns + limit * SECOND
        if self.situation.now_ns < due:
            self.plan.wake_at(due)
            return False
        words = f"Job timed out. Job took longer than {limit}s"
        self._fail(Note(Topic.JOB_TIMEOUT, words, dict(TIMEOUT_DETAILS)))
        return True

    def _failed_for_good(self) -> bool:
        """Fail the job with an execution that must not be run again: its work is done, or nothing would help."""
        for execution in self.situation.executions:
            state = execution.compute_state
            if (
                execution.job_version == self.job.version
                and state.state_type is ExecutionStateType.FAILED
                and state.details.get(FAILS_JOB) == "true"
            ):
                self._fail(Note(Topic.EXECUTION, state.message, dict(state.details)))
                return True
        return False

    # ---- partitions

    def _one_per_partition(self, completed: set[int]) -> None:
        """Approve the oldest open bid of each partition that runs nowhere; stop what is too many."""
        extra = "Execution stop requested because there are more executions than needed"
        by_partition: dict[int, list[Execution]] = {}
        for execution in self.live:
            if execution.job_version == self.job.version:
                by_partition.setdefault(execution.partition_index, []).append(execution)
        for partition, candidates in sorted(by_partition.items()):
            if partition in completed or partition >= (self.job.count or 0):
                keep = None
            else:
                keep = next((e for e in candidates if _is_wanted(e)), None) or next(
                    (e for e in candidates if _has_bid(e)), candidates[0]
                )
            for execution in candidates:
                if execution is not keep:
                    open_bid = not _is_wanted(execution)
                    observed = ExecutionStateType.BID_REJECTED if open_bid else ExecutionStateType.CANCELLED
                    self._stop(execution, extra, observed)
            if keep is not None and not _is_wanted(keep) and _has_bid(keep):
                self._approve(keep)

    def _approve(self, execution: Execution) -> None:
        if self.job.state.state_type is not JobStateType.RUNNING and not self._is_running():
            self.plan.steps.append(_state_update(JobStateType.RUNNING))
        if self._allowed():
            self.plan.wake_at(self.situation.now_ns + self._allowed())
        note = Note(Topic.EXECUTION, "Running")
        self.plan.steps.append(
            Change(execution, DesiredStateType.RUNNING, ExecutionStateType.BID_ACCEPTED, "Running", note)
        )

    def _is_running(self) -> bool:
        return any(
            isinstance(step, JobChange) and step.state is JobStateType.RUNNING for step in self.plan.steps
        )

    def _complete(self) -> None:
        self._stop_all(_STOP_WORDS[JobStateType.COMPLETED])
        self.plan.steps.append(_state_update(JobStateType.COMPLETED))
        self.plan.wakeup_ns = None
        self.plan.again = False

    def _fail(self, note: Note) -> None:
        self.plan.steps.append(JobChange(JobStateType.FAILED, note.message, note))
        self._stop_all(_STOP_WORDS[JobStateType.FAILED])
        self.plan.wakeup_ns = self.plan.waits_for = None
        self.plan.again = False

    # ---- placing

    def _place(self, wanted: range, taken: set[int]) -> None:
        missing = len(wanted) - sum(partition in wanted for partition in taken)
        if not missing:
            return
        if any(step.execution.id in self.failed_here for step in self.plan.steps if isinstance(step, Change)):
            # The failures decided just now count against their nodes, and are seen once they are stored.
            self.plan.again = True
            return
        placement = Placement(self.situation)
        placed = 0
        short: dict[int, dict[str, Refusal]] = {}
        refused_from: int | None = None
        # A count may be in the millions: it is walked, never listed.
        for partition in wanted:
            if partition in taken:
                continue
            if placed >= NEW_EXECUTIONS_LIMIT:
                self.plan.again = True
                break
            choice = placement.best(partition)
            if isinstance(choice, NodeView):
                placed += 1
                note = Note(
                    Topic.SCHEDULING, f"Requested execution on {short_id(choice.id)}", {"NodeID": choice.id}
                )
                self.plan.steps.append(PlaceExecution(choice.id, partition, note))
                continue
            short[partition] = choice
            if partition not in placement.tried:
                # What no node takes though it never failed anywhere speaks for all the others like it.
                refused_from = partition
                break
        if refused_from is not None:
            for partition in sorted(placement.tried - taken):
                refusals = placement.best(partition) if partition > refused_from else None
                if isinstance(refusals, dict):
                    short[partition] = refusals
        if short:
            self._wait_or_fail(missing, short, placed, placement)

    def _wait_or_fail(
        self, missing: int, short: dict[int, dict[str, Refusal]], placed: int, placement: Placement
    ) -> None:
        # The partition in the worst position speaks for the job.
        refusals = min(short.values(), key=lambda each: sum(refusal.temporary for refusal in each.values()))
        hopeless = not any(refusal.temporary for refusal in refusals.values())
        available = sum(node.ready for node in placement.nodes)
        text = shortage_text(missing, available, placed, refusals)
        details = shortage_details(missing, available, placed)
        tried = any(execution.job_version == self.job.version for execution in self.situation.executions)
        progress = placed > 0 or any(e.job_version == self.job.version for e in self.live)
        deadline = self.situation.submitted_ns + self.job.task.timeouts.queue_timeout * SECOND
        in_time = self.situation.now_ns < deadline
        soon = any(r.away or (r.until_ns is not None and not r.full) for r in refusals.values())
        if hopeless and refusals and (tried or not self.situation.queue_unsuitable):
            wait = False
        else:
            # Without a queue time-out a job still waits for itself, and for a node that is about to have room.
            wait = in_time or (not hopeless and (progress or soon))
        if not wait:
            self._fail(Note(Topic.SCHEDULING, text, details))
            return
        if in_time:
            self.plan.wake_at(deadline)
        for each in short.values():
            for refusal in each.values():
                if refusal.until_ns is not None:
                    self.plan.wake_at(refusal.until_ns)
        self.plan.waits_for = frozenset(
            node_id
            for each in short.values()
            for node_id, refusal in each.items()
            if refusal.full or refusal.until_ns
        )
        if in_time and not progress:
            self._queue(text)

    def _queue(self, text: str) -> None:
        state = self.job.state
        words = f"Job queued. {text}"
        if state.state_type is JobStateType.QUEUED and same_shortage(state.message, text):
            return
        self.plan.steps.append(JobChange(JobStateType.QUEUED, text, Note(Topic.QUEUEING, words)))


def _is_wanted(execution: Execution) -> bool:
    return execution.desired_state.state_type is DesiredStateType.RUNNING


def _has_bid(execution: Execution) -> bool:
    return execution.compute_state.state_type is ExecutionStateType.ASK_FOR_BID_ACCEPTED


def _state_update(state: JobStateType) -> JobChange:
    return JobChange(state, "", Note(Topic.STATE_UPDATE, state.value, {"NewState": state.value}))
