"""Whatever people, nodes and clocks do, these things hold."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.records.execution import Execution, ExecutionStateType
from tests.orchestrator.scheduler.world import World

COMPLETED = ExecutionStateType.COMPLETED


class Cluster(RuleBasedStateMachine):
    """Two nodes of two cores; random jobs, reports, failures, stops, updates and outages."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(nodes=2, queue_unsuitable=False)
        self.jobs: list[str] = []
        self.over: dict[str, Job] = {}

    @rule(
        count=st.integers(0, 5),
        cpu=st.sampled_from(["500m", "1", "2", "3"]),
        queue=st.sampled_from([0, 1000]),
        execution=st.sampled_from([0, 10]),
        total=st.sampled_from([0, 500]),
    )
    def submit(self, count: int, cpu: str, queue: int, execution: int, total: int) -> None:
        if len(self.jobs) < 6:
            if total and total < queue + execution:
                total = queue + execution + 1
            job = self.world.submit(
                count=count, cpu=cpu, queue_timeout=queue, execution_timeout=execution, total_timeout=total
            )
            self.jobs.append(job.id)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def evaluate(self, data: st.DataObject) -> None:
        self.world.evaluate(data.draw(st.sampled_from(self.jobs)))

    @precondition(lambda self: self.world.live())
    @rule(data=st.data(), what=st.sampled_from(["bid", "bid", "full", "reject", "run", "run", "fail"]))
    def report(self, data: st.DataObject, what: str) -> None:
        execution = data.draw(st.sampled_from(self.world.live()))
        self.answer(execution, what)
        if data.draw(st.booleans()):
            self.answer(execution, what)  # delivered twice

    @precondition(lambda self: self.world.live())
    @rule(data=st.data(), seconds=st.sampled_from([0, 0, 1]))
    def round(self, data: st.DataObject, seconds: int) -> None:
        """Every node answers once, then every job is looked at: this is how a run gets far."""
        for execution in self.world.live():
            should_run = execution.desired_state.state_type == 1
            answers = (
                ["run", "run", "fail", "nothing"] if should_run else ["bid", "bid", "bid", "full", "reject"]
            )
            self.answer(execution, data.draw(st.sampled_from(answers)))
        self.world.clock.advance(seconds)
        for job_id in self.jobs:
            self.world.evaluate(job_id)

    def answer(self, execution: Execution, what: str) -> None:
        match what:
            case "bid":
                self.world.bid(execution)
            case "full":
                self.world.bid(execution, "not enough capacity to run job")
            case "nothing":
                pass
            case "reject":
                self.world.bid(execution, "this node does not like it")
            case "run":
                self.world.complete(execution)
            case _:
                self.world.fail(execution)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def stop(self, data: st.DataObject) -> None:
        job = self.world.job(data.draw(st.sampled_from(self.jobs)))
        if not job.is_terminal:
            self.world.stop(job.id)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), count=st.integers(0, 4))
    def update(self, data: st.DataObject, count: int) -> None:
        from bacalhau_jupyter.models.jobs.spec import replace
        from bacalhau_jupyter.orchestrator.submitting import submission

        job = self.world.job(data.draw(st.sampled_from(self.jobs)))
        transaction = self.world.transaction()
        submission._update(transaction, job, replace(job, count=count), force=True)
        self.over.pop(job.id, None)

    @rule(
        node=st.sampled_from(["n-1", "n-2"]),
        state=st.sampled_from(["ready", "ready", "away", "lost", "rejected"]),
    )
    def outage(self, node: str, state: str) -> None:
        self.outage_of(node, state)

    def outage_of(self, node: str, state: str) -> None:
        self.world.node(node, ready=state == "ready", lost=state == "lost", rejected=state == "rejected")

    @rule(seconds=st.sampled_from([0.1, 1, 60, 600]))
    def wait(self, seconds: float) -> None:
        self.world.clock.advance(seconds)

    # ---- what holds

    @invariant()
    def a_partition_has_one_live_execution(self) -> None:
        live = Counter((e.job_id, e.job_version, e.partition_index) for e in self.world.live())
        assert not live or max(live.values()) == 1, live

    @invariant()
    def a_node_is_never_given_more_than_it_has(self) -> None:
        rows = self.world.connection.execute(
            "SELECT node_id, sum(cpu), sum(memory) FROM executions WHERE live GROUP BY node_id"
        )
        for node, cpu, memory in rows:
            capacity = self.world.nodes[node].info.compute_node_info.max_capacity
            assert cpu <= capacity.cpu and memory <= capacity.memory

    @invariant()
    def a_completed_partition_is_never_run_again(self) -> None:
        for job_id in self.jobs:
            done: set[tuple[int, int]] = set()
            for execution in self.world.executions(job_id):
                place = (execution.job_version, execution.partition_index)
                assert place not in done
                if execution.compute_state.state_type is COMPLETED:
                    done.add(place)

    @invariant()
    def a_job_that_is_over_never_changes(self) -> None:
        for job_id in self.jobs:
            job = self.world.job(job_id)
            if job_id in self.over:
                assert job == self.over[job_id]
            elif job.is_terminal:
                self.over[job_id] = job

    @invariant()
    def attempts_are_bounded(self) -> None:
        for job_id in self.jobs:
            failures = Counter(
                (e.job_version, e.partition_index, e.node_id)
                for e in self.world.executions(job_id)
                if e.compute_state.state_type is ExecutionStateType.FAILED
            )
            assert not failures or max(failures.values()) <= 2, failures

    def teardown(self) -> None:
        """Once nodes are back and do their work, every job ends and nothing is left behind."""
        for node in self.world.nodes:
            self.world.node(node, ready=True, lost=False, rejected=False)
        for _ in range(60):
            for job_id in self.jobs:
                self.world.settle(job_id)
                self.a_node_is_never_given_more_than_it_has()
            for execution in self.world.live():
                self.answer(execution, "bid" if execution.desired_state.state_type == 0 else "run")
            if all(self.world.job(job_id).is_terminal for job_id in self.jobs) and not self.world.live():
                break
            self.world.clock.advance(31)
        assert all(self.world.job(job_id).is_terminal for job_id in self.jobs)
        assert not self.world.live()
        self.world.connection.close()


Cluster.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestCluster = Cluster.TestCase


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32))
def test_long_random_runs_keep_every_promise(seed: int) -> None:
    """Hypothesis picks short scripts; this one lets jobs get far, with failures and outages on the way."""
    chance = random.Random(seed)
    cluster = Cluster()
    promises = [getattr(cluster, name) for name in dir(Cluster) if name.startswith("a_")]
    promises.append(cluster.attempts_are_bounded)
    for _ in range(chance.randrange(1, 4)):
        job = cluster.world.submit(
            count=chance.randrange(1, 6), cpu=chance.choice(["500m", "1", "2"]), queue_timeout=100_000
        )
        cluster.jobs.append(job.id)
    for _ in range(chance.randrange(5, 25)):
        for execution in cluster.world.live():
            should_run = execution.desired_state.state_type == 1
            answers = (
                ["run", "run", "run", "fail", "nothing"] if should_run else ["bid"] * 9 + ["full", "reject"]
            )
            for _ in range(chance.choice([1, 1, 2])):
                cluster.answer(execution, answers[chance.randrange(len(answers))])
        if chance.random() < 0.1:
            cluster.outage_of(
                chance.choice(["n-1", "n-2"]), chance.choice(["ready", "away", "lost", "rejected"])
            )
        cluster.world.clock.advance(chance.choice([0, 0.5, 5]))
        for job_id in cluster.jobs:
            cluster.world.evaluate(job_id)
        for promise in promises:
            promise()
    cluster.teardown()
