"""Reports in any order, repeated, late and for the wrong execution; the orchestrator starts again in between."""

from __future__ import annotations

import contextlib
import random
from collections import Counter

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.jobs.job import JobState
from bacalhau_jupyter.models.jobs.spec import replace
from bacalhau_jupyter.models.records.execution import DesiredStateType, Execution, ExecutionStateType
from bacalhau_jupyter.models.wire.messages import AskForBid
from bacalhau_jupyter.orchestrator.planner import Planner
from bacalhau_jupyter.orchestrator.store import deletion, outbox
from tests.orchestrator.scheduler.world import World

COMPLETED = ExecutionStateType.COMPLETED
NODES = ("n-1", "n-2")


class Disorder(RuleBasedStateMachine):
    """Two nodes that go, come and report whatever they ever had; jobs that are stopped and deleted meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(nodes=len(NODES))
        self.jobs: list[str] = []
        self.deleted: set[str] = set()
        self.made: dict[str, Execution] = {}
        self.completed: set[str] = set()
        self.over: dict[str, JobState] = {}

    # ---- people

    @rule(kind=st.sampled_from(["batch", "batch", "batch", "ops", "service"]), count=st.integers(1, 3))
    def submit(self, kind: str, count: int) -> None:
        if len(self.jobs) < 5:
            job = self.world.submit(kind=kind, count=count, queue_timeout=10_000)
            self.jobs.append(job.id)
            self.look(job.id)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def stop(self, data: st.DataObject) -> None:
        with contextlib.suppress(BacalhauError):
            self.world.stop(data.draw(st.sampled_from(self.jobs)))

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        job_id = data.draw(st.sampled_from(self.jobs))
        with contextlib.suppress(BacalhauError):
            deletion.delete(self.world.transaction(), job_id, "")
            self.deleted.add(job_id)

    # ---- the orchestrator

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def evaluate(self, data: st.DataObject) -> None:
        self.look(data.draw(st.sampled_from(self.jobs)))

    def look(self, job_id: str) -> None:
        if job_id in self.deleted:
            assert self.world.evaluate(job_id).job is None
            return
        self.world.settle(job_id)
        self.made |= {execution.id: execution for execution in self.world.executions(job_id)}

    @rule()
    def restart(self) -> None:
        """What was only in memory is gone; what is to be sent is made anew from what is stored."""
        self.world.planner = Planner(self.world.settings, self.world.ids, seed=lambda: 1.0)
        for item in outbox.pending(self.world.connection):
            if isinstance(item.message, AskForBid):
                assert not item.message.execution.compute_state.state_type.is_terminal
        for job_id in self.jobs:
            self.look(job_id)

    # ---- nodes

    @rule(node=st.sampled_from(NODES), state=st.sampled_from(["ready", "ready", "away", "lost"]))
    def outage(self, node: str, state: str) -> None:
        self.world.node(node, ready=state == "ready", lost=state == "lost")
        for job_id in self.jobs:
            self.look(job_id)

    @rule(data=st.data())
    def work(self, data: st.DataObject) -> None:
        """Each node answers what it was asked, or is silent: this is how jobs get far."""
        for execution in self.world.live():
            is_asked = execution.desired_state.state_type is DesiredStateType.PENDING
            answer = data.draw(st.sampled_from(["bid", "bid", ""] if is_asked else ["run", "", "", ""]))
            if answer:
                self.answer(execution, answer)
        for job_id in self.jobs:
            self.look(job_id)

    @rule(seconds=st.sampled_from([1, 60, 3600]))
    def wait(self, seconds: int) -> None:
        self.world.clock.advance(seconds)

    @precondition(lambda self: self.made)
    @rule(
        data=st.data(),
        what=st.sampled_from(["run", "run", "run", "fail", "bid", "reject"]),
        is_foreign=st.sampled_from([False, False, False, True]),
        times=st.integers(1, 3),
    )
    def report(self, data: st.DataObject, what: str, is_foreign: bool, times: int) -> None:
        execution = self.made[data.draw(st.sampled_from(sorted(self.made)))]
        if is_foreign:
            execution = replace(execution, node_id=next(it for it in NODES if it != execution.node_id))
        others, before = self.others(execution.job_id), self.own(execution.job_id)
        self.answer(execution, what)
        after = self.own(execution.job_id)
        for _ in range(times - 1):
            self.answer(execution, what)
        assert self.own(execution.job_id) == after
        assert self.others(execution.job_id) == others
        if is_foreign or execution.job_id in self.deleted:
            assert after == before

    def answer(self, execution: Execution, what: str) -> None:
        match what:
            case "bid":
                self.world.bid(execution)
            case "reject":
                self.world.bid(execution, "this node does not like it")
            case "run":
                self.world.complete(execution)
            case _:
                self.world.fail(execution)

    def own(self, job_id: str) -> object:
        return self.world.executions(job_id), self.world.messages(job_id)

    def others(self, job_id: str) -> object:
        return [self.own(each) for each in self.jobs if each != job_id]

    # ---- what holds

    @invariant()
    def work_is_done_once(self) -> None:
        for job_id in self.jobs:
            executions = self.world.executions(job_id)
            kind = "" if job_id in self.deleted else self.world.job(job_id).type
            done = Counter(
                (each.job_version, each.partition_index, each.node_id if kind == "ops" else "")
                for each in executions
                if each.compute_state.state_type is COMPLETED
            )
            assert not done or max(done.values()) == 1

    @invariant()
    def what_is_done_stays_done(self) -> None:
        completed = {
            each.id
            for job_id in self.jobs
            for each in self.world.executions(job_id)
            if each.compute_state.state_type is COMPLETED
        }
        kept = {each for each in self.completed if self.made[each].job_id not in self.deleted}
        assert kept <= completed
        self.completed = completed

    @invariant()
    def a_job_that_is_over_stays_as_it_is_and_a_deleted_one_leaves_nothing(self) -> None:
        for job_id in self.jobs:
            if job_id in self.deleted:
                assert self.world.executions(job_id) == []
                continue
            state = self.world.job(job_id).state
            assert self.over.get(job_id, state) == state
            if state.state_type.is_terminal:
                self.over[job_id] = state


Disorder.TestCase.settings = settings(
    max_examples=30,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestDisorder = Disorder.TestCase


@pytest.mark.parametrize("seed", range(40))
def test_long_disorder_keeps_every_promise(seed: int) -> None:
    """Hypothesis picks short scripts; in these, nodes are lost in the middle of work and report it later."""
    chance = random.Random(seed)
    disorder = Disorder()
    for _ in range(2):
        disorder.jobs.append(disorder.world.submit(count=2, queue_timeout=100_000).id)
    for _ in range(40):
        for job_id in disorder.jobs:
            disorder.look(job_id)
        for execution in disorder.world.live():
            is_asked = execution.desired_state.state_type is DesiredStateType.PENDING
            answer = "bid" if is_asked else chance.choice(["run", "", "", "", ""])
            if answer:
                disorder.answer(execution, answer)
        if chance.random() < 0.3:
            state = chance.choice(["ready", "ready", "lost"])
            disorder.world.node(chance.choice(NODES), ready=state == "ready", lost=state == "lost")
        if chance.random() < 0.3 and disorder.made:
            late = disorder.made[chance.choice(sorted(disorder.made))]
            for _ in range(chance.choice([1, 2])):
                disorder.answer(late, chance.choice(["run", "run", "fail", "bid"]))
        if chance.random() < 0.1:
            disorder.restart()
        disorder.work_is_done_once()
        disorder.what_is_done_stays_done()
        disorder.a_job_that_is_over_stays_as_it_is_and_a_deleted_one_leaves_nothing()
