"""How far a node has listened, while messages are handled at the same time and some fail."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bacalhau_jupyter.compute.link.arrivals import MOST_OPEN, Arrivals


def test_a_message_that_is_not_handled_yet_is_not_passed() -> None:
    arrivals = Arrivals()
    for seq in (3, 5, 9):
        arrivals.begin(seq)
    arrivals.end(9)
    assert arrivals.handled == 2
    arrivals.end(3)
    assert arrivals.handled == 4
    arrivals.end(5)
    assert arrivals.handled == 9


def test_a_message_that_failed_is_not_passed_until_it_came_again() -> None:
    arrivals = Arrivals()
    arrivals.begin(1)
    arrivals.begin(2)
    arrivals.end(2)
    assert arrivals.handled == 0
    arrivals.begin(1)
    arrivals.end(1)
    assert arrivals.handled == 2


def test_what_comes_a_second_time_takes_nothing_back() -> None:
    arrivals = Arrivals()
    for seq in (1, 2):
        arrivals.begin(seq)
        arrivals.end(seq)
    arrivals.begin(1)
    assert arrivals.handled == 2


def test_a_message_that_failed_before_a_handshake_is_not_passed_after_it() -> None:
    arrivals = Arrivals()
    for seq in (5, 6):
        arrivals.begin(seq)
    arrivals.restart(4)
    arrivals.end(6)
    assert arrivals.handled == 4
    for seq in (5, 6):
        arrivals.begin(seq)
        arrivals.end(seq)
    assert arrivals.handled == 6


def test_what_failed_with_another_orchestrator_holds_up_nothing() -> None:
    arrivals = Arrivals()
    arrivals.restart(4999)
    arrivals.begin(5000)
    arrivals.restart(10)
    for seq in (11, 5001):
        arrivals.begin(seq)
        arrivals.end(seq)
    assert arrivals.handled == 5001


def test_what_was_at_work_with_another_orchestrator_is_not_counted() -> None:
    arrivals = Arrivals()
    arrivals.begin(5000)
    arrivals.restart(10)
    arrivals.end(5000)
    assert arrivals.handled == 10


def test_an_orchestrator_that_begins_elsewhere_is_followed() -> None:
    arrivals = Arrivals()
    arrivals.begin(7)
    arrivals.restart(40)
    assert arrivals.handled == 40
    arrivals.restart(0)
    arrivals.begin(1)
    arrivals.end(1)
    assert arrivals.handled == 1


@given(st.data())
def test_no_message_before_the_mark_was_left_out(data: st.DataObject) -> None:
    arrivals, last = Arrivals(), 0
    open_: set[int] = set()
    done: set[int] = set()
    again: set[int] = set()
    for _ in range(data.draw(st.integers(0, 40))):
        is_end: bool = data.draw(st.booleans())
        if open_ and is_end:
            seq = data.draw(st.sampled_from(sorted(open_)))
            # The others fail, and stay open.
            if data.draw(st.booleans()):
                open_.remove(seq)
                done.add(seq)
                if seq in again:
                    arrivals.begin(seq)
                arrivals.end(seq)
        else:
            last += data.draw(st.integers(1, 3))
            open_.add(last)
            if data.draw(st.booleans()):
                arrivals.begin(last)
            else:
                arrivals.refused(last)
                # It comes again, before it is handled.
                again.add(last)
        assert not any(seq <= arrivals.handled for seq in open_)
    assert open_ or arrivals.handled == max(done, default=0)


def test_a_message_that_was_refused_holds_the_mark_until_it_is_handled() -> None:
    arrivals = Arrivals()
    for seq in (1, 2):
        arrivals.begin(seq)
        arrivals.end(seq)
    arrivals.refused(3)
    arrivals.begin(4)
    arrivals.end(4)
    assert arrivals.handled == 2
    arrivals.begin(3)
    arrivals.end(3)
    assert arrivals.handled == 4


def test_a_refused_message_without_a_number_holds_the_mark_until_the_next_handshake() -> None:
    arrivals = Arrivals()
    arrivals.begin(1)
    arrivals.end(1)
    arrivals.begin(2)
    arrivals.refused(0)
    arrivals.end(2)
    arrivals.begin(4)
    arrivals.end(4)
    assert arrivals.handled == 1
    arrivals.restart(1)
    for seq in (2, 3, 4):
        arrivals.begin(seq)
        arrivals.end(seq)
    assert arrivals.handled == 4


def test_numbers_that_nobody_ever_handles_do_not_fill_the_memory() -> None:
    arrivals = Arrivals()
    arrivals.begin(1)
    arrivals.end(1)
    for seq in range(2, 3 * MOST_OPEN):
        arrivals.refused(seq)
    assert arrivals.handled == 1
    assert len(arrivals._open) <= MOST_OPEN
