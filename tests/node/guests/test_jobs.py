"""Unmodified official nodes run the jobs of an orchestrator of ours: every job type, both of their engines."""

from __future__ import annotations

import pytest

from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.jobs.job import JobStateType
from tests.node.guests.cluster import TIMEOUT_S, Cluster, image, module
from tests.services.common import wait_until
from tests.services.official_orchestrator import needs_official
from tests.services.wasm_modules import printing

pytestmark = [needs_official, pytest.mark.timeout(600)]

DONE, FAILED = JobStateType.COMPLETED, JobStateType.FAILED
LASTING = "i=0; while true; do echo line $i; i=$((i+1)); sleep 0.2; done"


def test_the_node_is_listed_with_what_it_is(cluster: Cluster) -> None:
    with cluster.client() as client:
        (guest,) = (each for each in client.nodes() if each.info.node_id == "n-guest")
    assert guest.membership.value == "APPROVED"
    assert guest.info.bacalhau_version.git_version.startswith("v1.")
    assert not guest.info.jupyter_version
    assert guest.info.compute_node_info is not None
    assert {"docker", "wasm"} & set(guest.info.compute_node_info.execution_engines)


def test_a_module_runs_and_its_output_is_shown_without_a_wait(cluster: Cluster) -> None:
    job = cluster.run(module(printing("hello from a module\n")))
    (execution,) = cluster.executions(job)
    assert execution.node_id == "n-guest"
    assert execution.run_output is not None
    assert execution.run_output.exit_code == 0, execution
    with cluster.client() as client:
        assert client.job(job).printed("stdout") == "hello from a module\n"
        assert list(client.job(job).logs()) == ["hello from a module\n"]


def test_an_ops_job_runs_once_on_each_node(cluster: Cluster) -> None:
    job = cluster.run(module(printing("ops"), kind="ops"))
    assert cluster.wait_for(job, DONE, FAILED) is DONE
    assert [each.node_id for each in cluster.executions(job)] == ["n-guest"]


def test_an_image_runs_and_its_exit_code_comes_back(cluster: Cluster, busybox_image: str) -> None:
    good = cluster.run(image(busybox_image, "echo out; echo err >&2"))
    assert cluster.wait_for(good, DONE, FAILED) is DONE, cluster.executions(good)
    with cluster.client() as client:
        assert client.job(good).printed("stdout") == "out\n"
        assert client.job(good).printed("stderr") == "err\n"
    bad = cluster.run(image(busybox_image, "exit 3"))
    assert 3 in [each.run_output.exit_code for each in cluster.executions(bad) if each.run_output]


@pytest.mark.parametrize("kind", ["service", "daemon"])
def test_a_lasting_job_runs_until_it_is_stopped(cluster: Cluster, busybox_image: str, kind: str) -> None:
    job = cluster.run(image(busybox_image, LASTING, kind=kind), JobStateType.RUNNING, FAILED)
    with cluster.client() as client:
        client.job(job).stop()
    assert cluster.wait_for(job, JobStateType.STOPPED) is JobStateType.STOPPED

    def has_stopped() -> bool:
        return all(each.is_terminal for each in cluster.executions(job))

    assert wait_until(has_stopped, timeout_s=TIMEOUT_S, interval_s=0.3)


def test_several_follow_the_output_of_a_job_and_the_last_lines_are_enough_for_some(
    cluster: Cluster, busybox_image: str
) -> None:
    job = cluster.run(image(busybox_image, LASTING, kind="service"), JobStateType.RUNNING, FAILED)
    with cluster.client() as client:
        running = client.job(job)
        followers = [running.logs(follow=True) for _ in range(3)]
        for follower in followers:
            text = ""
            for line in follower:
                text += line
                if "line 3\n" in text:
                    break
            assert "line 0\n" in text
        running.stop()
        for follower in followers:
            for _ in follower:
                """It ends, though the node itself does not end it."""


def test_what_only_nodes_of_ours_run_is_refused_with_the_reason(cluster: Cluster) -> None:
    job = {
        "Type": "batch",
        "Count": 1,
        "Tasks": [{"Name": "main", "Engine": {"Type": "process", "Params": {"Command": ["true"]}}}],
    }
    try:
        identifier = cluster.run(job)
    except BacalhauError as error:
        assert "process" in str(error)
        return
    with cluster.client() as client:
        state = client.job(identifier).describe().state
    assert state.state_type is FAILED
    assert "process" in state.message
