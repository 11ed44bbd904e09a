"""Whatever a cluster looks like: the explanation agrees with the scheduler, its advice helps, and it tells no names."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import Constraint
from bacalhau_jupyter.models.jobs.spec import replace as replace_fields
from bacalhau_jupyter.models.records.explanation import RemedyKind, Verdict
from bacalhau_jupyter.models.records.node import Membership, NodeConnection, NodeState
from bacalhau_jupyter.orchestrator.explaining.circumstances import Circumstances, Held
from bacalhau_jupyter.orchestrator.explaining.explain import explain
from bacalhau_jupyter.orchestrator.scheduler.placement import Obstacle, Placement
from bacalhau_jupyter.orchestrator.scheduler.plan import NodeView, Situation
from tests.orchestrator.support import node_info, noop_job

GB = 10**9


requests = st.builds(
    Resources,
    cpu=st.sampled_from([0.1, 0.5, 1.0, 2.0, 4.0, 9.0]),
    memory=st.sampled_from([GB // 10, GB, 3 * GB, 7 * GB, 40 * GB]),
    disk=st.sampled_from([0, GB]),
    gpu=st.integers(0, 2),
)
capacities = st.builds(
    Resources,
    cpu=st.sampled_from([1.0, 2.0, 8.0]),
    memory=st.sampled_from([2 * GB, 8 * GB]),
    disk=st.just(100 * GB),
    gpu=st.integers(0, 2),
)


@st.composite
def clusters(draw: st.DrawFn) -> Circumstances:
    request = draw(requests)
    views: list[NodeView] = []
    held: dict[str, list[Held]] = {}
    states: dict[str, NodeState] = {}
    for number in range(draw(st.integers(0, 4))):
        node_id = f"n-{number}"
        capacity = draw(capacities)
        labels = {"zone": draw(st.sampled_from(["eu", "us"]))}
        left = capacity
        for index in range(draw(st.integers(0, 4))):
            wish = draw(requests)
            if not wish.fits(left):
                continue
            left = left.minus(wish)
            secret = draw(st.booleans())
            key = f"{number}{index}"
            entry = Held("" if secret else f"j-{key}", "" if secret else f"job{key}", wish)
            held.setdefault(node_id, []).append(entry)
        membership = draw(
            st.sampled_from([*[Membership.APPROVED] * 4, Membership.PENDING, Membership.REJECTED])
        )
        connected = draw(st.sampled_from([True, True, True, False]))
        info = node_info(node_id, capacity, **labels)
        views.append(
            NodeView(
                info,
                ready=connected and membership is Membership.APPROVED,
                lost=not connected and draw(st.booleans()),
                rejected=membership is Membership.REJECTED,
            )
        )
        connection = NodeConnection.CONNECTED if connected else NodeConnection.DISCONNECTED
        states[node_id] = NodeState(info=info, membership=membership, connection=connection)
    constraints = [Constraint(key="zone", operator="=", values=["eu"])] if draw(st.booleans()) else []
    job = replace_fields(noop_job("mine"), id="j-mine", version=1, constraints=constraints)
    situation = Situation(
        job=job,
        executions=[],
        nodes=views,
        used={node: _sum(entries) for node, entries in held.items()},
        request=request,
        submitted_ns=0,
        now_ns=0,
    )
    return Circumstances(situation, states, held)


def _sum(entries: list[Held]) -> Resources:
    total = Resources()
    for entry in entries:
        total += entry.resources
    return total


def refusal_at(situation: Situation, node_id: str) -> Obstacle | None:
    """Ask the scheduler itself."""
    (view,) = (view for view in situation.nodes if view.id == node_id)
    refusal = Placement(situation).refusal(view, 0)
    return None if refusal is None else refusal.obstacle


@given(clusters())
def test_every_node_is_judged_once_and_the_verdicts_agree_with_the_scheduler(at: Circumstances) -> None:
    explanation = explain(at)
    assert sorted(node.node_id for node in explanation.nodes) == sorted(
        view.id for view in at.situation.nodes
    )
    choice = Placement(at.situation).best(0)
    able = {node.node_id for node in explanation.nodes if node.verdict is Verdict.ABLE}
    if isinstance(choice, NodeView):
        assert choice.id in able
    else:
        assert not able
    ranks = [node.rank for node in explanation.nodes if node.rank]
    assert ranks == list(range(1, len(able) + 1))


@given(clusters())
def test_every_sentence_is_one_line_and_every_job_that_waits_is_given_a_way_out(at: Circumstances) -> None:
    explanation = explain(at)
    for text in [explanation.summary, *(node.reason for node in explanation.nodes)]:
        assert text and "\n" not in text
    runs_soon = any(node.verdict is Verdict.ABLE for node in explanation.nodes)
    # What asks for more than the largest node has of everything may have no way out.
    hopeless = all(node.verdict is Verdict.UNABLE for node in explanation.nodes) and explanation.nodes
    assert runs_soon or hopeless or explanation.remedies


@given(clusters())
def test_whoever_follows_the_advice_gets_room(at: Circumstances) -> None:
    for node in explain(at).nodes:
        for remedy in node.remedies:
            if remedy.kind is RemedyKind.STOP:
                assert refusal_at(_stopped(at, remedy.job_ids), node.node_id) is None
            elif remedy.kind is RemedyKind.ASK_LESS:
                assert remedy.resources is not None
                obstacle = refusal_at(replace(at.situation, request=remedy.resources), node.node_id)
                allowed = (None,) if node.verdict is Verdict.FULL else (None, Obstacle.FULL)
                assert obstacle in allowed


def _stopped(at: Circumstances, job_ids: list[str]) -> Situation:
    """Return what the scheduler would see without these jobs."""
    used = {
        node: _sum([entry for entry in entries if entry.job_id not in job_ids])
        for node, entries in at.held.items()
    }
    return replace(at.situation, used=used)


@given(clusters())
def test_what_is_held_and_free_adds_up(at: Circumstances) -> None:
    for node in explain(at).nodes:
        if node.verdict is Verdict.FULL:
            assert node.shortages
            for shortage in node.shortages:
                assert shortage.free < shortage.asked
                assert shortage.free <= shortage.total


@given(clusters())
def test_jobs_that_may_not_be_seen_are_counted_and_never_named(at: Circumstances) -> None:
    for node in explain(at).nodes:
        entries = at.held.get(node.node_id, [])
        shown = {(entry.job_id, entry.name) for entry in entries if entry.is_shown}
        for holder in node.holders:
            if holder.job_id:
                assert (holder.job_id, holder.name) in shown
            else:
                assert not holder.name and holder.count <= sum(not entry.is_shown for entry in entries)
