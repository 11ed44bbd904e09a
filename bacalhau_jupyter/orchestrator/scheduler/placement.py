"""Which node takes a partition, and why the others don't."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from bacalhau_jupyter.lib.clock import SECOND
from bacalhau_jupyter.models.execution import Execution, ExecutionStateType
from bacalhau_jupyter.models.job import Job
from bacalhau_jupyter.models.node import ComputeNodeInfo
from bacalhau_jupyter.models.resources import Resources
from bacalhau_jupyter.models.selector import describe, matches, split_favoured
from bacalhau_jupyter.models.spec import Constraint
from bacalhau_jupyter.models.units import format_bytes, format_resources
from bacalhau_jupyter.orchestrator.scheduler.plan import NodeView, Situation

ATTEMPTS_PER_NODE = 2
"""How often a partition is tried on one node."""

REJECTION_PAUSE_S = 0.25
"""Seconds a node is left alone after it turned a bid down for want of capacity; doubles with each, to 30 s."""

REASON_LENGTH = 300
"""Characters of a node's own reason that a refusal repeats."""

PATIENCE = 6
"""Capacity rejections in a row after which a node counts as full rather than as about to have room."""


@dataclass(frozen=True)
class Refusal:
    """Why a node does not take a partition now.

    Parameters
    ----------
    reason
        In the official words.
    full
        It would, if it had room.
    until_ns
        When to ask again, if not when capacity is freed.
    away
        It is known, but not connected at the moment.
    """

    reason: str
    full: bool = False
    until_ns: int | None = None
    away: bool = False

    @property
    def temporary(self) -> bool:
        """Whether waiting may help."""
        return self.full or self.away or self.until_ns is not None


def is_capacity_rejection(execution: Execution) -> bool:
    """Whether a node turned a bid down for want of capacity only."""
    state = execution.compute_state
    if state.state_type is not ExecutionStateType.ASK_FOR_BID_REJECTED:
        return False
    # "insufficient resources" is a node's word for what it will never have, so it is not among these.
    return "true" in (state.details.get("Capacity"), state.details.get("Retryable")) or (
        "enough capacity" in state.message.lower()
    )


@dataclass
class _Past:
    """What happened on one node: failures per partition, turned down, rejections for capacity, the last reasons."""

    failures: Counter[int] = field(default_factory=Counter)
    failed: dict[int, str] = field(default_factory=dict)
    barred: bool = False
    objection: str = ""
    full: int = 0
    full_at: int = 0


class Placement:
    """Places partitions one after another, keeping account of what it gave away.

    Parameters
    ----------
    situation
        What there is.

    Attributes
    ----------
    tried
        Partitions that failed somewhere: nodes may answer differently for them than for the others.
    """

    def __init__(self, situation: Situation) -> None:
        self._situation = situation
        required, self._favoured = split_favoured(situation.job.constraints)
        self._past = _past(situation)
        self.tried = {partition for past in self._past.values() for partition in past.failures}
        self._free: dict[str, Resources] = {}
        self._static: dict[str, str | None] = {}
        for node in situation.nodes:
            capacity = node.info.compute_node_info.max_capacity
            self._free[node.id] = capacity.minus(situation.used.get(node.id, Resources()))
            self._static[node.id] = _unsuitable(situation.job, required, situation.request, node)
        self.nodes = [node for node in situation.nodes if not (node.lost or node.rejected)]

    def best(self, partition: int) -> NodeView | dict[str, Refusal]:
        """Return the best node for a partition and take its capacity, or every node's refusal."""
        refusals: dict[str, Refusal] = {}
        best: tuple[float, str, NodeView] | None = None
        for node in self.nodes:
            refusal = self._refusal(node, partition)
            if refusal is not None:
                refusals[node.id] = refusal
                continue
            score = (self._score(node, partition), node.id, node)
            if best is None or score[:2] > best[:2]:
                best = score
        if best is None:
            return refusals
        chosen = best[2]
        self._free[chosen.id] = self._free[chosen.id].minus(self._situation.request)
        return chosen

    def _refusal(self, node: NodeView, partition: int) -> Refusal | None:
        static = self._static[node.id]
        if static is not None:
            return Refusal(static)
        past = self._past.get(node.id)
        if past is not None:
            if past.barred:
                return Refusal(_because("job rejected", past.objection))
            if past.failures.get(partition, 0) >= ATTEMPTS_PER_NODE:
                words = "job already executed on this node more than once"
                return Refusal(_because(words, past.failed.get(partition, "")))
        if not node.ready:
            return Refusal("node is not connected", away=True)
        busy = f"node busy with available capacity {format_resources(self._free[node.id])}"
        if past is not None and past.full and past.full_at >= node.freed_ns:
            pause = int(min(30.0, REJECTION_PAUSE_S * 2 ** min(past.full - 1, 10)) * SECOND)
            until = past.full_at + pause
            if self._situation.now_ns < until:
                return Refusal(busy, full=past.full >= PATIENCE, until_ns=until)
        if not self._situation.request.fits(self._free[node.id]):
            return Refusal(busy, full=True)
        return None

    def _score(self, node: NodeView, partition: int) -> float:
        past = self._past.get(node.id)
        free, total = self._free[node.id], node.info.compute_node_info.max_capacity
        after = free.minus(self._situation.request)
        shares = [
            left / there
            for left, there in ((after.cpu, total.cpu), (after.memory, total.memory), (after.gpu, total.gpu))
            if there
        ]
        return (
            10.0 * sum(matches([wish], node.info.labels) for wish in self._favoured)
            + (30.0 if past is None or not past.failures.get(partition) else 0.0)
            + 100.0 * (min(shares) if shares else 0.0)
            + self._situation.rng.randrange(5)
        )


def _because(words: str, reason: str) -> str:
    """Add a node's own reason to the official words, which alone do not say what to change."""
    reason = " ".join(reason.split())
    if len(reason) > REASON_LENGTH:
        reason = f"{reason[:REASON_LENGTH]}…"
    return f"{words}: {reason}" if reason else words


def _past(situation: Situation) -> dict[str, _Past]:
    past: dict[str, _Past] = {}
    for execution in situation.executions:
        if execution.job_version != situation.job.version:
            continue
        entry = past.setdefault(execution.node_id, _Past())
        state = execution.compute_state.state_type
        if state is ExecutionStateType.FAILED:
            entry.failures[execution.partition_index] += 1
            entry.failed[execution.partition_index] = execution.compute_state.message
        elif is_capacity_rejection(execution):
            entry.full += 1
            entry.full_at = max(entry.full_at, execution.modify_time)
        elif state is ExecutionStateType.ASK_FOR_BID_REJECTED:
            entry.barred = True
            entry.objection = execution.compute_state.message.removeprefix("rejected bid: ")
        elif state is ExecutionStateType.COMPLETED:
            entry.full = 0
    return past


def _unsuitable(job: Job, required: Sequence[Constraint], request: Resources, node: NodeView) -> str | None:
    """Return why a node will never do for this job, or None."""
    info = node.info.compute_node_info
    task = job.task
    missing = (
        _missing([task.engine.type], info.execution_engines)
        or _missing([item.source.type for item in task.input_sources], info.storage_sources)
        or _missing([] if task.publisher.is_empty else [task.publisher.type], info.publishers)
    )
    if missing:
        problem = info.engine_problems.get(task.engine.type.strip().lower())
        return f"{missing} ({problem})" if problem and task.engine.type in missing else missing
    if required and not matches(required, node.info.labels):
        labels = " ".join(f"{key}:{value}" for key, value in sorted(node.info.labels.items()))
        return f"labels map[{labels}] don't match required selectors {describe(required)}"
    return _too_big(request, info)


def _missing(wanted: Sequence[str], offered: Sequence[str] | None) -> str | None:
    names = {name.strip().lower() for name in offered or ()}
    # One storage has two names on the wire.
    if names & {"local", "localdirectory"}:
        names |= {"local", "localdirectory"}
    for name in wanted:
        if name.strip().lower() not in names:
            return f"does not support {name}, only {', '.join(sorted(offered or ())) or 'nothing'}"
    return None


def _too_big(request: Resources, info: ComputeNodeInfo) -> str | None:
    # A node that states no limit per job is limited by what it has.
    limit = info.max_capacity if info.max_job_requirements.is_zero else info.max_job_requirements
    reasons = []
    if request.cpu > limit.cpu + 1e-9:
        reasons.append(f"job requires more CPU ({request.cpu:g}) than the maximum available ({limit.cpu:g})")
    if request.memory > limit.memory:
        reasons.append(
            f"job requires more memory ({format_bytes(request.memory)}) than the maximum available "
            f"({format_bytes(limit.memory)})"
        )
    if request.disk > limit.disk:
        reasons.append(
            f"job requires more disk ({format_bytes(request.disk)}) than the maximum available "
            f"({format_bytes(limit.disk)})"
        )
    if request.gpu > limit.gpu:
        reasons.append(f"job requires more GPUs ({request.gpu}) than the maximum available ({limit.gpu})")
    return " and ".join(reasons) or None
