"""The state machine of an execution whose task runs on a machine that can't be reached for a while."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bacalhau_jupyter.compute.execution.events import (
    Accepted,
    Act,
    BidMade,
    Cancel,
    Ended,
    Event,
    Faulted,
    Fetched,
    Lost,
    Overdue,
    Published,
    Restored,
    Returned,
    Started,
)
from bacalhau_jupyter.compute.execution.machine import admit, step
from bacalhau_jupyter.compute.execution.record import ExecutionRecord, Fault, Phase, Verdict
from bacalhau_jupyter.compute.execution.reports import report
from bacalhau_jupyter.lib.clock import SECOND
from bacalhau_jupyter.models.codec import decode_exact, encode
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import SpecConfig
from bacalhau_jupyter.models.records.execution import RunCommandResult
from bacalhau_jupyter.models.records.history import LINK
from bacalhau_jupyter.models.wire.messages import ComputeError, RunResult
from bacalhau_jupyter.plugins.engine import EndReason, Outcome
from tests.compute.makers import full_task, make_execution

HELD = Resources(cpu=0.5, memory=1000)
AWAY = "host gpu1 does not answer since 14:03"


def ended(at_s: float, reason: EndReason = EndReason.EXITED) -> Ended:
    """The end of a task that its machine dates."""
    outcome = Outcome(reason, 0, began_ns=SECOND, ended_ns=int(at_s * SECOND))
    return Ended(outcome, RunCommandResult(exit_code=0))


def run(record: ExecutionRecord, *events: tuple[float, Event]) -> tuple[ExecutionRecord, list[Act]]:
    """Apply events at their seconds."""
    acts: list[Act] = []
    for at_s, event in events:
        result = step(record, event, int(at_s * SECOND))
        record = result.record
        acts += result.acts
    return record, acts


def running(timeout_s: int = 0) -> ExecutionRecord:
    """A task that runs since the first second; its limit counts from there."""
    record = admit(make_execution(full_task(timeout_s)), False, SECOND).record
    return run(record, (1, BidMade(HELD)), (1, Accepted()), (1, Fetched()), (1, Started("Docker Engine")))[0]


def link_events(record: ExecutionRecord) -> list[str]:
    return [note.message for note in record.notes if LINK in note.details]


def test_the_loss_of_its_machine_changes_nothing_but_the_history() -> None:
    record, acts = run(running(), (10, Lost(AWAY)))
    assert (record.phase, record.verdict, acts) == (Phase.RUNNING, Verdict.NONE, [])
    assert record.is_away
    record, acts = run(record, (70, Returned()))
    assert (record.phase, acts, record.is_away) == (Phase.RUNNING, [], False)
    assert link_events(record) == [
        f"{AWAY}; the task goes on there",
        "its host answers again, after 1 min",
    ]


def test_a_task_may_have_ended_with_an_engine_that_was_stopped() -> None:
    record, _ = run(running(), (10, Lost("the Docker Engine on gpu1 does not answer", is_engine_off=True)))
    assert link_events(record) == [
        "the Docker Engine on gpu1 does not answer; the task may have ended with it"
    ]


def test_a_way_that_breaks_again_and_again_is_told_once() -> None:
    record, _ = run(running(), *[(10 + i, Lost(AWAY) if i % 2 else Returned()) for i in range(1, 20)])
    assert len(link_events(record)) == 2
    assert record.is_away


def test_a_task_that_ended_in_time_while_its_machine_was_away_has_completed() -> None:
    away, _ = run(running(60), (10, Lost(AWAY)), (3600, Returned()))
    record, _ = run(away, (3601, ended(50.25)))
    assert record.phase is Phase.PUBLISHING
    assert record.exited_ns == 50.25 * SECOND
    assert record.late_ns == 3550.75 * SECOND
    assert link_events(record)[-1].startswith("the task ended at 1970-01-01T00:00:50Z, while its host")
    record, _ = run(record, (3602, Published(SpecConfig(type="local"))))
    assert record.phase is Phase.COMPLETED
    message = report(Act.REPORT_RESULT, record, 0)
    assert isinstance(message, RunResult)
    assert [event.message for event in message.events or ()][:3] == link_events(record)


def test_a_time_out_that_came_before_the_news_of_an_end_in_time_does_not_count() -> None:
    record, acts = run(running(60), (61, Overdue()), (62, ended(59.5)))
    assert (record.phase, record.verdict) == (Phase.PUBLISHING, Verdict.NONE)
    assert acts == [Act.INTERRUPT, Act.PUBLISH]


@pytest.mark.parametrize("end", [ended(70), ended(30, EndReason.CANCELLED)])
def test_a_task_that_ended_late_or_was_stopped_has_timed_out(end: Ended) -> None:
    record, _ = run(running(60), (65, Overdue()), (71, end))
    assert record.phase is Phase.FAILED
    assert record.fault is not None
    assert record.fault.message == "Execution timed out after 60s"


def test_a_task_that_still_runs_beyond_its_limit_on_return_is_stopped_and_the_report_says_why() -> None:
    away, _ = run(running(60), (10, Lost(AWAY)), (3600, Returned()))
    record, acts = run(away, (3600, Overdue()))
    assert (record.verdict, acts) == (Verdict.TIMED_OUT, [Act.INTERRUPT])
    record, _ = run(record, (3601, ended(3601, EndReason.CANCELLED)))
    message = report(Act.REPORT_FAILURE, record, 0)
    assert isinstance(message, ComputeError)
    messages = [event.message for event in message.events or ()]
    assert messages[0] == "Execution timed out after 60s"
    assert messages[1:] == link_events(record)
    assert messages[-1].startswith("the task still ran when its host answered again")


def test_a_cancellation_while_away_is_noted_at_once_and_ends_on_return() -> None:
    record, acts = run(running(), (10, Lost(AWAY)), (20, Cancel()))
    assert (record.phase, record.verdict, acts) == (Phase.RUNNING, Verdict.CANCELLED, [Act.INTERRUPT])
    record, acts = run(record, (60, Returned()), (61, ended(60, EndReason.CANCELLED)))
    assert record.phase is Phase.CANCELLED
    assert Act.CLEAN in acts


@dataclasses.dataclass
class Container:
    """What the far machine has of the task."""

    began_s: int
    ended_s: int = 0
    stopped: bool = False


class Away(RuleBasedStateMachine):
    """A node that obeys, and a machine elsewhere that comes and goes: what is done there needs the way to it.

    What the node's own parts promise (`EngineCalls`, `Alarms`) is written out here: calls wait for the way, a time
    limit is judged by the end that the machine tells.
    """

    TIMEOUT_S = 20

    @initialize()
    def begin(self) -> None:
        self.now_s = 1
        self.away = False
        self.container: Container | None = None
        self.runs = 0
        self.acts: list[Act] = []
        self.activity: Act | None = None
        self.interrupted = self.cleaning = self.asking = self.due = False
        self.ends = 0
        self.true_end_s = 0
        first = admit(make_execution(full_task(self.TIMEOUT_S)), False, SECOND)
        self.record = first.record
        for event in (BidMade(HELD), Accepted()):
            self.feed(event)

    def feed(self, event: Event) -> None:
        result = step(self.record, event, self.now_s * SECOND)
        self.record = result.record
        for act in result.acts:
            if act in (Act.START, Act.WAIT, Act.PUBLISH, Act.FETCH):
                assert self.activity is None
                self.activity, self.interrupted = act, False
            elif act is Act.INTERRUPT:
                self.interrupted = True
            elif act is Act.CLEAN:
                self.cleaning = True
            elif act in (Act.REPORT_RESULT, Act.REPORT_FAILURE):
                self.ends += 1

    def finish(self, event: Event) -> None:
        self.activity = None
        self.feed(event)

    # ---- what happens by itself

    @rule(seconds=st.integers(1, 15))
    def time_passes(self, seconds: int) -> None:
        self.now_s += seconds
        if self.record.phase.is_busy and self.now_s * SECOND >= self.record.limit_ns + self.record.late_ns:
            self.due = True

    @precondition(lambda self: self.container is not None and not self.container.ended_s)
    @rule()
    def the_task_ends(self) -> None:
        assert self.container is not None
        self.container.ended_s = self.true_end_s = self.now_s

    @rule(is_noticed=st.booleans())
    def the_way_breaks(self, is_noticed: bool) -> None:
        self.away = True
        if is_noticed:
            self.feed(Lost(AWAY))

    @precondition(lambda self: self.away)
    @rule()
    def the_way_is_back(self) -> None:
        self.away = False
        self.feed(Returned())

    @rule()
    def somebody_cancels(self) -> None:
        self.feed(Cancel())

    @precondition(lambda self: not self.record.phase.is_terminal)
    @rule()
    def the_node_restarts(self) -> None:
        self.record = decode_exact(encode(self.record), ExecutionRecord)
        self.activity, self.interrupted, self.due = None, False, False
        self.asking = self.record.phase in (Phase.STARTING, Phase.RUNNING)
        if not self.asking:
            self.feed(Restored())

    # ---- what the node does, as soon as it can

    @precondition(lambda self: self.asking and not self.away)
    @rule()
    def it_attaches(self) -> None:
        self.asking = False
        if self.record.verdict is Verdict.CANCELLED and self.record.phase is Phase.RUNNING:
            # `halt` may have been there first.
            self.container = None
        self.feed(Restored(alive=self.container is not None))

    @precondition(lambda self: self.activity is Act.FETCH)
    @rule()
    def it_fetches(self) -> None:
        self.finish(Fetched())

    @precondition(lambda self: self.activity is Act.START and not self.away)
    @rule()
    def it_starts(self) -> None:
        if self.interrupted:
            self.container = None
            self.finish(Faulted(Fault(message="starting the task was interrupted")))
            return
        self.make_container()
        self.finish(Started("Docker Engine"))

    @precondition(lambda self: self.activity is Act.START and not self.away and not self.interrupted)
    @rule()
    def the_way_breaks_when_the_task_has_begun(self) -> None:
        self.make_container()
        self.away = True

    def make_container(self) -> None:
        if self.container is None:
            self.container = Container(self.now_s)
            self.runs += 1

    @precondition(lambda self: self.activity is Act.WAIT and not self.away)
    @rule()
    def it_sees_the_end_or_stops_the_task(self) -> None:
        assert self.container is not None
        if self.interrupted and not self.container.ended_s:
            self.container.ended_s, self.container.stopped = self.now_s, True
        if self.container.ended_s:
            reason = EndReason.CANCELLED if self.container.stopped else EndReason.EXITED
            outcome = Outcome(
                reason,
                0,
                began_ns=self.container.began_s * SECOND,
                ended_ns=self.container.ended_s * SECOND,
            )
            self.finish(Ended(outcome, RunCommandResult(exit_code=0)))

    @precondition(lambda self: self.activity is Act.PUBLISH)
    @rule()
    def it_publishes(self) -> None:
        self.finish(Published(SpecConfig(type="local")))

    @precondition(lambda self: self.due and not self.asking and self.record.phase.is_busy)
    @rule()
    def the_limit_is_judged(self) -> None:
        record = self.record
        if record.phase in (Phase.STARTING, Phase.RUNNING):
            if self.away:
                return
            if self.container and 0 < self.container.ended_s * SECOND <= record.limit_ns:
                self.due = False
                return
        self.due = False
        if self.now_s * SECOND >= record.limit_ns + record.late_ns:
            self.feed(Overdue())

    @precondition(lambda self: self.cleaning and not self.away)
    @rule()
    def it_cleans_up(self) -> None:
        self.container, self.cleaning = None, False

    # ---- what must hold

    @invariant()
    def the_task_runs_once_and_its_end_is_told_once(self) -> None:
        assert self.runs <= 1
        over = self.record.phase in (Phase.COMPLETED, Phase.FAILED)
        assert self.ends == (1 if over else 0)

    @invariant()
    def a_container_is_left_only_while_it_will_be_removed(self) -> None:
        if self.record.phase.is_terminal:
            assert self.container is None or self.cleaning
            assert self.container is None or self.container.ended_s

    @invariant()
    def an_end_in_time_is_a_success_unless_somebody_cancelled(self) -> None:
        if self.record.phase is Phase.FAILED and self.record.fault is not None:
            assert "timed out" in self.record.fault.message
            in_time = 0 < self.true_end_s * SECOND <= self.record.limit_ns
            # What is still to be published has the rest of the time.
            assert not in_time or self.record.fault.details.get("FailsJob") == "true"

    def teardown(self) -> None:
        """Whatever happened: once the way is back, everything ends."""
        if not hasattr(self, "record"):
            return
        if self.away:
            self.the_way_is_back()
        self.feed(Cancel())
        for _ in range(10):
            if self.asking:
                self.it_attaches()
            work = {
                Act.FETCH: self.it_fetches,
                Act.START: self.it_starts,
                Act.WAIT: self.it_sees_the_end_or_stops_the_task,
                Act.PUBLISH: self.it_publishes,
            }
            if self.activity is not None:
                work[self.activity]()
        assert self.record.phase.is_terminal
        if self.cleaning:
            self.it_cleans_up()
        assert self.container is None


TestAway = Away.TestCase
TestAway.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
