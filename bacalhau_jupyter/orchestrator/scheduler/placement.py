"""Which node takes a partition, and why the others don't."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from bacalhau_jupyter.lib.masking import mask_secrets
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.selector import describe, matches, split_favoured
from bacalhau_jupyter.models.jobs.spec import Constraint
from bacalhau_jupyter.models.jobs.units import format_bytes, format_resources
from bacalhau_jupyter.models.records.node import ComputeNodeInfo
from bacalhau_jupyter.orchestrator.peers.described import too_old
from bacalhau_jupyter.orchestrator.peers.offers import largest_spec
from bacalhau_jupyter.orchestrator.scheduler.attempts import ATTEMPTS_PER_NODE, PATIENCE, past_of
from bacalhau_jupyter.orchestrator.scheduler.naming import HOST, unknown_node
from bacalhau_jupyter.orchestrator.scheduler.plan import NodeView, Situation

RESTARTING = "job is about to be restarted"
"""How the reason of a node begins on which the job ended a moment ago."""
REASON_LENGTH = 300
"""Characters of a node's own reason that a refusal repeats."""


class Obstacle(enum.Enum):
    """What keeps a partition from a node."""

    OLD = enum.auto()
    LACKS_PLUGIN = enum.auto()
    LABELS = enum.auto()
    TOO_BIG = enum.auto()
    TOO_LONG = enum.auto()
    NO_ADDRESS = enum.auto()
    REJECTED = enum.auto()
    FAILED = enum.auto()
    AWAY = enum.auto()
    PENDING = enum.auto()
    RESTING = enum.auto()
    FULL = enum.auto()
    QUOTA = enum.auto()
    UNAVAILABLE = enum.auto()


_PASSING = (Obstacle.PENDING, Obstacle.UNAVAILABLE)
"""Nobody knows for how long."""


@dataclass(frozen=True)
class Refusal:
    """Why a node does not take a partition now.

    Parameters
    ----------
    obstacle
        The kind of reason.
    reason
        In the official words.
    full
        It would, if it had room.
    until_ns
        When to ask again, if not when capacity is freed.
    """

    obstacle: Obstacle
    reason: str
    full: bool = False
    until_ns: int | None = None

    @property
    def away(self) -> bool:
        """Whether the node is known, but not connected at the moment."""
        return self.obstacle is Obstacle.AWAY

    @property
    def is_about_to_end(self) -> bool:
        """Whether it is a matter of seconds, as a rule."""
        return self.away or (self.until_ns is not None and not self.full)

    @property
    def temporary(self) -> bool:
        """Whether waiting may help."""
        return self.full or self.away or self.until_ns is not None or self.obstacle in _PASSING


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
    candidates
        How many nodes could take what `best` placed last, such as ``2 of 3``.
    absent
        Node ID → why it is not among those that are asked; of nodes that are gone only where no other one is known,
        or the job's constraints mean them.
    unknown
        A node that the constraints name and nobody knows.
    elsewhere
        Nodes that are out of the question because the constraints name a Docker host.
    """

    def __init__(self, situation: Situation) -> None:
        self._situation = situation
        required, self._favoured = split_favoured(situation.job.constraints)
        self._past = past_of(situation)
        self.candidates = ""
        self.tried = {partition for past in self._past.values() for partition in past.failures}
        self._free: dict[str, Resources] = {}
        self._worth: dict[str, float] = {}
        self._static: dict[str, Refusal | None] = {}
        self.unknown = unknown_node(required, situation.nodes)
        hosts = [constraint for constraint in required if constraint.key == HOST]
        self.elsewhere = {node.id for node in situation.nodes if hosts and not matches(hosts, node.labels)}
        demand = _Demand(situation, required)
        used = situation.used
        for node in situation.nodes:
            node_id, capacity = node.id, node.info.compute_node_info.max_capacity
            self._free[node_id] = capacity.minus(used[node_id]) if node_id in used else capacity
            self._static[node_id] = demand.unsuitable(node, elsewhere=node_id in self.elsewhere)
        self.nodes = [node for node in situation.nodes if not (node.lost or node.rejected)]
        self.absent = {
            node.id: "node was rejected" if node.rejected else "node is gone"
            for node in situation.nodes
            if node.rejected or (node.lost and (not self.nodes or self._is_chosen(node, required)))
        }

    def _is_chosen(self, node: NodeView, required: Sequence[Constraint]) -> bool:
        """Whether constraints chose a node, as far as its description says."""
        return bool(required) and self._static[node.id] is None

    def best(self, partition: int) -> NodeView | dict[str, Refusal]:
        """Return the best node for a partition and take its capacity, or every node's refusal."""
        refusals: dict[str, Refusal] = {}
        best: NodeView | None = None
        best_score = 0.0
        for node in self.nodes:
            refusal = self.refusal(node, partition)
            if refusal is not None:
                refusals[node.id] = refusal
                continue
            score = self.score(node, partition)
            if best is None or score > best_score or (score == best_score and node.id > best.id):
                best, best_score = node, score
        if best is None:
            return refusals
        self.candidates = f"{len(self.nodes) - len(refusals)} of {len(self.nodes)}"
        self._free[best.id] = self._free[best.id].minus(self._situation.request)
        self._worth.pop(best.id, None)
        return best

    def refusal(self, node: NodeView, partition: int) -> Refusal | None:
        """Return why a node does not take a partition now; None if it does."""
        static = self._static[node.id]
        if static is not None:
            return static
        past = self._past.get(node.id)
        if past is not None:
            if past.barred:
                return Refusal(Obstacle.REJECTED, _because("job rejected", past.objection))
            if past.failures.get(partition, 0) >= ATTEMPTS_PER_NODE:
                words = "job already executed on this node more than once"
                return Refusal(Obstacle.FAILED, _because(words, past.failed.get(partition, "")))
            if self._situation.now_ns < (until := past.restart_ns.get(partition, 0)):
                words = _because(RESTARTING, past.failed.get(partition, ""))
                return Refusal(Obstacle.RESTING, words, until_ns=until)
        if node.pending:
            return Refusal(Obstacle.PENDING, "node waits to be approved")
        if not node.ready:
            return Refusal(Obstacle.AWAY, "node is not connected")
        if reason := node.info.compute_node_info.unavailable:
            return Refusal(Obstacle.UNAVAILABLE, _because("node takes no jobs now", reason))
        if past is not None and past.full and past.full_at >= node.freed_ns:
            until = past.pause_until()
            if self._situation.now_ns < until:
                words = _because("node busy", past.lacks) if past.lacks else self._busy(node)
                return Refusal(Obstacle.RESTING, words, full=past.full >= PATIENCE, until_ns=until)
        if not self._situation.request.fits(self._free[node.id]):
            return Refusal(Obstacle.FULL, self._busy(node), full=True)
        return None

    def _busy(self, node: NodeView) -> str:
        return f"node busy with available capacity {format_resources(self._free[node.id])}"

    def score(self, node: NodeView, partition: int) -> float:
        """Return how good a node that takes a partition is for it: the highest score wins."""
        past = self._past.get(node.id)
        worth = self._worth.get(node.id)
        if worth is None:
            worth = self._worth[node.id] = self._worth_of(node)
        fresh = 30.0 if past is None or not past.failures.get(partition) else 0.0
        return worth + fresh + int(5 * self._situation.rng.random())

    def _worth_of(self, node: NodeView) -> float:
        """Return the part of the score that is the same for all partitions, until something is placed there."""
        free, total = self._free[node.id], node.info.compute_node_info.max_capacity
        request = self._situation.request
        # Numbers, not `Resources`: this is done for each node of a large cluster at each look.
        share = min(
            (free.cpu - request.cpu) / total.cpu if total.cpu else 1.0,
            (free.memory - request.memory) / total.memory if total.memory else 1.0,
            (free.gpu - request.gpu) / total.gpu if total.gpu else 1.0,
        )
        nothing = not (total.cpu or total.memory or total.gpu)
        favoured = sum(matches([wish], node.labels) for wish in self._favoured)
        return 10.0 * favoured + 100.0 * (0.0 if nothing else max(0.0, share))


def _because(words: str, reason: str) -> str:
    """Add a node's own reason to the official words, which alone do not say what to change."""
    reason = " ".join(reason.split())
    if len(reason) > REASON_LENGTH:
        reason = f"{reason[:REASON_LENGTH]}…"
    return f"{words}: {reason}" if reason else words


class _Demand:
    """What a job asks of any node. What alike nodes lack is found out once: a large cluster has few kinds of nodes."""

    def __init__(self, situation: Situation, required: Sequence[Constraint]) -> None:
        task = situation.job.task
        self._situation = situation
        self._required, self._request = required, situation.request
        self._engine = task.engine.type
        self._sources = [item.source.type for item in task.input_sources]
        self._publishers = [] if task.publisher.is_empty else [task.publisher.type]
        self._lacks: dict[tuple[tuple[str, ...], ...], str | None] = {}

    def unsuitable(self, node: NodeView, *, elsewhere: bool) -> Refusal | None:
        """Return why a node will never do for this job, or None.

        ``elsewhere``: the job is for another host, and what else the node lacks does not matter.
        """
        info = node.info.compute_node_info
        if words := too_old(node.info):
            return Refusal(Obstacle.OLD, words)
        if elsewhere:
            return self._without_labels(node)
        offer = (
            tuple(info.execution_engines or ()),
            tuple(info.storage_sources or ()),
            tuple(info.publishers or ()),
        )
        if offer not in self._lacks:
            self._lacks[offer] = (
                _missing([self._engine], info.execution_engines)
                or _missing(self._sources, info.storage_sources)
                or _missing(self._publishers, info.publishers)
            )
        missing = self._lacks[offer]
        # What is away has no engine at present, and has told nothing of its size if it never was there.
        is_unknown = bool(info.unavailable) and info.max_capacity.is_zero
        if missing and not (info.unavailable and not info.execution_engines):
            problem = info.engine_problems.get(self._engine.strip().lower())
            words = f"{missing} ({problem})" if problem and self._engine in missing else missing
            return Refusal(Obstacle.LACKS_PLUGIN, words)
        if self._required and not matches(self._required, node.labels):
            return self._without_labels(node)
        too_big = None if is_unknown else _too_big(self._request, info)
        if too_big is not None:
            return Refusal(Obstacle.TOO_BIG, too_big)
        return _out_of_reach(self._situation, node) if node.way.is_far else None

    def _without_labels(self, node: NodeView) -> Refusal:
        labels = " ".join(f"{key}:{value}" for key, value in sorted(node.info.labels.items()))
        words = f"labels map[{labels}] don't match required selectors {describe(self._required)}"
        return Refusal(Obstacle.LABELS, words)


def _out_of_reach(situation: Situation, node: NodeView) -> Refusal | None:
    """Return why a job can't be carried to a node, or what it needs from here; None where that works."""
    limit = node.way.payload_limit
    if limit is not None and situation.spec_bytes > (most := largest_spec(limit)):
        words = (
            f"the job's spec has {situation.spec_bytes:,} bytes, and the link to the node carries {most:,}"
        )
        return Refusal(Obstacle.TOO_LONG, words)
    if situation.address_problem and not node.way.is_here:
        return Refusal(Obstacle.NO_ADDRESS, situation.address_problem)
    return None


def _missing(required: Sequence[str], offered: Sequence[str] | None) -> str | None:
    names = {name.strip().lower() for name in offered or ()}
    # One storage has two names on the wire.
    if names & {"local", "localdirectory"}:
        names |= {"local", "localdirectory"}
    for name in required:
        if name.strip().lower() not in names:
            return (
                f"does not support {mask_secrets(name)}, only {', '.join(sorted(offered or ())) or 'nothing'}"
            )
    return None


def limit_of(info: ComputeNodeInfo) -> Resources:
    """Return the most that one job may ask of a node; one that states no limit is limited by what it has."""
    return info.max_capacity if info.max_job_requirements.is_zero else info.max_job_requirements


def _too_big(request: Resources, info: ComputeNodeInfo) -> str | None:
    limit = limit_of(info)
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
