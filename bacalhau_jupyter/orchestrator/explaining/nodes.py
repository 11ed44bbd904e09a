"""What one node is for a job, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bacalhau_jupyter.lib.ids import short_id
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.selector import matches, split_favoured
from bacalhau_jupyter.models.jobs.spec import replace
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.models.records.explanation import (
    Holder,
    NodeVerdict,
    Remedy,
    RemedyKind,
    Shortage,
    Verdict,
)
from bacalhau_jupyter.models.records.node import ConnectionState, Membership, NodeState, for_people
from bacalhau_jupyter.models.text import readable
from bacalhau_jupyter.orchestrator.explaining.circumstances import Circumstances, Held
from bacalhau_jupyter.orchestrator.explaining.remedies import ask_less, meet_constraints, stop_jobs
from bacalhau_jupyter.orchestrator.explaining.words import (
    GPU,
    amount,
    amounts,
    bare_amount,
    listed,
    plainly,
    quoted,
    selector_text,
    shortages_of,
)
from bacalhau_jupyter.orchestrator.scheduler.attempts import is_capacity_rejection
from bacalhau_jupyter.orchestrator.scheduler.placement import (
    RESTARTING,
    Obstacle,
    Refusal,
    limit_of,
)
from bacalhau_jupyter.orchestrator.scheduler.plan import NodeView


@dataclass(frozen=True)
class Judge:
    """Judges nodes for one job in the same circumstances."""

    circumstances: Circumstances

    def judge(self, node: NodeView, refusal: Refusal | None) -> NodeVerdict:
        """Say what a node is for the job.

        Parameters
        ----------
        node
            The node.
        refusal
            What the scheduler has against it; None if it would place the job there.
        """
        away = self._away(node)
        if away is not None and (refusal is None or refusal.obstacle in _PASSING):
            return away
        if refusal is None:
            return NodeVerdict(node_id=node.id, verdict=Verdict.ABLE, reason="has room for it")
        verdict = self._refused(node, refusal)
        # No single remedy helps where two things are in the way.
        return verdict if away is None else replace(verdict, remedies=[])

    def _refused(self, node: NodeView, refusal: Refusal) -> NodeVerdict:
        match refusal.obstacle:
            case Obstacle.FULL:
                return self._full(node, "")
            case Obstacle.RESTING if refusal.reason.startswith(RESTARTING):
                why = refusal.reason.removeprefix(RESTARTING).removeprefix(": ")
                words = f"starts it again in a moment{f': it ended ({why})' if why else ''}"
                remedies = [Remedy(kind=RemedyKind.WAIT, text="wait: it is started again soon")]
                return NodeVerdict(
                    node_id=node.id, verdict=Verdict.FULL, reason=readable(words), remedies=remedies
                )
            case Obstacle.FAILED if self.circumstances.situation.job.is_long_running:
                return self._ended(node)
            case Obstacle.RESTING:
                return self._full(node, self._last_rejection(node))
            case Obstacle.TOO_BIG:
                return self._too_small(node)
            case Obstacle.LABELS:
                return self._labels(node)
            case Obstacle.LACKS_PLUGIN:
                return self._lacks(node, refusal)
        words = refusal.reason.replace("job rejected", "refused the job", 1)
        return NodeVerdict(node_id=node.id, reason=readable(plainly(words)))

    def _away(self, node: NodeView) -> NodeVerdict | None:
        state = self.circumstances.states.get(node.id, NodeState())
        if node.rejected:
            remedy = f"approve the node again: node approve {short_id(node.id)}"
            return _away(node, f"was rejected{_said(state.connection_state)}", remedy)
        if node.ready and not node.lost:
            return _resting(node)
        if state.membership is Membership.PENDING:
            return _away(node, "waits to be approved", f"approve the node: node approve {short_id(node.id)}")
        since = state.connection_state.disconnected_since[:_SECONDS].replace("T", " ")
        words = f"is not connected{_said(state.connection_state)}"
        words += f" since {since} UTC" if since and not since.startswith("0001") else ""
        return _away(node, words, f"start the node {readable(short_id(node.id))} again")

    def _full(self, node: NodeView, rejection: str) -> NodeVerdict:
        situation = self.circumstances.situation
        total = node.info.compute_node_info.max_capacity
        free = total.minus(situation.used.get(node.id, Resources()))
        shortages = shortages_of(situation.request, free, total)
        held = [item for item in self.circumstances.held.get(node.id, ()) if _holds(item, shortages)]
        if not shortages:
            # It knows better what it has left than the account here: its disk fills up by itself, too.
            return NodeVerdict(
                node_id=node.id,
                verdict=Verdict.FULL,
                reason=f"had no room when it was asked a moment ago{f': {rejection}' if rejection else ''}",
                remedies=[Remedy(kind=RemedyKind.WAIT, text="wait: the node is asked again soon")],
            )
        remedies = [stop_jobs(situation.request, free, held, situation.job.id)]
        reduced = ask_less(situation.request, shortages, free)
        if reduced is not None and not rejection:
            remedies.append(reduced)
        return NodeVerdict(
            node_id=node.id,
            verdict=Verdict.FULL,
            reason=_full_words(shortages, held),
            shortages=shortages,
            holders=_holders(held),
            remedies=remedies,
        )

    def _too_small(self, node: NodeView) -> NodeVerdict:
        request = self.circumstances.situation.request
        limit = limit_of(node.info.compute_node_info)
        shortages = shortages_of(request, limit, limit)
        words = listed(
            [f"{amount(item.resource, item.asked)} of {_most(item)}" for item in shortages], most=4
        )
        reduced = ask_less(request, shortages, limit)
        lost = _lost_gpus(node) if any(item.resource == GPU for item in shortages) else ""
        return NodeVerdict(
            node_id=node.id,
            reason=f"is too small: the job asks for {words}{lost}",
            shortages=shortages,
            remedies=[reduced] if reduced is not None else [],
        )

    def _labels(self, node: NodeView) -> NodeVerdict:
        required, _ = split_favoured(self.circumstances.situation.job.constraints)
        unmet = [constraint for constraint in required if not matches([constraint], node.labels)]
        return NodeVerdict(
            node_id=node.id,
            reason=f"lacks the labels {selector_text(unmet)}",
            remedies=[meet_constraints(unmet)],
        )

    def _lacks(self, node: NodeView, refusal: Refusal) -> NodeVerdict:
        info = node.info.compute_node_info
        engine = self.circumstances.situation.job.task.engine.type.strip().lower()
        engines = for_people(info.execution_engines or ())
        remedies = []
        if engines and engine not in {name.strip().lower() for name in engines}:
            text = f"use an engine that runs there: {readable(', '.join(engines))}"
            remedies.append(Remedy(kind=RemedyKind.ENGINE, text=text))
        return NodeVerdict(node_id=node.id, reason=readable(refusal.reason), remedies=remedies)

    def _ended(self, node: NodeView) -> NodeVerdict:
        """Say that a job without an end ended here too often to be started again."""
        job = self.circumstances.situation.job
        here = [item for item in self.circumstances.executions if item.node_id == node.id]
        last = max(here, key=_changed, default=None)
        how = ""
        if last is not None and last.run_output is not None:
            how = f", the last time with exit code {last.run_output.code}"
        elif last is not None and last.compute_state.message:
            how = f" ({readable(' '.join(last.compute_state.message.split()))[:_LONGEST_MESSAGE]})"
        name = short_id(job.id)
        text = f"see why it ended (job logs {name}), then run it again: job rerun {name}"
        return NodeVerdict(
            node_id=node.id,
            reason=f"is not asked a third time: it ended there twice in a row{how}",
            remedies=[Remedy(kind=RemedyKind.RERUN, text=text)],
        )

    def _last_rejection(self, node: NodeView) -> str:
        rejections = [
            item
            for item in self.circumstances.executions
            if item.node_id == node.id and is_capacity_rejection(item)
        ]
        last = max(rejections, key=_changed, default=None)
        message = ""
        if last is not None:
            message = last.compute_state.message if last.refusal is None else last.refusal
        return readable(" ".join(message.split()))[:_LONGEST_MESSAGE]


def full_summary(verdict: NodeVerdict, node: str) -> str:
    """Say in one sentence what a job waits for on the node that has most room.

    ``node`` names the node, such as ``node`` where there is one only.
    """
    shortage = verdict.shortages[0]
    asked = listed([amount(item.resource, item.asked) for item in verdict.shortages], most=4)
    free = f", {bare_amount(shortage.resource, shortage.free)} is free" if shortage.free else ""
    rest = "the rest" if shortage.free else "it" if len(verdict.shortages) == 1 else "them"
    holding = _holding(verdict.holders, rest)
    words = f"waiting for {asked}{free}; {holding}{', ' if holding else ''}"
    return f"{words}{node} has {bare_amount(shortage.resource, shortage.total)}"


_PASSING = (Obstacle.AWAY, Obstacle.PENDING, Obstacle.FULL, Obstacle.RESTING, Obstacle.UNAVAILABLE)
_SECONDS = len("2026-01-01T00:00:00")
_LONGEST_MESSAGE = 200


def _lost_gpus(node: NodeView) -> str:
    """Say why a node may have GPUs that it can't offer."""
    problems = [
        f"{name}: {problem}" for name, problem in sorted(node.info.compute_node_info.gpu_problems.items())
    ]
    return f" ({readable(' '.join('; '.join(problems).split()))[:_LONGEST_MESSAGE]})" if problems else ""


def _changed(execution: Execution) -> int:
    return execution.modify_time


def _away(node: NodeView, reason: str, remedy: str) -> NodeVerdict:
    remedies = [Remedy(kind=RemedyKind.NODE, text=remedy)]
    return NodeVerdict(node_id=node.id, verdict=Verdict.AWAY, reason=reason, remedies=remedies)


def _resting(node: NodeView) -> NodeVerdict | None:
    """Say why a node that is connected takes nothing new; None where it does."""
    reason = readable(" ".join(node.info.compute_node_info.unavailable.split()))[:_LONGEST_MESSAGE]
    if not reason:
        return None
    host = node.info.labels.get("host", "")
    remedy = f"see what is wrong with it: host test {readable(host)}" if host else "wait until it does"
    return _away(node, f"takes no jobs now: {reason}", remedy)


def _said(connection: ConnectionState) -> str:
    message = readable(" ".join(connection.last_error.split()))[:_LONGEST_MESSAGE]
    return f" ({message})" if message else ""


def _holds(item: Held, shortages: Sequence[Shortage]) -> bool:
    """Whether a job holds some of what is short."""
    held = amounts(item.resources)
    return any(held[shortage.resource] > 0 for shortage in shortages)


def _holders(held: Sequence[Held]) -> list[Holder]:
    """List the jobs, the largest first; those that the caller may not see are one entry that names none."""
    largest_first = sorted(held, key=lambda item: _size(item.resources), reverse=True)
    holders = [
        Holder(job_id=item.job_id, name=item.name, resources=item.resources)
        for item in largest_first
        if item.is_shown
    ]
    hidden = [item.resources for item in held if not item.is_shown]
    if hidden:
        total = Resources()
        for resources in hidden:
            total += resources
        holders.append(Holder(count=len(hidden), resources=total))
    return holders


def _size(resources: Resources) -> tuple[int, float, int, int]:
    return resources.gpu, resources.cpu, resources.memory, resources.disk


def _holding(holders: Sequence[Holder], what: str) -> str:
    """Say who holds something, such as "a and 2 jobs of other people hold it"."""
    names = [quoted(holder.name) for holder in holders if holder.job_id]
    hidden = sum(holder.count for holder in holders if not holder.job_id)
    people = "another person's job" if hidden == 1 else f"{hidden} jobs of other people"
    if hidden:
        shown = names[:2] + ([f"{len(names) - 2} more"] if len(names) > 2 else [])
        text = listed([*shown, people], most=4)
    else:
        text = listed(names)
    if not text:
        return ""
    return f"{text} {'holds' if len(names) + hidden == 1 else 'hold'} {what}"


def _full_words(shortages: Sequence[Shortage], held: Sequence[Held]) -> str:
    parts = [
        f"{amount(item.resource, item.asked)} asked, {bare_amount(item.resource, item.free)} free of "
        f"{bare_amount(item.resource, item.total)}"
        for item in shortages
    ]
    holding = _holding(_holders(held), "the rest")
    return f"{', '.join(parts)}{'; ' if holding else ''}{holding}"


def _most(shortage: Shortage) -> str:
    return bare_amount(shortage.resource, shortage.total)
