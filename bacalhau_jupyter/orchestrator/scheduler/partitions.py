"""A job of ``Count`` partitions: one execution of each lives at a time, on whatever node takes it."""

from __future__ import annotations

from collections.abc import Set

from bacalhau_jupyter.lib.clock import SECOND
from bacalhau_jupyter.models.jobs.job import JobStateType
from bacalhau_jupyter.models.records.execution import Execution, ExecutionStateType
from bacalhau_jupyter.models.records.history import Topic
from bacalhau_jupyter.orchestrator.scheduler.draft import STOP_WORDS, Draft, is_wanted
from bacalhau_jupyter.orchestrator.scheduler.placement import Placement, Refusal
from bacalhau_jupyter.orchestrator.scheduler.plan import NEW_EXECUTIONS_LIMIT, NodeView, Note
from bacalhau_jupyter.orchestrator.scheduler.shortage import shortage_details, shortage_text


class Partitions:
    """The partitions of one job in one look.

    Parameters
    ----------
    draft
        The plan in the making.
    done
        Partitions that need no execution any more.
    queued_since_ns
        When the queue time-out begins (Unix nanoseconds).
    """

    def __init__(self, draft: Draft, done: Set[int], queued_since_ns: int) -> None:
        self._draft = draft
        self._done = done
        self._queued_since_ns = queued_since_ns
        # A count may be in the millions: it is walked, never listed.
        self._all = range(draft.job.count or 0)

    @property
    def are_done(self) -> bool:
        """Whether no partition needs an execution any more."""
        return sum(partition in self._all for partition in self._done) == len(self._all)

    def keep_one_each(self) -> None:
        """Approve the oldest open bid of each partition that runs nowhere; stop what is too many."""
        by_partition: dict[int, list[Execution]] = {}
        for execution in self._draft.current_live:
            by_partition.setdefault(execution.partition_index, []).append(execution)
        for partition, candidates in sorted(by_partition.items()):
            if partition in self._done or partition not in self._all:
                keep = None
            else:
                keep = next((e for e in candidates if is_wanted(e)), None) or next(
                    (e for e in candidates if _has_bid(e)), candidates[0]
                )
            for execution in candidates:
                if execution is not keep:
                    open_bid = not is_wanted(execution)
                    observed = ExecutionStateType.BID_REJECTED if open_bid else ExecutionStateType.CANCELLED
                    self._draft.stop(execution, STOP_WORDS[JobStateType.COMPLETED], observed)
            if keep is not None and not is_wanted(keep) and _has_bid(keep):
                self._draft.approve(keep)

    def place_missing(self) -> None:
        """Place the partitions that have no execution; queue or fail the job if no node takes them."""
        draft, plan = self._draft, self._draft.plan
        taken = self._done | {execution.partition_index for execution in draft.current_live}
        missing = len(self._all) - sum(partition in self._all for partition in taken)
        if not missing or draft.must_look_again():
            return
        placement = Placement(draft.situation)
        placed = 0
        short: dict[int, dict[str, Refusal]] = {}
        refused_from: int | None = None
        over_quota = ""
        for partition in self._all:
            if partition in taken:
                continue
            if placed >= NEW_EXECUTIONS_LIMIT:
                plan.again = True
                break
            choice = placement.best(partition)
            if isinstance(choice, NodeView):
                # Asked last: what no node will ever run does not wait for a quota.
                over_quota = draft.over_quota()
                if over_quota:
                    break
                placed += 1
                draft.place(choice, partition, placement.candidates)
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
        if not (short or over_quota) or draft.has_made_room():
            return
        waits = not short or self._wait_or_fail(missing, short, placed, placement)
        if over_quota and waits:
            self._wait_for_quota(over_quota, placed)

    def _wait_for_quota(self, words: str, placed: int) -> None:
        draft = self._draft
        progress = placed > 0 or bool(draft.current_live)
        deadline_ns = self._deadline_ns
        in_time = draft.situation.now_ns < deadline_ns
        if not (in_time or progress):
            draft.fail(Note(Topic.SCHEDULING, words, {"IsError": "true"}))
            return
        draft.wait_for_quota()
        if in_time:
            draft.plan.wake_at(deadline_ns)
            if not progress:
                draft.queue(words)

    @property
    def _deadline_ns(self) -> int:
        return self._queued_since_ns + self._draft.job.task.timeouts.queue_timeout * SECOND

    def _wait_or_fail(
        self, missing: int, short: dict[int, dict[str, Refusal]], placed: int, placement: Placement
    ) -> bool:
        """Return whether the job waits."""
        draft, plan, situation = self._draft, self._draft.plan, self._draft.situation
        # The partition in the worst position speaks for the job.
        refusals = min(short.values(), key=lambda each: sum(refusal.temporary for refusal in each.values()))
        hopeless = not any(refusal.temporary for refusal in refusals.values())
        available = sum(node.ready for node in placement.nodes)
        unknown = placement.unknown
        text = shortage_text(missing, available, placed, refusals, placement.absent, unknown=unknown)
        tried = bool(draft.current)
        progress = placed > 0 or bool(draft.current_live)
        deadline_ns = self._deadline_ns
        in_time = situation.now_ns < deadline_ns
        soon = any(refusal.is_about_to_end for refusal in refusals.values())
        if hopeless and refusals and (tried or not situation.queue_unsuitable):
            wait = False
        else:
            # Without a queue time-out a job still waits for itself, and for a node that is about to have room.
            wait = in_time or (not hopeless and (progress or soon))
        if not wait:
            details = shortage_details(missing, available, placed, unknown)
            draft.fail(Note(Topic.SCHEDULING, text, details))
            return False
        if in_time:
            plan.wake_at(deadline_ns)
        for each in short.values():
            draft.wait_for(each)
        if in_time and not progress:
            draft.queue(text)
        return True


def _has_bid(execution: Execution) -> bool:
    return execution.compute_state.state_type is ExecutionStateType.ASK_FOR_BID_ACCEPTED
