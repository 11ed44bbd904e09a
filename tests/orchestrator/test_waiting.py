from __future__ import annotations

from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.orchestrator.waiting import Waiting, Wish

NODE = {"n": Resources(cpu=2.0, memory=100)}


def wish(cpu: float, *nodes: str) -> Wish:
    return Wish(Resources(cpu=cpu, memory=1), frozenset(nodes or ("n",)))


def full() -> Waiting:
    waiting = Waiting()
    waiting.hold("e", "n", Resources(cpu=2.0, memory=2))
    return waiting


def test_freed_capacity_wakes_as_many_as_fit_best_first() -> None:
    waiting = full()
    for number, priority in enumerate((0, 0, 7, 0)):
        waiting.add(f"j{number}", priority, number, wish(1.0))
    assert waiting.wake(NODE) == []
    assert waiting.free(["e"])
    assert waiting.wake(NODE) == [("j2", 7), ("j0", 0)]


def test_a_job_woken_in_vain_lets_the_others_through() -> None:
    waiting = full()
    waiting.add("picky", 9, 0, wish(2.0))
    waiting.add("other", 0, 1, wish(2.0))
    waiting.free(["e"])
    assert waiting.wake(NODE) == [("picky", 9)]
    # Its evaluation left it waiting, so what was kept for it goes to the next; and so on, but not for ever.
    assert waiting.worth_a_walk("picky", NODE)
    assert waiting.wake(NODE) == [("other", 0)]
    assert waiting.wake(NODE) == []
    waiting.again()
    assert waiting.wake(NODE) == [("picky", 9)]


def test_a_job_that_no_full_node_would_suit_takes_nobodys_place() -> None:
    waiting = full()
    waiting.add("elsewhere", 9, 0, wish(1.0, "other-node"))
    waiting.add("here", 0, 1, wish(2.0))
    waiting.free(["e"])
    assert waiting.wake(NODE) == [("here", 0)]


def test_a_small_job_may_pass_a_big_one() -> None:
    waiting = Waiting()
    waiting.hold("e", "n", Resources(cpu=1.0))
    waiting.add("big", 9, 0, wish(2.0))
    waiting.add("small", 0, 1, wish(1.0))
    assert waiting.wake(NODE) == [("small", 0)]
    assert not waiting.worth_a_walk("big", NODE)


def test_held_twice_counts_once_and_freeing_the_unknown_frees_nothing() -> None:
    waiting = full()
    waiting.hold("e", "n", Resources(cpu=2.0, memory=2))
    assert not waiting.free(["unknown"])
    assert waiting.free(["e"])
    assert not waiting.free(["e"])
    waiting.add("j", 0, 0, wish(2.0))
    assert waiting.wake(NODE) == [("j", 0)]
    waiting.discard("j")
    assert len(waiting) == 0


def test_who_goes_first_for_the_same_nodes_is_known_in_order() -> None:
    waiting = full()
    waiting.add("late", 0, 9, wish(1.0))
    waiting.add("early", 0, 1, wish(2.0))
    waiting.add("urgent", 5, 8, wish(0.5, "n", "m"))
    waiting.add("elsewhere", 9, 0, wish(1.0, "m"))
    assert waiting.ahead_of("late") == ["urgent", "early"]
    assert waiting.ahead_of("urgent") == ["elsewhere"]
    assert waiting.ahead_of("unknown") == []
