"""One rule for the IDs of nodes: at the door of the NATS server, in handshakes, and for names that people give."""

from __future__ import annotations

import pytest

from bacalhau_jupyter.transport.node_ids import LIMIT, is_node_id, problem_of


@pytest.mark.parametrize(
    "node_id",
    [
        *("", "a b", "a.b", "a*", ">", "a/b"),
        *("a\x00", "a\x1b[2J", "a\u202e", "a\n", "a\ud800"),
        *("x" * (LIMIT + 1), "ö" * (LIMIT // 2 + 1)),
    ],
)
def test_what_is_no_word_of_a_subject_or_a_path_is_refused_in_one_sentence(node_id: str) -> None:
    problem = problem_of(node_id)
    assert problem and problem.isprintable() and len(problem) < 300
    assert not is_node_id(node_id)


@pytest.mark.parametrize(
    "node_id", ["n-3f0c6f34-4a0b-4f5e-9d56-8a3b0b8a9f11", "gpu_box", "n-1:2", "Köln", "x" * LIMIT]
)
def test_an_ordinary_id_is_taken(node_id: str) -> None:
    assert problem_of(node_id) == ""
