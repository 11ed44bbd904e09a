"""What holds for jobs of every type, whatever nodes, tasks, people and clocks do."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bacalhau_jupyter.models.jobs.job import Job, JobStateType
from bacalhau_jupyter.models.records.execution import DesiredStateType, Execution, ExecutionStateType
from bacalhau_jupyter.orchestrator.scheduler import SCHEDULERS
from bacalhau_jupyter.orchestrator.scheduler.attempts import NODE_DISAPPEARED, NODE_REJECTED
from tests.orchestrator.scheduler.world import World

KINDS = sorted(SCHEDULERS)
ENDLESS = ("daemon", "service")
FIXED_POINT = 20
"""Looks within which all jobs come to rest while nothing happens: no plan undoes another."""


class Story:
    """One job of each type on a few nodes, and a random run of what may happen to them."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.world = World(nodes=self.chance.randrange(1, 4))
        self.jobs = [
            self.world.submit(
                f"job-{kind}",
                kind=kind,
                count=self.chance.randrange(4),
                cpu=self.chance.choice(["500m", "1", "2"]),
                queue_timeout=self.chance.choice([0, 100_000]),
            )
            for kind in KINDS
        ]

    def happen(self) -> None:
        world, chance = self.world, self.chance
        for execution in world.live():
            self.answer(execution)
        node = chance.choice(sorted(world.nodes))
        match chance.randrange(12):
            case 0:
                state = chance.choice(["ready", "away", "lost", "rejected"])
                ready, lost, rejected = (state == each for each in ("ready", "lost", "rejected"))
                world.node(node, ready=ready, lost=lost, rejected=rejected)
            case 1 if len(world.nodes) < 6:
                world.join(f"n-{len(world.nodes) + 1}")
            case 2:
                job = self.job(chance.choice(self.jobs))
                world.submit(job.name, kind=job.type, count=chance.randrange(4), queue_timeout=100_000)
            case 3 if chance.random() < 0.3:
                job = self.job(chance.choice(self.jobs))
                if not job.is_terminal:
                    world.stop(job.id)
        world.clock.advance(chance.choice([0, 0.5, 2, 700]))

    def answer(self, execution: Execution) -> None:
        asked = execution.desired_state.state_type is DesiredStateType.PENDING
        fresh = execution.compute_state.state_type is ExecutionStateType.NEW
        match self.chance.randrange(10):
            case 0:
                self.world.fail(execution)
            case 1:
                self.world.complete(execution)
            case 2 if fresh:
                self.world.bid(execution, "not enough capacity to run job")
            case 3 if fresh:
                self.world.bid(execution, "this node does not like it")
            case _ if asked and fresh:
                self.world.bid(execution)

    def job(self, job: Job) -> Job:
        return self.world.job(job.id)

    def look(self) -> None:
        """Evaluate all jobs until they rest: what one frees, another may take."""
        for _ in range(FIXED_POINT):
            if not self.planned():
                return
        raise AssertionError("the jobs do not come to rest")

    def planned(self) -> bool:
        """Evaluate all jobs once; return whether that stored anything."""
        before = self.world.connection.total_changes
        again = [self.world.evaluate(job.id).again for job in self.jobs]
        return any(again) or self.world.connection.total_changes != before


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_what_holds_for_jobs_of_every_type(seed: int) -> None:
    story = Story(seed)
    for _ in range(story.chance.randrange(3, 20)):
        story.look()
        nothing_runs_on_a_node_that_was_rejected_or_lost(story)
        one_execution_per_place(story)
        attempts_have_a_limit(story)
        jobs_without_an_end_never_complete(story)
        story.happen()
    everything_comes_back(story)
    story.world.connection.close()


def nothing_runs_on_a_node_that_was_rejected_or_lost(story: Story) -> None:
    gone = {node.id for node in story.world.nodes.values() if node.rejected or node.lost}
    assert not gone & {execution.node_id for execution in story.world.live()}


def one_execution_per_place(story: Story) -> None:
    for job in story.jobs:
        everywhere = job.type in ("ops", "daemon")
        places = Counter(e.node_id if everywhere else e.partition_index for e in story.world.live(job.id))
        assert not places or max(places.values()) == 1, (job.type, places)


def attempts_have_a_limit(story: Story) -> None:
    for job in story.jobs:
        failures = Counter(
            (e.job_version, e.node_id, e.partition_index)
            for e in story.world.executions(job.id)
            if e.compute_state.state_type is ExecutionStateType.FAILED
            and e.desired_state.message not in (NODE_DISAPPEARED, NODE_REJECTED)
            # One that ran for long begins the count anew.
            and e.modify_time - e.create_time < 600 * 10**9
        )
        steady = any(e.modify_time - e.create_time >= 600 * 10**9 for e in story.world.executions(job.id))
        limit = 1 if job.type == "ops" else 2
        assert steady or not failures or max(failures.values()) <= limit, (job.type, failures)


def jobs_without_an_end_never_complete(story: Story) -> None:
    for job in story.jobs:
        if job.type in ENDLESS:
            assert story.job(job).state.state_type is not JobStateType.COMPLETED


def everything_comes_back(story: Story) -> None:
    """Updated, with all nodes back and well, a daemon is on each node and a service has all its instances."""
    world = story.world
    for node in world.nodes:
        world.node(node, ready=True, lost=False, rejected=False)
    for kind in KINDS:
        world.submit(f"job-{kind}", kind=kind, count=2, cpu="100m", queue_timeout=100_000)
    for _ in range(6):
        story.look()
        for execution in world.live():
            new = execution.compute_state.state_type is ExecutionStateType.NEW
            if execution.desired_state.state_type is DesiredStateType.PENDING and new:
                world.bid(execution)
            elif story.world.job(execution.job_id).type in ("batch", "ops"):
                world.complete(execution)
        world.clock.advance(31)
    by_type = {job.type: job for job in story.jobs}
    nodes = [execution.node_id for execution in world.live(by_type["daemon"].id)]
    assert sorted(nodes) == sorted(world.nodes)
    instances = [execution.partition_index for execution in world.live(by_type["service"].id)]
    assert sorted(instances) == [0, 1]
    for kind in ("batch", "ops"):
        assert story.job(by_type[kind]).state.state_type is JobStateType.COMPLETED


@settings(max_examples=40, deadline=None)
@given(st.lists(st.booleans(), max_size=30))
def test_a_daemon_reaches_each_node_that_joins(joins: list[bool]) -> None:
    world = World(nodes=0)
    job = world.submit(kind="daemon")
    for number, suits in enumerate(joins):
        world.join(f"n-{number}")
        if not suits:
            world.node(f"n-{number}", ready=False)
        world.settle(job.id)
    ready = {node.id for node in world.nodes.values() if node.ready}
    assert {execution.node_id for execution in world.live(job.id)} == ready
    for node in list(world.nodes):
        world.node(node, ready=True)
    world.settle(job.id)
    assert {execution.node_id for execution in world.live(job.id)} == set(world.nodes)


@pytest.mark.parametrize("kind", ["batch", "service"])
def test_a_count_above_the_nodes_fills_them_and_waits(kind: str) -> None:
    world = World(nodes=2)
    job = world.submit(kind=kind, count=11)
    outcome = world.settle(job.id)
    assert len(world.live(job.id)) == 8
    assert outcome.wish is not None
