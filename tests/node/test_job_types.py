"""Jobs of every type on a real node, through its API: run, stop, update, and a node that is killed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter import Client
from bacalhau_jupyter.client.jobs.job import Job
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.jobs.job import Job as JobModel
from bacalhau_jupyter.models.jobs.job import JobStateType
from bacalhau_jupyter.models.jobs.spec import ResourcesConfig, SpecConfig, Task
from bacalhau_jupyter.models.records.execution import Execution, ExecutionStateType
from bacalhau_jupyter.models.records.outcome import recorded_outcome
from tests.services import docker_engine as docker_services
from tests.services.common import wait_until
from tests.services.node import ServedNode
from tests.services.node_fixtures import NodeFactory, factory

ENDLESS = ["service", "daemon"]
FINITE = ["batch", "ops"]
SOON_S = 60.0


@pytest.fixture(scope="module")
def shared_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedNode]:
    with factory(tmp_path_factory.mktemp("types")) as start:
        yield start()


@pytest.fixture
def client(shared_node: ServedNode) -> Iterator[Client]:
    with Client(shared_node.url, api_key=shared_node.key) as connected:
        yield connected


def job_of(kind: str, name: str = "", engine: SpecConfig | None = None, **members: Any) -> JobModel:
    task = Task(
        name="main",
        engine=engine or SpecConfig(type="noop", params=members.pop("noop", {"Sleep": 600.0})),
        resources=ResourcesConfig(cpu="100m", memory="100mb"),
        env=members.pop("env", {}),
    )
    if kind in FINITE + ENDLESS:
        members.setdefault("count", 1 if kind in ("batch", "service") else None)
    return JobModel(name=name, type=kind, tasks=[task], **members)


def live(job: Job) -> list[Execution]:
    return [execution for execution in job.executions() if not execution.is_terminal]


def soon(condition: Callable[[], object], what: str) -> None:
    assert wait_until(lambda: bool(condition()), timeout_s=SOON_S), what


@pytest.mark.parametrize("kind", FINITE)
def test_a_job_with_an_end_completes(client: Client, kind: str) -> None:
    job = client.submit(job_of(kind, noop={"Stdout": "hi\n"}))
    assert job.wait().state_type is JobStateType.COMPLETED
    (execution,) = job.executions()
    assert execution.compute_state.state_type is ExecutionStateType.COMPLETED
    assert "".join(job.logs()) == "hi\n"


@pytest.mark.parametrize("kind", ENDLESS)
def test_a_job_without_an_end_runs_until_it_is_stopped(client: Client, kind: str) -> None:
    job = client.submit(job_of(kind))
    soon(lambda: job.state is JobStateType.RUNNING and live(job), "it does not run")
    job.stop()
    soon(lambda: not live(job), "an execution lives on")
    assert recorded_outcome(job.describe().state) == "stopped"


@pytest.mark.parametrize("kind", ENDLESS)
def test_a_task_that_should_not_end_is_started_twice_in_a_row(client: Client, kind: str) -> None:
    job = client.submit(job_of(kind, noop={}))
    soon(lambda: len(job.executions()) == 2 and not live(job), "it was not started again")
    for execution in job.executions():
        assert execution.compute_state.state_type is ExecutionStateType.FAILED
        assert execution.compute_state.message == "execution completed unexpectedly"
    if kind == "daemon":
        assert job.state is JobStateType.RUNNING
        job.stop()
    else:
        assert job.wait().state_type is JobStateType.FAILED


@pytest.mark.parametrize("kind", ENDLESS)
def test_an_update_replaces_what_runs(client: Client, kind: str) -> None:
    job = client.submit(job_of(kind, f"updated-{kind}"))
    soon(lambda: live(job), "it does not run")
    again = client.submit(job_of(kind, f"updated-{kind}", env={"NEW": "1"}))
    assert again.id == job.id
    soon(lambda: {execution.job_version for execution in live(job)} == {2}, "version 2 does not run")
    job.stop()


@pytest.mark.parametrize(
    ("kind", "members", "words"),
    [
        ("cron", {}, 'invalid job type: "cron"'),
        ("", {}, "missing job type"),
        ("service", {"count": -1}, "job count must be >= 0"),
        ("service", {"count": 20_000}, "job count must be <= 10000 on this node"),
        ("ops", {"count": 2}, "ops jobs cannot specify count > 1 as they run on all matching nodes"),
        ("daemon", {"count": 2}, "daemon jobs cannot specify count > 1 as they run on all matching nodes"),
    ],
)
def test_a_type_or_count_that_makes_no_sense_is_refused(
    client: Client, kind: str, members: dict[str, Any], words: str
) -> None:
    with pytest.raises(BacalhauError, match="job") as caught:
        client.submit(job_of(kind, **members))
    assert words in caught.value.message
    assert 400 <= caught.value.status < 500


def test_the_type_of_a_job_does_not_change(client: Client) -> None:
    job = client.submit(job_of("service", "steady"))
    with pytest.raises(BacalhauError, match="is a service job and can't become a daemon job") as caught:
        client.submit(job_of("daemon", "steady"))
    assert caught.value.status == 400
    with pytest.raises(BacalhauError, match="can't become an ops job"):
        client.submit(job_of("ops", "steady"))
    job.stop()


def test_an_endless_job_has_no_results_to_fetch(client: Client) -> None:
    job = client.submit(job_of("service"))
    soon(lambda: live(job), "it does not run")
    with pytest.raises(BacalhauError, match="job type service does not support results"):
        job.results()
    job.stop()


def script_for(engine: str, image: str, script: str) -> SpecConfig:
    if engine == "process":
        return SpecConfig(type="process", params={"Command": ["sh", "-c", script]})
    return SpecConfig(type="docker", params={"Image": image, "Entrypoint": ["sh", "-c", script]})


@pytest.mark.parametrize("engine", ["process", "docker"])
@pytest.mark.parametrize("kind", [*ENDLESS, "ops"])
def test_what_runs_is_kept_when_the_node_is_killed_and_started_again(
    node_factory: NodeFactory, docker_engine: str, busybox_image: str, tmp_path: Path, kind: str, engine: str
) -> None:
    env = {"DOCKER_HOST": docker_engine}
    first = node_factory(data_dir=tmp_path / "repo", env=env)
    counting = "i=0; while [ $i -lt 6000 ]; do echo $i; i=$((i+1)); sleep 0.1; done"
    spec = script_for(engine, busybox_image, counting)
    with Client(first.url, api_key=first.key) as client:
        job = client.submit(job_of(kind, engine=spec))
        assert next(iter(job.logs(follow=True))).startswith("0\n")
        seen = len("".join(job.logs()).splitlines())
        (before,) = live(job)
    first.kill()
    second = node_factory(data_dir=tmp_path / "repo", env=env)
    with Client(second.url, api_key=second.key) as client:
        job = client.job(job.id)
        soon(lambda: client.nodes(), "the node does not join")
        assert [execution.id for execution in live(job)] == [before.id]
        soon(lambda: len("".join(job.logs()).splitlines()) > seen + 5, "the log does not go on")
        job.stop()
        soon(lambda: not live(job), "an execution lives on")
        assert len(job.executions()) == 1
        lines = "".join(job.logs()).splitlines()
        assert lines == [str(number) for number in range(len(lines))], "a line is missing or there twice"
        (node,) = client.nodes()
        # What a job had is removed after its end has been told.
        soon(lambda: not containers_of(node.info.node_id, docker_engine), "a container is left")
    second.stop()
    assert containers_of(node.info.node_id, docker_engine) == []


def containers_of(node_id: str, docker_engine: str) -> list[str]:
    engine = docker_services.client(docker_engine)
    try:
        label = {"label": f"bacalhau-executor={node_id}"}
        return [str(item["Names"]) for item in engine.api.containers(all=True, filters=label)]
    finally:
        engine.close()
