from __future__ import annotations

import pytest

from bacalhau_jupyter.models.jobs.job import JobStateType
from bacalhau_jupyter.models.jobs.spec import SpecConfig, replace
from bacalhau_jupyter.models.records.execution import DesiredStateType, ExecutionStateType
from bacalhau_jupyter.models.wire.messages import RunResult
from bacalhau_jupyter.orchestrator.queries import list_results
from tests.orchestrator.scheduler.world import World


def running(world: World, publisher: SpecConfig | None = None) -> str:
    job = world.submit(publisher=publisher)
    world.settle(job.id)
    world.bid(world.live()[0])
    world.settle(job.id)
    return job.id


def test_a_report_delivered_twice_changes_nothing_the_second_time() -> None:
    world = World(nodes=1)
    job = world.submit()
    world.settle(job.id)
    execution = world.live()[0]
    for answer in (world.bid, world.complete):
        answer(execution)
        before = (world.executions(job.id), world.messages(job.id))
        answer(execution)
        assert (world.executions(job.id), world.messages(job.id)) == before
        world.settle(job.id)
    world.fail(execution)
    assert world.executions(job.id)[0].compute_state.state_type is ExecutionStateType.COMPLETED


def test_a_report_of_another_node_is_not_believed() -> None:
    world = World(nodes=2)
    job_id = running(world)
    world.complete(replace(world.live()[0], node_id="n-imposter"))
    assert len(world.live()) == 1
    assert world.job(job_id).state.state_type is JobStateType.RUNNING


def test_a_result_that_comes_after_the_stop_does_not_revive_the_job() -> None:
    world = World(nodes=1)
    job_id = running(world)
    execution = world.live()[0]
    world.stop(job_id)
    world.settle(job_id)
    world.complete(execution)
    world.settle(job_id)
    assert world.job(job_id).state.state_type is JobStateType.STOPPED
    assert world.executions(job_id)[0].compute_state.state_type is ExecutionStateType.CANCELLED


def test_a_failure_keeps_its_words_and_details_on_the_execution() -> None:
    world = World(nodes=1)
    job_id = running(world)
    world.fail(world.live()[0], "image not available")
    execution = world.executions(job_id)[0]
    assert (execution.compute_state.message, execution.compute_state.details) == (
        "image not available",
        {"IsError": "true"},
    )
    assert execution.desired_state.state_type is DesiredStateType.STOPPED
    assert execution.desired_state.message == "execution failed"


def test_a_completed_execution_keeps_its_message_as_upstream_does() -> None:
    world = World(nodes=1)
    job_id = running(world)
    world.complete(world.live()[0])
    execution = world.executions(job_id)[0]
    assert (execution.compute_state.message, execution.desired_state.message) == (
        "Running",
        "execution completed",
    )
    assert execution.revision == 4


@pytest.mark.parametrize("kind", ["s3managed", " S3Managed", "local"])
@pytest.mark.parametrize("foreign", ["ExecutionID", "twice", "nothing"])
def test_a_published_reference_names_this_very_execution_or_the_execution_fails(
    kind: str, foreign: str
) -> None:
    world = World(nodes=1)
    job_id = running(world)
    execution = world.live()[0]
    params = {"JobID": job_id, "ExecutionID": execution.id, "NodeID": execution.node_id}
    if foreign == "nothing":
        params = {}
    elif foreign == "twice":
        params["executionid"] = "e-of-somebody-else"
    else:
        params[foreign] = "x-of-somebody-else"
        params["JobID"] = "j-of-somebody-else"
    reference = SpecConfig(type=kind, params=params)
    world.report(execution, RunResult(execution_id=execution.id, job_id=job_id, publish_result=reference))
    after = world.executions(job_id)[0]
    assert after.compute_state.state_type is ExecutionStateType.FAILED
    assert after.published_result.is_empty
    assert "is not this execution's own" in after.compute_state.message


@pytest.mark.parametrize("kind", ["s3managed", "local", ""])
def test_a_published_reference_of_its_own_is_kept(kind: str) -> None:
    world = World(nodes=1)
    job_id = running(world)
    execution = world.live()[0]
    reference = SpecConfig(type=kind, params={"jobid": job_id, "ExecutionID": execution.id} if kind else {})
    world.report(execution, RunResult(execution_id=execution.id, job_id=job_id, publish_result=reference))
    after = world.executions(job_id)[0]
    assert after.compute_state.state_type is ExecutionStateType.COMPLETED
    assert after.published_result == reference


def test_what_was_kept_of_an_execution_that_could_not_publish_is_listed() -> None:
    world = World(nodes=1)
    job_id = running(world)
    execution = world.live()[0]
    own = SpecConfig(type="local", params={"ExecutionID": execution.id, "NodeID": execution.node_id})
    world.fail(execution, "no such bucket", {"FailsJob": "true"}, own)
    kept = world.executions(job_id)[0]
    assert kept.run_output is not None
    assert kept.run_output.stdout == "hi\n"
    assert list_results(job_id, "default")(world.connection) == [own]


def test_what_a_failed_execution_kept_is_its_own_or_not_believed() -> None:
    world = World(nodes=1)
    job_id = running(world)
    foreign = SpecConfig(type="local", params={"ExecutionID": "e-another", "NodeID": "n-1"})
    world.fail(world.live()[0], "no such bucket", {"FailsJob": "true"}, foreign)
    assert world.executions(job_id)[0].published_result.is_empty


S3 = SpecConfig(
    type="s3", params={"bucket": "b", "key": "out/{jobID}/{executionID}", "endpoint": "https://s3.lan"}
)


@pytest.mark.parametrize(
    ("publisher", "key", "endpoint", "kept"),
    [
        (S3, "out/{job}/{execution}.tar.gz", "https://s3.lan", True),
        (S3, "payroll/2026.tar.gz", "https://s3.lan", False),
        (S3, "out/{job}/e-of-somebody-else.tar.gz", "https://s3.lan", False),
        (S3, "out/{job}/{execution}.tar.gz", "https://evil.lan", False),
        (SpecConfig(type="local"), "out/{job}/{execution}.tar.gz", "https://s3.lan", False),
        (SpecConfig(), "payroll/2026.tar.gz", "", False),
    ],
)
def test_a_result_in_a_bucket_lies_where_the_jobs_publisher_says(
    publisher: SpecConfig, key: str, endpoint: str, kept: bool
) -> None:
    world = World(nodes=1)
    job_id = running(world, publisher)
    execution = world.live()[0]
    place = key.format(job=job_id, execution=execution.id)
    reference = SpecConfig(type="s3", params={"Bucket": "b", "Key": place, "Endpoint": endpoint})
    world.report(execution, RunResult(execution_id=execution.id, job_id=job_id, publish_result=reference))
    after = world.executions(job_id)[0]
    assert after.published_result == (reference if kept else SpecConfig())
    if not kept:
        assert "at another place than its job's publisher names" in after.compute_state.message
