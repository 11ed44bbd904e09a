"""A small node and many jobs: all of them run, never more at a time than fit, the important ones first."""

from __future__ import annotations

import random

import pytest

from tests.services.common import wait_until
from tests.survival.world import ENGINES, OVER, World, pause

CORES = 1.6
"""What a two-core machine gives to jobs."""
JOBS = 50


@pytest.fixture
def small_node(world: World) -> World:
    """A node with 1.6 CPU, whatever machine this is."""
    world.options.append(f"Compute.AllocatedCapacity.CPU={CORES}")
    world.start()
    return world


def _hold_everything(world: World) -> str:
    """Fill the node with one job that ends when `_let_go` says so; returns its ID."""
    script = 'while [ ! -e "$in/counter/go" ]; do sleep 0.05; done'
    job_id = world.submit(world.job("process", script, cpu=str(CORES)))
    world.wait_for_marks("START", job_id)
    return job_id


def _let_go(world: World) -> None:
    (world.counter / "go").touch()


def _most_at_a_time(world: World) -> int:
    """Return how many jobs ran together at most; a job counts from its first line to its last."""
    running = most = 0
    for mark in world.marks():
        running += 1 if mark.kind == "START" else -1
        most = max(most, running)
    return most


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("cpu", "fit"), [("0.5", 3), ("1", 1)])
def test_fifty_detached_jobs_complete_on_a_two_core_node_and_never_exceed_it(
    small_node: World, cpu: str, fit: int
) -> None:
    world = small_node
    blocker = _hold_everything(world)
    choice = random.Random(7)
    priorities: dict[str, int] = {}
    for number in range(JOBS):
        job = world.job(ENGINES[number % 2], "true", cpu=cpu, priority=choice.choice([0, 10, 50]))
        priorities[world.submit(job)] = job.priority
    assert world.count("START") == {blocker: 1}
    _let_go(world)
    containers = [0]

    def all_over() -> bool:
        containers.append(len(world.containers(running=True)))
        return OVER.issuperset(world.jobs().values())

    assert wait_until(all_over, timeout_s=400)
    states = world.wait_for(priorities)
    assert world.failures(states) == {}
    assert _most_at_a_time(world) <= fit
    assert max(containers) <= fit
    placed = sorted(priorities, key=lambda job: world.executions(job)[-1]["CreateTime"])
    assert [priorities[job] for job in placed] == sorted(priorities.values(), reverse=True)
    if fit == 1:
        started = [mark.job for mark in world.marks() if mark.kind == "START" and mark.job != blocker]
        assert [priorities[job] for job in started] == sorted(priorities.values(), reverse=True)
    assert set(world.count("END").values()) == {1}
    world.assert_nothing_left()


@pytest.mark.parametrize("engine", ENGINES)
def test_the_partitions_of_one_job_run_on_one_node_each_with_its_own_index(
    small_node: World, engine: str
) -> None:
    world = small_node
    job_id = world.submit(world.job(engine, "true", count=4, cpu="0.4"))
    states = world.wait_for([job_id])
    assert world.failures(states) == {}
    ended = [mark.partition for mark in world.marks() if mark.kind == "END"]
    assert sorted(ended) == ["0", "1", "2", "3"]
    assert {item["NodeID"] for item in world.executions(job_id)} == {world.node_id}
    world.assert_nothing_left()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_queued_jobs_outlive_kills_and_what_was_held_before_is_not_given_away_again(
    small_node: World,
) -> None:
    world = small_node
    instants = random.Random(11)
    jobs = [world.submit(world.job(ENGINES[number % 2], "sleep 1", cpu="0.5")) for number in range(24)]
    for _ in range(4):
        pause(instants.uniform(0.3, 2.5))
        world.running.kill()
        world.start()
    states = world.wait_for(jobs, timeout_s=240)
    assert world.failures(states) == {}
    assert [world.count("START")[job] for job in jobs] == [1] * len(jobs)
    assert [world.count("END")[job] for job in jobs] == [1] * len(jobs)
    assert _most_at_a_time(world) <= 3
    world.assert_nothing_left()
