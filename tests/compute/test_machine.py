from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bacalhau_jupyter.compute.execution import machine
from bacalhau_jupyter.compute.execution.events import (
    ACTIVITIES,
    REPORTS,
    Accepted,
    Act,
    BidMade,
    BidRefused,
    Cancel,
    Ended,
    Event,
    Faulted,
    Fetched,
    Lost,
    OfferExpired,
    Overdue,
    Published,
    Rejected,
    Restored,
    Returned,
    Started,
    Step,
    Unpublished,
)
from bacalhau_jupyter.compute.execution.machine import admit, step
from bacalhau_jupyter.compute.execution.record import ExecutionRecord, Fault, Phase, Verdict
from bacalhau_jupyter.models.codec import decode_exact, encode
from bacalhau_jupyter.models.errors import EngineError
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import SpecConfig
from bacalhau_jupyter.models.records.execution import RunCommandResult
from bacalhau_jupyter.plugins.engine import EndReason, Outcome
from tests.compute.makers import full_task, make_execution, make_task

HELD = Resources(cpu=0.5, memory=1000)
FINE = Ended(Outcome(EndReason.EXITED, 0), RunCommandResult(exit_code=0))
BROKEN = Faulted(Fault(message="it broke", topic="Downloading Inputs", details={"IsError": "true"}))


def run(record: ExecutionRecord, *events: Event) -> tuple[ExecutionRecord, list[Act]]:
    acts: list[Act] = []
    for moment, event in enumerate(events, start=1):
        result = step(record, event, moment)
        record = result.record
        acts += result.acts
    return record, acts


def fresh(timeout_s: int = 0, direct: bool = False) -> ExecutionRecord:
    return admit(make_execution(full_task(timeout_s), direct=direct), direct, 0).record


def test_an_execution_goes_through_every_phase_in_order() -> None:
    record, acts = run(
        fresh(),
        BidMade(HELD),
        Accepted(),
        Fetched(),
        Started("noop"),
        FINE,
        Published(SpecConfig(type="local")),
    )
    assert record.phase is Phase.COMPLETED
    assert record.published == SpecConfig(type="local")
    assert acts == [
        Act.REPORT_BID,
        Act.FETCH,
        Act.START,
        Act.WAIT,
        Act.PUBLISH,
        Act.RELEASE,
        Act.REPORT_RESULT,
        Act.CLEAN,
    ]


def test_a_task_without_inputs_and_publisher_skips_both_phases() -> None:
    record = admit(make_execution(make_task()), False, 0).record
    record, acts = run(record, BidMade(HELD), Accepted(), Started("noop"), FINE)
    assert record.phase is Phase.COMPLETED
    assert Act.FETCH not in acts
    assert Act.PUBLISH not in acts


def test_a_direct_execution_starts_without_reporting_its_bid() -> None:
    record, acts = run(fresh(direct=True), BidMade(HELD))
    assert record.phase is Phase.FETCHING
    assert acts == [Act.FETCH]


def test_a_nonzero_exit_code_is_a_result_and_an_engine_error_is_a_failure() -> None:
    at_work, _ = run(fresh(), BidMade(HELD), Accepted(), Fetched(), Started())
    seven = Ended(Outcome(EndReason.EXITED, 7), RunCommandResult(exit_code=7))
    record, acts = run(at_work, seven, Published(SpecConfig(type="local")))
    assert record.phase is Phase.COMPLETED
    assert Act.REPORT_RESULT in acts
    error = EngineError(
        "memory limit exceeded", hint="ask for more", component="Docker", fails_execution=True
    )
    record, acts = run(at_work, Ended(Outcome(EndReason.OOM, 137, error)))
    assert record.phase is Phase.FAILED
    assert record.fault is not None
    assert (record.fault.message, record.fault.topic) == ("memory limit exceeded", "Running Execution")
    assert record.fault.details["FailsExecution"] == "true"
    assert acts == [Act.RELEASE, Act.REPORT_FAILURE, Act.CLEAN]


def test_a_time_out_stops_the_task_before_it_is_reported_in_the_official_words() -> None:
    at_work, _ = run(fresh(5), BidMade(HELD), Accepted(), Fetched(), Started())
    stopping, acts = run(at_work, Overdue())
    assert (stopping.phase, stopping.verdict, acts) == (Phase.RUNNING, Verdict.TIMED_OUT, [Act.INTERRUPT])
    record, acts = run(stopping, Ended(Outcome(EndReason.CANCELLED)))
    assert record.phase is Phase.FAILED
    assert record.fault is not None
    assert record.fault.message == "Execution timed out after 5s"
    assert record.fault.topic == "Exec Timeout"
    assert record.fault.details["Hint"] == "Increase the task timeout or allocate more resources"
    assert acts == [Act.RELEASE, Act.REPORT_FAILURE, Act.CLEAN]


def test_a_time_out_that_the_engine_enforced_reads_the_same() -> None:
    record, _ = run(
        fresh(5), BidMade(HELD), Accepted(), Fetched(), Started(), Ended(Outcome(EndReason.TIMEOUT))
    )
    assert record.fault is not None
    assert record.fault.message == "Execution timed out after 5s"


def test_a_bid_refused_for_lack_of_capacity_has_that_reason_in_its_details() -> None:
    record, acts = run(fresh(), BidRefused("rejected bid: this node is busy", busy=True))
    assert record.phase is Phase.BID_REFUSED
    assert record.fault is not None
    assert record.fault.details == {"Capacity": "true"}
    assert acts == [Act.REPORT_REFUSAL, Act.CLEAN]


@pytest.mark.parametrize(
    ("before", "last"),
    [
        ((), BidMade(HELD)),
        ((BidMade(HELD),), None),
        ((BidMade(HELD), Accepted()), BROKEN),
        ((BidMade(HELD), Accepted()), Fetched()),
        ((BidMade(HELD), Accepted(), Fetched()), BROKEN),
        ((BidMade(HELD), Accepted(), Fetched(), Started()), Ended(Outcome(EndReason.CANCELLED))),
        ((BidMade(HELD), Accepted(), Fetched(), Started()), FINE),
        ((BidMade(HELD), Accepted(), Fetched(), Started(), FINE), BROKEN),
        ((BidMade(HELD), Accepted(), Fetched(), Started(), FINE), Published(SpecConfig(type="local"))),
    ],
)
def test_a_cancellation_in_any_phase_ends_it_without_a_report(
    before: tuple[Event, ...], last: Event | None
) -> None:
    record, _ = run(fresh(), *before)
    record, acts = run(record, Cancel(), *([last] if last else []))
    assert record.phase is Phase.CANCELLED
    assert not REPORTS.intersection(acts)
    assert not record.reserved


def test_a_task_that_started_in_spite_of_its_cancellation_is_stopped() -> None:
    starting, _ = run(fresh(), BidMade(HELD), Accepted(), Fetched())
    record, acts = run(starting, Cancel(), Started("noop"))
    assert record.phase is Phase.RUNNING
    assert acts == [Act.INTERRUPT, Act.WAIT, Act.INTERRUPT]


RESTARTS = [
    ((), False, Phase.NEW, [Act.EVALUATE]),
    ((BidMade(HELD),), False, Phase.OFFERED, [Act.RESERVE]),
    ((BidMade(HELD), Accepted()), False, Phase.FETCHING, [Act.RESERVE, Act.FETCH]),
    ((BidMade(HELD), Accepted(), Fetched()), False, Phase.FETCHING, [Act.RESERVE, Act.FETCH]),
    ((BidMade(HELD), Accepted(), Fetched()), True, Phase.RUNNING, [Act.RESERVE, Act.WAIT]),
    ((BidMade(HELD), Accepted(), Fetched(), Started()), True, Phase.RUNNING, [Act.RESERVE, Act.WAIT]),
    (
        (BidMade(HELD), Accepted(), Fetched(), Started()),
        False,
        Phase.FAILED,
        [Act.RESERVE, Act.RELEASE, Act.REPORT_FAILURE, Act.CLEAN],
    ),
    (
        (BidMade(HELD), Accepted(), Fetched(), Started(), FINE),
        False,
        Phase.PUBLISHING,
        [Act.RESERVE, Act.PUBLISH],
    ),
    (
        (BidMade(HELD), Accepted(), Fetched(), Cancel()),
        True,
        Phase.RUNNING,
        [Act.RESERVE, Act.WAIT, Act.INTERRUPT],
    ),
    ((BidMade(HELD), Accepted(), Cancel()), False, Phase.CANCELLED, [Act.RESERVE, Act.RELEASE, Act.CLEAN]),
]


@pytest.mark.parametrize(("before", "alive", "phase", "acts"), RESTARTS)
def test_a_restart_continues_from_the_stored_state(
    before: tuple[Event, ...], alive: bool, phase: Phase, acts: list[Act]
) -> None:
    record, _ = run(fresh(), *before)
    stored = decode_exact(encode(record), ExecutionRecord)
    assert stored == record
    record, done = run(stored, Restored(alive))
    assert (record.phase, done) == (phase, acts)


def test_a_task_that_was_lost_in_a_restart_fails_in_the_official_words() -> None:
    record, _ = run(fresh(), BidMade(HELD), Accepted(), Fetched(), Started(), Restored(False))
    assert record.fault is not None
    assert (record.fault.message, record.fault.topic) == ("Failing due to node restart", "Execution")


ALL_EVENTS: list[Event] = [
    BidMade(HELD),
    BidRefused("no"),
    BidRefused("busy", busy=True),
    Accepted(),
    Rejected(),
    Cancel(),
    Overdue(),
    OfferExpired(),
    Fetched(),
    Started("noop"),
    FINE,
    Ended(Outcome(EndReason.CANCELLED)),
    Ended(Outcome(EndReason.TIMEOUT)),
    Ended(Outcome(EndReason.ERROR, -1, EngineError("no"))),
    Published(SpecConfig(type="local")),
    BROKEN,
    Unpublished(Fault(message="no such bucket")),
    Lost("host gpu1 does not answer"),
    Returned(),
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(ALL_EVENTS), max_size=30), st.booleans())
def test_any_order_of_events_is_safe_and_ends_at_most_once(events: list[Event], direct: bool) -> None:
    record = fresh(5, direct)
    released = finals = cleaned = 0
    for moment, event in enumerate(events):
        before = record
        result = step(record, event, moment)
        record = result.record
        if before.phase.is_terminal:
            assert result == Step(before, (), result.story)
        if not result.changed:
            assert record == before
            assert result.story.startswith("ignored")
        released += result.acts.count(Act.RELEASE)
        finals += sum(
            result.acts.count(act) for act in (Act.REPORT_REFUSAL, Act.REPORT_RESULT, Act.REPORT_FAILURE)
        )
        cleaned += result.acts.count(Act.CLEAN)
        assert released <= 1
        assert record.reserved == (bool(record.held.cpu) and released == 0)
    assert cleaned == (1 if record.phase.is_terminal else 0)
    is_over = record.phase in (Phase.COMPLETED, Phase.FAILED, Phase.BID_REFUSED)
    assert finals == (1 if is_over else 0)


class Life(RuleBasedStateMachine):
    """A runner that obeys: one activity at a time, each ends with one of its events; messages come at any time."""

    @initialize(direct=st.booleans())
    def begin(self, direct: bool) -> None:
        first = admit(make_execution(full_task(5), direct=direct), direct, 0)
        self.record = first.record
        self.activity: Act | None = Act.EVALUATE
        self.interrupted = False
        self.held = False
        self.engine_runs = False
        self.released = self.finals = 0

    def feed(self, event: Event) -> None:
        result = step(self.record, event, 1)
        for act in result.acts:
            if act in ACTIVITIES:
                assert self.activity is None, f"{act} while {self.activity} is at work"
                self.activity = act
                self.interrupted = False
            elif act is Act.INTERRUPT:
                assert self.activity is not None
                self.interrupted = True
            elif act is Act.RELEASE:
                assert self.held, "released what was not held"
                assert not self.engine_runs, "released while the task still runs"
                self.held = False
                self.released += 1
            elif act is Act.RESERVE:
                self.held = True
            elif act in (Act.REPORT_RESULT, Act.REPORT_FAILURE, Act.REPORT_REFUSAL):
                self.finals += 1
            elif act is Act.CLEAN:
                assert self.activity is None
        self.record = result.record

    def finish(self, event: Event) -> None:
        self.activity = None
        self.feed(event)

    @rule(message=st.sampled_from([Accepted(), Rejected(), Cancel(), Overdue(), OfferExpired()]))
    def message(self, message: Event) -> None:
        self.feed(message)

    @precondition(lambda self: self.activity is not None)
    @rule(well=st.booleans(), data=st.data())
    def activity_ends(self, well: bool, data: st.DataObject) -> None:
        if self.activity is Act.EVALUATE:
            self.held = well
            self.finish(BidMade(HELD) if well else BidRefused("no"))
        elif self.activity is Act.FETCH:
            self.finish(Fetched() if well else BROKEN)
        elif self.activity is Act.START:
            self.engine_runs = well
            self.finish(Started("noop") if well else BROKEN)
        elif self.activity is Act.WAIT:
            self.engine_runs = False
            reason = data.draw(st.sampled_from([EndReason.EXITED, EndReason.TIMEOUT, EndReason.CANCELLED]))
            self.finish(Ended(Outcome(reason)))
        else:
            self.finish(Published(SpecConfig(type="local")) if well else BROKEN)

    @precondition(lambda self: not self.record.phase.is_terminal)
    @rule(stored=st.booleans())
    def the_node_restarts(self, stored: bool) -> None:
        """All activities are gone; the engine's task may have survived."""
        self.record = decode_exact(encode(self.record), ExecutionRecord)
        self.activity, self.interrupted = None, False
        # What was reserved but not noted is forgotten with the process.
        self.held = False
        if self.record.phase is Phase.STARTING and stored:
            self.engine_runs = True
        self.feed(Restored(alive=self.engine_runs))

    @invariant()
    def what_is_busy_has_an_activity_and_what_is_over_has_none(self) -> None:
        assert (self.activity is not None) == self.record.phase.is_busy
        if self.record.phase.is_terminal:
            assert not self.held
            assert not self.engine_runs
            assert self.record.ended_ns

    @invariant()
    def the_end_is_told_once(self) -> None:
        is_over = self.record.phase in (Phase.COMPLETED, Phase.FAILED, Phase.BID_REFUSED)
        assert self.finals == (1 if is_over else 0)
        assert self.released <= 1
        assert self.record.reserved == (self.held if self.activity is not Act.EVALUATE else False)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=150, stateful_step_count=25, deadline=None)


def test_every_event_has_a_handler() -> None:
    assert set(machine._HANDLERS) == {type(event) for event in ALL_EVENTS} | {Restored}
