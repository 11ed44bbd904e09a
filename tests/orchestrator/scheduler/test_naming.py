"""Jobs for a node that nobody knows: the sentence and the hint name nodes, not their labels."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from bacalhau_jupyter.models.errors import HINT
from bacalhau_jupyter.models.jobs.job import JobStateType
from bacalhau_jupyter.models.jobs.spec import Constraint
from bacalhau_jupyter.orchestrator.scheduler.naming import unknown_node
from bacalhau_jupyter.orchestrator.scheduler.plan import NodeView
from tests.orchestrator.explaining.cases import explained
from tests.orchestrator.scheduler.world import World
from tests.orchestrator.support import node_info

FIRST, SECOND = "n-1a2b3c4d-0000-4000-8000-000000000001", "n-1a2bffff-0000-4000-8000-000000000002"


def named(value: str, *more: str, key: str = "name", operator: str = "=") -> list[Constraint]:
    return [Constraint(key=key, operator=operator, values=[value, *more])]


def views(*names: str) -> list[NodeView]:
    return [NodeView(node_info(name)) for name in names]


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ("n-1a2b3c4d", f"n-1a2b3c4d means {FIRST}: write name={FIRST}"),
        ("n-1a2b3", f"n-1a2b3 means {FIRST}: write name={FIRST}"),
        ("n-1a2b", f"it may mean {FIRST}, {SECOND}: write name= and the whole name"),
        ("gpu-bx", "did you mean name=gpu-box?"),
        ("n-", f"write name= and the whole name of one of these: gpu-box, {FIRST}, {SECOND}"),
        ("other", f"write name= and the whole name of one of these: gpu-box, {FIRST}, {SECOND}"),
    ],
)
def test_the_hint_says_which_node_is_meant_else_which_there_are(asked: str, hint: str) -> None:
    unknown = unknown_node(named(asked), views(FIRST, SECOND, "gpu-box"))
    assert unknown is not None
    assert (unknown.sentence, unknown.hint) == (f"no node is called {asked}", hint)


@pytest.mark.parametrize(
    ("hosts", "hint"),
    [
        (("gpu1", "old"), "did you mean gpu1?"),
        (("old", "lab"), "host list shows which there are: lab, old"),
        ((), "host add lets the Docker Engine of another machine run jobs; host list shows which there are"),
    ],
)
def test_a_host_that_is_not_there_is_told_with_those_that_are(hosts: Sequence[str], hint: str) -> None:
    nodes = views(FIRST, *hosts)
    for node, name in zip(nodes[1:], hosts, strict=True):
        node.info.labels["host"] = name
    unknown = unknown_node(named("gup1", key="host"), nodes)
    assert unknown is not None
    assert (unknown.sentence, unknown.hint) == ("there is no host gup1", hint)
    assert all(unknown_node(named(name, key="host"), nodes) is None for name in hosts)


@pytest.mark.parametrize(
    "constraints",
    [
        named(FIRST),
        named("elsewhere", FIRST, operator="in"),
        named("elsewhere", operator="!="),
        named("eu", key="zone"),
        [],
    ],
)
def test_names_that_are_known_and_other_constraints_are_left_to_the_labels(
    constraints: Sequence[Constraint],
) -> None:
    assert unknown_node(constraints, views(FIRST)) is None


def test_an_official_node_is_called_by_its_id() -> None:
    world = World(nodes=1)
    world.join("n-2", name="")
    view = world.nodes["n-2"]
    view.info.labels.pop("name")
    job = world.submit(node="n-2")
    world.settle(job.id)
    assert [execution.node_id for execution in world.live()] == ["n-2"]


@pytest.mark.parametrize("kind", ["batch", "service", "ops"])
def test_a_job_for_an_unknown_node_fails_with_its_name_alone(kind: str) -> None:
    world = World(nodes=3)
    job = world.submit(node="n-17", kind=kind)
    world.settle(job.id)
    state = world.job(job.id).state
    assert state.state_type is JobStateType.FAILED
    assert state.message.splitlines()[1:] == ["• no node is called n-17"]
    assert state.details[HINT] == "did you mean name=n-1?"


def test_a_daemon_for_an_unknown_node_says_so_while_it_waits() -> None:
    world = World(nodes=3)
    job = world.submit(node="n-17", kind="daemon")
    world.settle(job.id)
    assert "• no node is called n-17" in world.job(job.id).state.message


def test_a_job_that_waits_for_a_node_to_join_is_explained_by_the_name() -> None:
    world = World(nodes=3, queue_unsuitable=True)
    job = world.submit(node="n-17", queue_timeout=100)
    world.settle(job.id)
    explanation = explained(world, job)
    assert explanation.summary == "no node is called n-17"
    assert [remedy.text for remedy in explanation.remedies] == ["did you mean name=n-1?"]


def test_a_name_can_neither_begin_a_line_nor_fill_a_page() -> None:
    unknown = unknown_node(named("x\n• Node n-1: all is well\u202e" + "x" * 10_000), views("n-1"))
    assert unknown is not None
    assert "\n" not in unknown.sentence
    assert "\u202e" not in unknown.sentence
    assert len(unknown.sentence) < 300
    assert len(unknown.hint) < 300


def test_of_a_thousand_nodes_a_few_are_named() -> None:
    unknown = unknown_node(named("zzz"), views(*(f"box-{number}" for number in range(1000))))
    assert unknown is not None
    assert unknown.hint.endswith(", 995 more (node list shows them)")


def test_where_there_are_no_nodes_the_hint_says_how_one_is_started() -> None:
    unknown = unknown_node(named("n-1"), [])
    assert unknown is not None
    assert "serve --compute" in unknown.hint
