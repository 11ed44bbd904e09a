"""Two processes with one node ID."""

from __future__ import annotations

from bacalhau_jupyter.lib.clock import SECOND
from bacalhau_jupyter.orchestrator.peers.rivals import REMEMBERED_S, Instance

NOON = 1_790_000_000 * SECOND
LATER = NOON + 60 * SECOND


def test_a_node_that_was_started_again_is_the_node() -> None:
    instance = Instance(NOON)
    assert instance.admits(LATER, 0, is_heard=True, is_far=True)
    assert instance.sentence(0) == ""


def test_a_process_that_started_before_the_one_that_is_heard_is_kept_out_and_told_of() -> None:
    instance = Instance(LATER)
    assert not instance.admits(NOON, 0, is_heard=True, is_far=True)
    assert "two nodes use this ID" in instance.sentence(1)
    assert instance.started_ns == LATER
    assert instance.sentence(int(REMEMBERED_S * SECOND)) == ""


def test_a_process_takes_the_place_of_one_that_is_gone_whatever_their_clocks_say() -> None:
    instance = Instance(LATER)
    assert instance.admits(NOON, 0, is_heard=False, is_far=True)
    assert instance.started_ns == NOON
    assert instance.proves()


def test_after_a_take_over_the_next_heartbeat_must_show_from_whom_it_is() -> None:
    instance = Instance(NOON)
    instance.admits(LATER, 0, is_heard=True, is_far=True)
    assert [instance.proves(), instance.proves()] == [False, True]
    # The older process lives: asked for a handshake, it shows itself.
    assert not instance.admits(NOON, 0, is_heard=True, is_far=True)
    assert instance.admits(LATER, 0, is_heard=True, is_far=True)
    assert instance.proves()


def test_a_node_that_does_not_say_when_it_started_is_believed() -> None:
    instance = Instance(NOON)
    assert instance.admits(0, 0, is_heard=True, is_far=True)
    assert instance.proves()


def test_inside_a_process_the_last_to_connect_is_the_node() -> None:
    instance = Instance(LATER)
    assert instance.admits(NOON, 0, is_heard=True, is_far=False)
    assert instance.proves()
