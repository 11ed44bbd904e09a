"""What a principal may use at a time: never more, whatever happens, and nothing waits for ever."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bacalhau_jupyter.models.jobs.job import Job, JobStateType
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import replace
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.models.records.quotas import Quota, Quotas
from bacalhau_jupyter.orchestrator.scheduler.allowance import Allowance, Share
from bacalhau_jupyter.orchestrator.submitting import submission
from tests.orchestrator.explaining.cases import explained, running, waiting
from tests.orchestrator.scheduler.world import World

ADA, BOB = "user:ada", "key:bob"
ROOM = Resources(cpu=64.0, memory=10**12, disk=10**13, gpu=8)
WAITS = {"queue_timeout": 1000}


def world(nodes: int = 1, **ada: Any) -> World:
    """A cluster with room for all, in which ada has a quota and bob none."""
    quotas = Quotas(own={ADA: Quota(**ada)})
    return World(nodes=nodes, capacity=ROOM, quotas=quotas)


def reason(cluster: World, job: Job) -> str:
    return cluster.job(job.id).state.message


# ---- jobs


def test_the_third_job_waits_while_two_run_and_says_whose_they_are() -> None:
    cluster = world(jobs=2)
    for name in ("job-a", "job-b"):
        running(cluster, name, principal=ADA)
    third = waiting(cluster, "job-c", principal=ADA)
    assert third.state.state_type is JobStateType.QUEUED
    assert third.state.message == "user:ada's quota of 2 running jobs is used by job-a and job-b"
    assert f"Job queued. {third.state.message}" in cluster.messages(third.id)


def test_it_runs_when_one_of_them_has_ended() -> None:
    cluster = world(jobs=1)
    first = running(cluster, "job-a", principal=ADA)
    second = waiting(cluster, "job-b", principal=ADA)
    (execution,) = cluster.live(first.id)
    cluster.complete(execution)
    cluster.settle(first.id)
    cluster.settle(second.id)
    assert len(cluster.live(second.id)) == 1


def test_what_others_and_the_owner_run_does_not_count() -> None:
    cluster = world(jobs=1)
    for principal in (BOB, "owner", ""):
        running(cluster, principal=principal)
    assert waiting(cluster, principal=ADA).state.state_type is not JobStateType.QUEUED
    cluster = World(nodes=1, capacity=ROOM, quotas=Quotas(default=Quota(jobs=1)))
    for _ in range(3):
        assert running(cluster, principal="owner").state.state_type is JobStateType.RUNNING


def test_a_job_may_name_any_principal_it_likes_in_its_spec() -> None:
    cluster = world(jobs=1)
    running(cluster, principal=ADA)
    job = submission.prepare(
        cluster.job(running(cluster, principal=BOB).id), cluster.settings, None, cluster.ids
    )[0]
    forged = {"principal": "owner", "Principal": "owner", "bacalhau.org/principal": "owner"}
    transaction = cluster.transaction(ADA)
    stored = submission.submit(
        transaction,
        replace(job, id="j-forged", name="forged", meta={**job.meta, **forged}, labels=forged),
        False,
    )
    cluster.settle(stored.id)
    assert not cluster.live(stored.id)


def test_who_runs_a_job_of_somebody_else_again_pays_for_it() -> None:
    cluster = world(jobs=1)
    running(cluster, "hers", principal=ADA)
    his = running(cluster, "his", principal=BOB)
    cluster.complete(cluster.live(his.id)[0])
    cluster.settle(his.id)
    transaction = cluster.transaction(ADA)
    submission.rerun(transaction, his.id, "", 0)
    cluster.settle(his.id)
    assert not cluster.live(his.id)
    assert "user:ada's quota of 1 running job is used by hers" in reason(cluster, his)


def test_a_name_from_another_namespace_is_not_told() -> None:
    cluster = world(jobs=2)
    running(cluster, "secret", namespace="hers", principal=ADA)
    running(cluster, "known", principal=ADA)
    third = waiting(cluster, principal=ADA)
    assert third.state.message == "user:ada's quota of 2 running jobs is used by known and 1 more"


def test_a_hostile_name_is_spelled_out() -> None:
    allowance = Allowance(ADA, Quota(jobs=1), [Share("j", "a\x1b[31m\u202e\n" + "x" * 200, Resources())])
    words = allowance.sentence("jobs", Resources())
    assert words.isprintable() and "\\x1b[31m\\u202e\\n" in words and len(words) < 150


def test_without_time_to_wait_it_fails_with_the_same_words() -> None:
    cluster = world(jobs=1)
    running(cluster, "job-a", principal=ADA)
    job = waiting(cluster, principal=ADA, queue_timeout=0)
    assert job.state.state_type is JobStateType.FAILED
    assert job.state.message == "user:ada's quota of 1 running job is used by job-a"


def test_a_job_that_no_node_runs_fails_at_once_rather_than_wait_for_its_quota() -> None:
    cluster = world(jobs=1)
    running(cluster, principal=ADA)
    assert "not enough nodes" in waiting(cluster, principal=ADA, engine="docker").state.message


# ---- CPU, memory, GPU


def test_partitions_run_as_far_as_the_quota_goes() -> None:
    cluster = world(cpu=2.0)
    job = running(cluster, count=5, cpu="500m", principal=ADA)
    assert len(cluster.live(job.id)) == 4
    assert cluster.job(job.id).state.state_type is JobStateType.RUNNING
    outcome = cluster.settle(job.id)
    assert outcome.claim is not None and outcome.claim.request.cpu == 0.5


@pytest.mark.parametrize(
    ("quota", "wishes", "words"),
    [
        ({"cpu": 2.0}, {"cpu": "1.5"}, "quota of 2 CPU is used by job-a (1.5); the job asks for 1.5 CPU"),
        ({"gpu": 3}, {"gpu": "2"}, "quota of 3 GPUs is used by job-a (2); the job asks for 2 GPUs"),
        (
            {"memory": 150 * 10**6},
            {},
            "quota of 150 MB of memory is used by job-a (100 MB); the job asks for 100 MB of memory",
        ),
    ],
)
def test_each_resource_has_its_sentence(quota: dict[str, Any], wishes: Mapping[str, str], words: str) -> None:
    cluster = world(**quota)
    running(cluster, "job-a", principal=ADA, **wishes)
    assert reason(cluster, waiting(cluster, principal=ADA, **wishes)) == f"user:ada's {words}"


def test_an_update_waits_for_its_own_old_version_only() -> None:
    cluster = world(cpu=1.0)
    job = running(cluster, "same", cpu="1", principal=ADA)
    cluster.submit("same", cpu="900m", principal=ADA)
    cluster.settle(job.id)
    (execution,) = cluster.live(job.id)
    assert execution.job_version == 2


# ---- jobs for all nodes


def test_an_ops_job_starts_on_all_its_nodes_or_waits() -> None:
    cluster = world(nodes=3, cpu=3.0)
    first = running(cluster, "job-a", cpu="1", principal=ADA)
    ops = waiting(cluster, kind="ops", cpu="1", principal=ADA)
    assert ops.state.state_type is JobStateType.QUEUED and not cluster.live(ops.id)
    cluster.complete(cluster.live(first.id)[0])
    cluster.settle(first.id)
    cluster.settle(ops.id)
    assert len(cluster.live(ops.id)) == 3


def test_an_ops_job_that_asks_for_more_than_the_quota_on_all_nodes_fails() -> None:
    cluster = world(nodes=3, cpu=2.0)
    ops = waiting(cluster, kind="ops", cpu="1", principal=ADA)
    assert ops.state.state_type is JobStateType.FAILED
    assert ops.state.message == "the job asks for 3 CPU on 3 nodes, and the quota of user:ada is 2 CPU"


def test_a_daemon_runs_on_as_many_nodes_as_the_quota_allows() -> None:
    cluster = world(nodes=3, cpu=2.0)
    daemon = waiting(cluster, kind="daemon", cpu="1", principal=ADA)
    assert len(cluster.live(daemon.id)) == 2
    assert cluster.settle(daemon.id).claim is not None


# ---- the explanation


def test_the_explanation_speaks_to_whom_it_is_about() -> None:
    cluster = world(jobs=1)
    first = running(cluster, "job-a", principal=ADA)
    second = waiting(cluster, principal=ADA)
    hers, his = (explained(cluster, second, reader=name) for name in (ADA, BOB))
    assert hers.summary == "your quota of 1 running job is used by job-a"
    assert his.summary == "user:ada's quota of 1 running job is used by job-a"
    assert [remedy.text for remedy in hers.remedies] == ["wait until one of them ends", "stop `job-a`"]
    assert hers.remedies[1].job_ids == [first.id]


# ---- whatever happens


class Busy(RuleBasedStateMachine):
    """Three nodes with room for all; jobs of all types of two principals with quotas and one without."""

    QUOTAS = Quotas(
        default=Quota(cpu=1.5, gpu=1),
        own={ADA: Quota(jobs=2, cpu=3.0)},
    )

    def __init__(self) -> None:
        super().__init__()
        self.world = World(nodes=3, capacity=ROOM, quotas=self.QUOTAS)
        self.jobs: list[str] = []

    @rule(
        who=st.sampled_from([ADA, ADA, BOB, BOB, "owner"]),
        kind=st.sampled_from(["batch", "batch", "ops", "daemon", "service"]),
        count=st.integers(1, 4),
        cpu=st.sampled_from(["100m", "500m", "1", "1.5"]),
        gpu=st.sampled_from(["", "1"]),
        queue=st.sampled_from([0, 1000, 100_000]),
    )
    def submit(self, who: str, kind: str, count: int, cpu: str, gpu: str, queue: int) -> None:
        if len(self.jobs) < 8:
            job = self.world.submit(
                kind=kind, count=count, cpu=cpu, gpu=gpu, principal=who, queue_timeout=queue
            )
            self.jobs.append(job.id)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def evaluate(self, data: st.DataObject) -> None:
        self.world.evaluate(data.draw(st.sampled_from(self.jobs)))

    @precondition(lambda self: self.world.live())
    @rule(seed=st.integers(0, 2**16))
    def round(self, seed: int) -> None:
        """Every node answers once, then every job is looked at."""
        chance = random.Random(seed)
        endings: list[Callable[[Execution], None]] = [self.world.complete, self.world.fail, lambda _: None]
        for execution in self.world.live():
            if execution.desired_state.state_type == 1:
                chance.choice(endings)(execution)
            else:
                self.world.bid(execution, chance.choice(["", "", "", "not enough capacity to run job"]))
        for job_id in self.jobs:
            self.world.evaluate(job_id)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def stop(self, data: st.DataObject) -> None:
        job = self.world.job(data.draw(st.sampled_from(self.jobs)))
        if not job.is_terminal:
            self.world.stop(job.id)

    @rule(seconds=st.sampled_from([0.1, 1, 60]))
    def wait(self, seconds: float) -> None:
        self.world.clock.advance(seconds)

    @invariant()
    def nobody_has_more_than_his_quota(self) -> None:
        rows = self.world.connection.execute(
            "SELECT j.principal, count(DISTINCT j.id), sum(e.cpu), sum(e.gpu)"
            " FROM executions e JOIN jobs j ON j.id = e.job_id WHERE e.live GROUP BY j.principal"
        )
        for principal, count, cpu, gpu in rows:
            quota = self.QUOTAS.of(principal)
            assert quota.jobs is None or count <= quota.jobs
            assert quota.cpu is None or cpu <= quota.cpu + 1e-6
            assert quota.gpu is None or gpu <= quota.gpu

    def teardown(self) -> None:
        """Once executions end and jobs without an end are stopped, every job gets its turn."""
        for job_id in self.jobs:
            job = self.world.job(job_id)
            if job.is_long_running and not job.is_terminal:
                self.world.stop(job_id)
        for _ in range(80):
            for job_id in self.jobs:
                self.world.settle(job_id)
                self.nobody_has_more_than_his_quota()
            for execution in self.world.live():
                if execution.desired_state.state_type == 0:
                    self.world.bid(execution)
                else:
                    self.world.complete(execution)
            if all(self.world.job(job_id).is_terminal for job_id in self.jobs) and not self.world.live():
                break
            self.world.clock.advance(31)
        assert all(self.world.job(job_id).is_terminal for job_id in self.jobs)
        self.world.connection.close()


Busy.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestBusy = Busy.TestCase


@settings(max_examples=200, deadline=None)
@given(
    limit=st.floats(0, 8),
    running_cpu=st.lists(st.floats(0, 3), max_size=5),
    asked=st.floats(0.01, 3),
    placed=st.integers(0, 4),
)
def test_what_is_let_in_fits(limit: float, running_cpu: list[float], asked: float, placed: int) -> None:
    shares = [Share(f"j-{number}", "", Resources(cpu=cpu)) for number, cpu in enumerate(running_cpu)]
    allowance = Allowance(ADA, Quota(cpu=limit), shares)
    total = sum(running_cpu) + asked * (placed + 1)
    if not allowance.obstacle("j", Resources(cpu=asked), placed):
        assert total <= limit + 1e-4
    else:
        assert total > limit - 1e-4
