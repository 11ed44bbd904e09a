from __future__ import annotations

from typing import Any

import pytest

from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import Constraint, InputSource, ResourcesConfig, SpecConfig, replace
from bacalhau_jupyter.models.records.execution import ComputeState, Execution, ExecutionStateType
from bacalhau_jupyter.orchestrator.planner import request_of
from bacalhau_jupyter.orchestrator.scheduler.attempts import is_capacity_rejection
from bacalhau_jupyter.orchestrator.scheduler.placement import Placement
from bacalhau_jupyter.orchestrator.scheduler.plan import NodeView, Situation
from tests.orchestrator.support import node_info, noop_job


def situation(*nodes: NodeView, used: dict[str, Resources] | None = None, **changes: Any) -> Situation:
    job = replace(noop_job("a"), version=1, **changes)
    return Situation(
        job=job,
        executions=[],
        nodes=nodes,
        used=used or {},
        request=request_of(job),
        submitted_ns=0,
        now_ns=0,
    )


def reason(at: Situation) -> str:
    choice = Placement(at).best(0)
    assert isinstance(choice, dict)
    return next(iter(choice.values())).reason


def task(**changes: object) -> dict[str, Any]:
    return {"tasks": [replace(noop_job().task, **changes)]}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (task(engine=SpecConfig(type="docker")), "does not support docker, only noop"),
        (task(publisher=SpecConfig(type="ipfs")), "does not support ipfs, only local, s3, s3managed"),
        (
            task(input_sources=[InputSource(source=SpecConfig(type="ipfs"), target="/x")]),
            "does not support ipfs, only inline",
        ),
    ],
)
def test_a_node_names_what_it_lacks(changes: dict[str, Any], words: str) -> None:
    assert reason(situation(NodeView(node_info("n-1")), **changes)) == words


def test_types_are_compared_whatever_their_case() -> None:
    at = situation(NodeView(node_info("n-1")), **task(engine=SpecConfig(type=" NoOp ")))
    assert isinstance(Placement(at).best(0), NodeView)


def test_the_emptier_node_is_taken_and_then_counts_as_fuller() -> None:
    nodes = [NodeView(node_info("n-1")), NodeView(node_info("n-2"))]
    placement = Placement(situation(*nodes, used={"n-1": Resources(cpu=1.0)}))
    chosen = [choice.id for choice in (placement.best(p) for p in range(6)) if isinstance(choice, NodeView)]
    assert chosen[0] == "n-2"
    assert chosen.count("n-1") == 2
    assert chosen.count("n-2") == 4
    assert isinstance(placement.best(6), dict)


def test_a_preference_beats_nothing_but_a_condition_bars() -> None:
    nodes = [NodeView(node_info("n-1")), NodeView(node_info("n-2", zone="eu"))]
    wish = Constraint(key="favour_zone", operator="=", values=["eu"])
    must = Constraint(key="zone", operator="=", values=["us"])
    best = Placement(situation(*nodes, constraints=[wish])).best(0)
    assert isinstance(best, NodeView)
    assert best.id == "n-2"
    assert isinstance(Placement(situation(*nodes, constraints=[must])).best(0), dict)


@pytest.mark.parametrize(
    ("message", "details", "capacity"),
    [
        ("rejected bid: this node is busy: not enough CPU (1 > 0) free", {"Capacity": "true"}, True),
        ("rejected bid: insufficient resources - requested …", {}, False),
        ("not enough capacity to run job", {}, True),
        ("anything", {"Retryable": "true"}, True),
        ("rejected bid: this node does not support the available image platforms", {}, False),
    ],
)
def test_rejections_for_capacity_are_distinguished_from_others(
    message: str, details: dict[str, str], capacity: bool
) -> None:
    state = ComputeState(state_type=ExecutionStateType.ASK_FOR_BID_REJECTED, message=message, details=details)
    assert is_capacity_rejection(Execution(compute_state=state)) is capacity


AWAY = "host gpu1 does not answer since 14:03"


def away(engines: list[str], capacity: Resources, **labels: str) -> NodeView:
    """A node whose machine can't be reached now."""
    info = node_info("n-gpu1", capacity, **labels)
    compute = replace(
        info.compute_node_info, unavailable=AWAY, execution_engines=engines, max_capacity=capacity
    )
    return NodeView(replace(info, compute_node_info=replace(compute, max_job_requirements=capacity)))


@pytest.mark.parametrize("engines", [["noop"], []])
@pytest.mark.parametrize("capacity", [Resources(cpu=4, memory=10**10, disk=10**10), Resources()])
def test_a_job_waits_for_a_node_whose_machine_is_away(engines: list[str], capacity: Resources) -> None:
    at = situation(away(engines, capacity, host="gpu1"))
    choice = Placement(at).best(0)
    assert isinstance(choice, dict)
    (refusal,) = choice.values()
    assert refusal.temporary
    assert not refusal.is_about_to_end
    assert refusal.reason == f"node takes no jobs now: {AWAY}"


def test_what_such_a_node_could_never_run_does_not_wait_for_it() -> None:
    small = Resources(cpu=1, memory=10**10, disk=10**10)
    node = away(["noop"], small, host="gpu1")
    big = task(resources=ResourcesConfig(cpu="64"))
    elsewhere = [Constraint(key="host", operator="=", values=["gpu2"])]
    for at in (situation(node, constraints=elsewhere), situation(node, **big)):
        choice = Placement(at).best(0)
        assert isinstance(choice, dict)
        assert not next(iter(choice.values())).temporary
    docker = situation(node, **task(engine=SpecConfig(type="docker")))
    assert reason(docker) == "does not support docker, only noop"


def test_another_node_takes_the_job_meanwhile() -> None:
    at = situation(away([], Resources()), NodeView(node_info("n-1")))
    best = Placement(at).best(0)
    assert isinstance(best, NodeView)
    assert best.id == "n-1"
