"""What the operator reads about a node."""

from __future__ import annotations

import pytest

from bacalhau_jupyter.lib.clock import SECOND
from bacalhau_jupyter.models.jobs.spec import replace
from bacalhau_jupyter.models.records.node import NodeState
from bacalhau_jupyter.orchestrator.peers.notices import clock_sentence, namesake_sentence, namesakes
from tests.orchestrator.support import node_info


def named(node_id: str, name: str) -> NodeState:
    info = node_info(node_id)
    return NodeState(info=replace(info, labels={"name": name} if name else {}))


def test_nodes_with_one_name_know_of_each_other() -> None:
    states = [
        named("n-1", "gpu"),
        named("n-2", "gpu"),
        named("n-3", "gpu"),
        named("n-4", "cpu"),
        named("n-5", ""),
    ]
    names = namesakes(states)
    assert namesake_sentence(states[0], names) == (
        "n-2 and 1 more have the label name=gpu, too: a constraint on it means them all"
    )
    assert namesake_sentence(states[3], names) == namesake_sentence(states[4], names) == ""


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(3600 * 2, "2.0 h ahead of"), (-3600, "60 min behind"), (45, "45 s ahead of")],
)
def test_a_wrong_clock_is_told_with_its_size(seconds: int, words: str) -> None:
    assert words in clock_sentence(seconds * SECOND)
    assert clock_sentence(0) == ""
