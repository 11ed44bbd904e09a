"""When a way is opened, given up and opened again: the rules, and that no order of events breaks them."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from bacalhau_jupyter.engines.docker.link.fault import Part, refused, unreachable
from bacalhau_jupyter.engines.docker.link.machine import (
    LONGEST_DELAY_S,
    REFUSED_DELAY_S,
    Asked,
    Changed,
    Check,
    Close,
    Due,
    Ended,
    Event,
    Failed,
    Instruction,
    Now,
    Open,
    Opened,
    Phase,
    Record,
    Suspected,
    Wait,
    begin,
    step,
)
from bacalhau_jupyter.lib.clock import SECOND
from bacalhau_jupyter.models.records.hosts import HostState

START = 1_764_514_980 * SECOND
SILENT = unreachable(Part.SERVER, "gpu1 does not answer", silent=True)
NO_LOGIN = refused(Part.LOGIN, "gpu1 does not let alice in", "ssh-copy-id")


@dataclass
class Way:
    """A way in the hands of a test."""

    record: Record = field(default_factory=lambda: begin(Now(START, 0)))
    now_s: float = 0.0

    def __call__(self, event: Event) -> tuple[Instruction, ...]:
        now = Now(START + int(self.now_s * SECOND), int(self.now_s * SECOND))
        self.record, instructions = step(self.record, event, now)
        return instructions

    @property
    def state(self) -> HostState:
        return self.record.status.state


def opened() -> Way:
    way = Way()
    way(Due())
    way(Opened(1, "ssh"))
    return way


def test_a_way_is_connecting_until_the_first_attempt_has_ended() -> None:
    way = Way()
    assert way.state is HostState.CONNECTING
    assert way(Due()) == (Open(1),)
    assert way.state is HostState.CONNECTING
    assert way(Opened(1, "ssh")) == ()
    assert (way.state, way.record.status.way) == (HostState.READY, "ssh")


def test_the_loss_of_a_good_way_is_answered_at_once() -> None:
    way = opened()
    way.now_s = 60
    assert way(Failed(1, SILENT)) == (Close(), Wait(0.0, watches=False))
    assert way(Due()) == (Open(2),)
    assert way.state is HostState.UNREACHABLE


def test_a_way_that_breaks_as_soon_as_it_is_open_is_tried_less_and_less_often() -> None:
    way, delays = Way(), []
    for attempt in range(1, 9):
        way(Due())
        way(Opened(attempt, "ssh"))
        _, wait = way(Failed(attempt, SILENT))
        assert isinstance(wait, Wait)
        delays.append(wait.delay_s)
    assert delays == [0.5, 1, 2, 4, 8, 16, LONGEST_DELAY_S, LONGEST_DELAY_S]


def test_since_when_a_host_is_silent_stays_while_it_is() -> None:
    way = opened()
    way.now_s = 60
    way(Failed(1, SILENT))
    first = way.record.status
    assert first.problem.startswith("gpu1 does not answer since ")
    for attempt in range(2, 5):
        way.now_s += 600
        way(Due())
        way(Failed(attempt, SILENT))
        assert way.record.status == first


def test_the_day_is_told_where_it_was_another_one() -> None:
    way = opened()
    way.now_s = 60
    way(Failed(1, SILENT))
    way(Due())
    way.now_s += 2 * 86400
    way(Failed(2, SILENT))
    assert "since 20" in way.record.status.problem
    assert way.record.status.since_ns == START + 60 * SECOND


def test_a_refused_way_waits_for_a_person() -> None:
    way = Way()
    way(Due())
    assert way(Failed(1, NO_LOGIN)) == (Close(), Wait(REFUSED_DELAY_S, watches=True))
    assert (way.record.status.problem, way.record.status.hint) == (NO_LOGIN.sentence, NO_LOGIN.hint)
    assert way(Changed()) == (Open(2),)
    assert way.state is HostState.REFUSED, "until it is known to be better"
    way(Failed(2, NO_LOGIN))
    assert way(Asked()) == (Open(3),)


def test_a_changed_key_file_hurries_no_host_that_is_only_silent() -> None:
    way = Way()
    way(Due())
    way(Failed(1, SILENT))
    assert way(Changed()) == ()


def test_a_failed_call_has_an_open_way_checked_and_no_other() -> None:
    way = Way()
    assert way(Suspected()) == ()
    way(Due())
    assert way(Suspected()) == ()
    way(Opened(1, "ssh"))
    assert way(Suspected()) == (Check(1),)
    assert way.state is HostState.READY


def test_what_an_earlier_attempt_still_says_counts_for_nothing() -> None:
    way = opened()
    way(Failed(1, SILENT))
    way(Due())
    assert way(Failed(1, SILENT)) == ()
    assert way(Opened(1, "ssh")) == ()
    assert way.record.phase is Phase.OPENING


FAULTS = st.sampled_from([SILENT, NO_LOGIN, unreachable(Part.ENGINE, "no Docker Engine answers on gpu1")])


def _events(attempt: int) -> st.SearchStrategy[Event]:
    attempts = st.integers(max(0, attempt - 2), attempt)
    return st.one_of(
        st.sampled_from([Due(), Asked(), Changed(), Suspected()]),
        st.builds(Opened, attempts, st.just("ssh")),
        st.builds(Failed, attempts, FAULTS),
        *([st.just(Ended())] if attempt > 5 else []),
    )


@settings(deadline=None)
@given(st.data())
def test_no_order_of_events_opens_two_ways_or_forgets_to_try_again(data: st.DataObject) -> None:
    way = Way()
    is_open, waits, closed = False, True, False
    for _ in range(data.draw(st.integers(1, 60))):
        way.now_s += data.draw(st.sampled_from([0, 0.1, 5, 15, 3600]))
        before = way.record
        event = data.draw(_events(before.attempt))
        instructions = way(event)
        for instruction in instructions:
            match instruction:
                case Open():
                    assert not is_open
                    assert not closed
                    is_open, waits = True, False
                case Close():
                    is_open = False
                case Wait():
                    assert not is_open
                    waits = True
                    longest = REFUSED_DELAY_S if way.state is HostState.REFUSED else LONGEST_DELAY_S
                    assert 0 <= instruction.delay_s <= longest
                case Check():
                    assert is_open
        closed = closed or isinstance(event, Ended)
        after = way.record
        if closed:
            assert not is_open
            assert after.phase is Phase.CLOSED
            continue
        assert is_open != waits, "a way is open, being opened, or waited for"
        assert (way.state is HostState.READY) == (after.phase is Phase.OPEN)
        assert bool(after.status.problem) == (way.state in (HostState.UNREACHABLE, HostState.REFUSED))
        if before.status.state is after.status.state and after.phase is not Phase.OPEN:
            assert before.status.since_ns == after.status.since_ns
