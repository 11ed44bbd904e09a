"""The plan of one look at a job while it is made: what a scheduler does to executions and to the job's state."""

from __future__ import annotations

from collections.abc import Mapping

from bacalhau_jupyter.lib.clock import SECOND
from bacalhau_jupyter.lib.ids import short_id
from bacalhau_jupyter.models.jobs.job import JobStateType
from bacalhau_jupyter.models.records.execution import DesiredStateType, Execution, ExecutionStateType
from bacalhau_jupyter.models.records.history import AGAIN, CANDIDATES, STARTED, Topic
from bacalhau_jupyter.orchestrator.scheduler.allowance import times
from bacalhau_jupyter.orchestrator.scheduler.placement import Refusal
from bacalhau_jupyter.orchestrator.scheduler.plan import (
    Change,
    JobChange,
    NodeView,
    Note,
    PlaceExecution,
    Plan,
    Situation,
)
from bacalhau_jupyter.orchestrator.scheduler.shortage import same_shortage

STOP_WORDS = {
    JobStateType.STOPPED: "Execution stop requested because job has been stopped",
    JobStateType.FAILED: "Execution stopped due to job failure",
    JobStateType.COMPLETED: "Execution stop requested because there are more executions than needed",
}


class Draft:
    """A plan in the making.

    Parameters
    ----------
    situation
        What there is.

    Attributes
    ----------
    plan
        What was decided so far.
    """

    def __init__(self, situation: Situation) -> None:
        self.situation = situation
        self.job = situation.job
        self.plan = Plan()
        self._live = {each.id: each for each in situation.executions if not each.is_terminal}
        self._state = situation.job.state.state_type
        self._says_idle = self._state is JobStateType.RUNNING and bool(situation.job.state.message)
        self._failed_now = False
        self._freed_now = False
        self._placed = 0

    @property
    def live(self) -> list[Execution]:
        """The executions that are not over, without those that were stopped by this plan."""
        return list(self._live.values())

    @property
    def current(self) -> list[Execution]:
        """All executions of the job's version, in the order they were made."""
        version = self.job.version
        return [execution for execution in self.situation.executions if execution.job_version == version]

    @property
    def current_live(self) -> list[Execution]:
        """Those of them that belong to the job's version."""
        return [execution for execution in self._live.values() if execution.job_version == self.job.version]

    def must_look_again(self) -> bool:
        """Whether executions failed by this plan: that counts against their nodes, and is seen once it is stored."""
        self.plan.again |= self._failed_now
        return self._failed_now

    def has_made_room(self) -> bool:
        """Whether executions were stopped by this plan: the room that they leave is seen once it is stored."""
        self.plan.again |= self._freed_now
        return self._freed_now

    @property
    def time_limit_ns(self) -> int:
        """How long (nanoseconds) an execution may take before it is ended from here; 0 for ever."""
        if self.job.is_long_running:
            return 0
        limit_s = self.job.task.timeouts.execution_timeout
        return int((limit_s + self.situation.execution_grace_s) * SECOND) if limit_s else 0

    # ---- executions

    def place(
        self, node: NodeView, partition: int = 0, candidates: str = "", *, at_once: bool = False
    ) -> None:
        """Make an execution on a node, one of the ``candidates``; ``at_once`` without asking for a bid."""
        details = {"NodeID": node.id, **({CANDIDATES: candidates} if candidates else {})}
        words = f"Requested execution on {short_id(node.id)}"
        if reason := self._broken_off(partition):
            words, details[AGAIN] = f"{words}, where the task begins again: {reason}", reason
        note = Note(Topic.SCHEDULING, words, details)
        self.plan.steps.append(PlaceExecution(node.id, partition, note, at_once))
        self._placed += 1
        if at_once:
            self._watch_time()

    def _broken_off(self, partition: int) -> str:
        """Say why the last execution of a partition failed, where its task had begun; empty otherwise."""
        last = next((each for each in reversed(self.current) if each.partition_index == partition), None)
        if last is None or last.compute_state.state_type is not ExecutionStateType.FAILED:
            return ""
        state = last.compute_state
        return state.message if STARTED in state.details else ""

    def approve(self, execution: Execution) -> None:
        """Accept the bid for an execution; the job runs from here on."""
        self.run()
        self._watch_time()
        note = Note(Topic.EXECUTION, "Running")
        self.plan.steps.append(
            Change(execution, DesiredStateType.RUNNING, ExecutionStateType.BID_ACCEPTED, "Running", note)
        )

    def stop(
        self,
        execution: Execution,
        words: str,
        observed: ExecutionStateType = ExecutionStateType.CANCELLED,
        topic: Topic = Topic.SCHEDULING,
        details: dict[str, str] | None = None,
    ) -> None:
        """End an execution."""
        del self._live[execution.id]
        note = Note(topic, words, details or {})
        self.plan.steps.append(Change(execution, DesiredStateType.STOPPED, observed, words, note))
        self._freed_now = True
        self._failed_now |= observed is ExecutionStateType.FAILED

    def stop_all(self, words: str) -> None:
        """End every execution."""
        for execution in self.live:
            self.stop(execution, words)

    def _watch_time(self) -> None:
        if self.time_limit_ns:
            self.plan.wake_at(self.situation.now_ns + self.time_limit_ns)

    # ---- the job

    def run(self) -> None:
        """Say that the job runs, unless it does already."""
        if self._state is not JobStateType.RUNNING:
            self._enter(JobStateType.RUNNING)
        elif self._says_idle:
            self.plan.steps.append(JobChange(JobStateType.RUNNING, "", None))
        self._says_idle = False

    def complete(self) -> None:
        """Say that the job's work is done."""
        self.stop_all(STOP_WORDS[JobStateType.COMPLETED])
        self._enter(JobStateType.COMPLETED)
        self.plan.wakeup_ns = None
        self.plan.again = False

    def fail(self, note: Note) -> None:
        """Give the job up, and all that still runs of it."""
        self.plan.steps.append(JobChange(JobStateType.FAILED, note.message, note))
        self.stop_all(STOP_WORDS[JobStateType.FAILED])
        self.plan.wakeup_ns = self.plan.waits_for = self.plan.claims = None
        self.plan.again = False

    def wait_for(self, refusals: Mapping[str, Refusal]) -> None:
        """Look again when one of these nodes may have room, or when any node joins."""
        for refusal in refusals.values():
            if refusal.until_ns is not None:
                self.plan.wake_at(refusal.until_ns)
        nodes = {node_id for node_id, refusal in refusals.items() if refusal.full or refusal.until_ns}
        self.plan.waits_for = (self.plan.waits_for or frozenset()) | nodes

    # ---- the quota

    def over_quota(self, count: int = 1) -> str:
        """Say why the principal's quota has no room for so many more executions; empty if it has, or there is none."""
        allowance, request = self.situation.allowance, self.situation.request
        if allowance is None:
            return ""
        obstacle = allowance.obstacle(self.job.id, request, self._placed + count - 1)
        return allowance.sentence(obstacle, request) if obstacle else ""

    def wait_for_quota(self, count: int = 1) -> None:
        """Look again when executions of the same principal have ended."""
        self.plan.claims = times(self.situation.request, count)

    # ---- what people read

    def stay_pending(self, text: str) -> None:
        """Say in the state, without an event, why nothing runs yet."""
        state = self.job.state
        if state.state_type is JobStateType.PENDING and not same_shortage(state.message, text):
            self.plan.steps.append(JobChange(JobStateType.PENDING, text, None))

    def stay_idle(self, text: str) -> None:
        """Say of a job that counts as running, as officially, why it runs nowhere; once."""
        state = self.job.state
        if state.state_type is JobStateType.RUNNING and not same_shortage(state.message, text):
            note = Note(
                Topic.SCHEDULING, f"Job runs on no node.\n{text}", {"Hint": self._explain_hint("why")}
            )
            self.plan.steps.append(JobChange(JobStateType.RUNNING, text, note))

    def _explain_hint(self, what: str) -> str:
        # Official clients show a hint, too. It names no other job: not everybody who reads this may see those.
        return f"bacalhau-jupyter explain {short_id(self.job.id)} says {what}"

    def queue(self, text: str) -> None:
        """Say what the job waits for, unless that is known."""
        state = self.job.state
        if state.state_type is JobStateType.QUEUED and same_shortage(state.message, text):
            return
        hint = self._explain_hint("what it waits for")
        note = Note(Topic.QUEUEING, f"Job queued. {text}", {"Hint": hint})
        self.plan.steps.append(JobChange(JobStateType.QUEUED, text, note))

    def _enter(self, state: JobStateType) -> None:
        self._state = state
        note = Note(Topic.STATE_UPDATE, state.value, {"NewState": state.value})
        self.plan.steps.append(JobChange(state, "", note))


def is_wanted(execution: Execution) -> bool:
    """Whether an execution is to run."""
    return execution.desired_state.state_type is DesiredStateType.RUNNING
