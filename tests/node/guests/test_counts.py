"""How many executions a job has, where, and of which version: on nodes of one kind or both, of either orchestrator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager

import pytest

from tests.node.guests.towns import CORES, GUEST, Town, all_ours, ours_with_guest, theirs_with_ours
from tests.services.common import wait_until
from tests.services.official_orchestrator import needs_official

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]

LONG_S = 3600
PATIENT = {"QueueTimeout": 600}


@pytest.fixture(
    scope="module",
    params=[
        "all ours",
        pytest.param("ours with a guest", marks=needs_official),
        pytest.param("theirs with ours", marks=needs_official),
    ],
)
def town(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """A cluster of two nodes."""
    directory = tmp_path_factory.mktemp("town")
    opening: AbstractContextManager[Town]
    if request.param == "all ours":
        opening = all_ours(directory)
    else:
        image = request.getfixturevalue("busybox_image")
        docker_url = request.getfixturevalue("docker_engine")
        opening = (ours_with_guest if request.param.startswith("ours") else theirs_with_ours)(
            directory, image, docker_url
        )
    with opening as running:
        running.wait_connected()
        yield running


def nodes_of(executions: list[dict[str, object]]) -> int:
    return len({each["NodeID"] for each in executions})


def test_a_batch_job_runs_as_often_as_it_counts(town: Town) -> None:
    two = town.submit(Count=2)
    assert town.wait_for(two, "Completed", "Failed") == "Completed"
    assert [each.get("PartitionIndex", 0) for each in sorted(town.done(two), key=_partition)] == [0, 1]
    three = town.submit(Count=3)
    if town.is_official:
        # Officially each execution wants a node of its own.
        assert town.wait_for(three, "Completed", "Failed") == "Failed"
        assert "requested: 3, available: 2, suitable: 2" in town.job(three)["State"]["Message"]
    else:
        assert town.wait_for(three, "Completed", "Failed") == "Completed"
        assert [each.get("PartitionIndex", 0) for each in sorted(town.done(three), key=_partition)] == [
            0,
            1,
            2,
        ]
    none = town.submit(Count=0)
    assert town.wait_for(none, "Completed", "Failed") == "Completed"
    assert town.executions(none) == []


def _partition(execution: dict[str, object]) -> int:
    return int(str(execution.get("PartitionIndex", 0)))


def test_ops_and_daemon_jobs_run_once_on_every_node_and_take_no_count(town: Town) -> None:
    assert "ops jobs cannot specify count > 1" in town.submit("ops", Count=2)
    assert "daemon jobs cannot specify count > 1" in town.submit("daemon", Count=2)
    ops = town.submit("ops", Count=0)
    assert town.wait_for(ops, "Completed", "Failed") == "Completed"
    assert nodes_of(town.done(ops)) == len(town.executions(ops)) == 2
    daemon = town.submit("daemon", LONG_S, Count=0)
    town.wait_live(daemon, [1, 1])
    assert nodes_of(town.live(daemon)) == 2
    other = town.submit("daemon", LONG_S, Count=0)
    town.wait_live(other, [1, 1])
    town.stop(daemon)
    # What was stopped stops nothing else.
    assert len(town.live(other)) == 2
    town.stop(other)


def test_a_new_version_of_a_service_scales_it_and_a_rerun_takes_any_version(town: Town) -> None:
    name = "scaled"
    job = town.submit("service", LONG_S, Count=1, Name=name)
    town.wait_live(job, [1])
    assert town.submit("service", LONG_S, Count=2, Name=name) == job
    town.wait_live(job, [2, 2])
    assert town.job(job)["Version"] == 2
    assert town.submit("service", LONG_S, Count=1, Name=name) == job
    town.wait_live(job, [3])
    assert "no changes detected for new job spec" in town.submit("service", LONG_S, Count=1, Name=name)
    town.stop(job)
    again = town.ask(f"jobs/{job}/rerun", {"JobVersion": 2})
    assert (again["JobID"], again["JobVersion"]) == (job, 4)
    town.wait_live(job, [4, 4])
    assert town.job(job)["Count"] == 2
    town.stop(job)


def test_a_full_cluster_lets_a_job_wait_no_longer_than_it_says_and_takes_the_urgent_one_first(
    town: Town,
) -> None:
    if town.is_official:
        pytest.skip("official orchestrators let jobs wait at nodes, where no queue time-out counts")
    full = town.submit("daemon", LONG_S, CORES, Count=0)
    town.wait_live(full, [1, 1])
    hasty = town.submit(cores=CORES, Count=1, timeouts={"QueueTimeout": 3})
    patient = town.submit(cores=CORES, Count=1, Priority=1, timeouts=PATIENT)
    urgent = [town.submit(cores=CORES, sleep=1, Count=1, Priority=9, timeouts=PATIENT) for _ in range(2)]
    assert town.wait_for(hasty, "Failed", "Completed") == "Failed"
    assert "not enough nodes to run job" in town.job(hasty)["State"]["Message"]
    assert [town.state(each) for each in (patient, *urgent)] == ["Queued"] * 3
    town.stop(full)
    for each in (patient, *urgent):
        assert town.wait_for(each, "Completed", "Failed") == "Completed"
    first = min(int(each["CreateTime"]) for each in town.done(patient))
    assert all(int(each["CreateTime"]) < first for job in urgent for each in town.done(job))


def test_a_lost_nodes_executions_go_on_elsewhere_and_do_not_run_on_when_it_is_back(town: Town) -> None:
    if town.guest is None:
        pytest.skip("the nodes of a devstack end with it")
    job = town.submit("service", LONG_S, Count=2)
    town.wait_live(job, [1, 1])
    before = {str(each["ID"]) for each in town.live(job) if each["NodeID"] == GUEST}
    assert len(before) == 1
    town.guest.kill()
    town.wait_connected(1)
    # An official orchestrator keeps the executions of a lost node, until something else makes it look at the job.
    if not town.is_official:
        town.wait_live(job, [1, 1])
        assert wait_until(lambda: all(each["NodeID"] != GUEST for each in town.live(job)), timeout_s=60), (
            town.executions(job)
        )
    town.guest.start()
    town.wait_connected()
    if not town.is_official:
        assert wait_until(lambda: not town.containers() & before, timeout_s=60), town.containers()
    town.stop(job)
    assert wait_until(lambda: not town.containers() & before, timeout_s=60), town.containers()
