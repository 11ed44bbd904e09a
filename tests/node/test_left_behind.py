"""What jobs leave behind is published as far as it can be; no job runs twice because of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import docker
import pytest

from bacalhau_jupyter import Client
from bacalhau_jupyter.client.jobs.job import Job, JobFailed
from bacalhau_jupyter.models.jobs.job import Job as JobModel
from bacalhau_jupyter.models.jobs.spec import InputSource, ResultPath, SpecConfig, Task
from tests.services.node import ServedNode
from tests.services.node_fixtures import NodeFactory, factory
from tests.services.s3 import S3Server

UID = 1600
DISABLED = {"docker": "process", "process": "docker"}

Run = Callable[..., Job]


@pytest.fixture(scope="module", params=["docker", "process"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=["root", "user"])
def served(
    request: pytest.FixtureRequest,
    engine: str,
    docker_engine: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ServedNode]:
    """A node with one engine, which is root or an ordinary user in the engine's group."""
    with factory(tmp_path_factory.mktemp("served")) as start_node:
        yield start(start_node, engine, docker_engine, user=request.param == "user")


def start(
    node_factory: NodeFactory, engine: str, docker_engine: str, *options: str, user: bool
) -> ServedNode:
    uid, groups = None, []
    if user:
        if os.geteuid() != 0:
            pytest.skip("only root can start a node of another user")
        socket = Path(docker_engine.removeprefix("unix://")).stat()
        if engine == "docker" and (not socket.st_mode & 0o020 or socket.st_gid == 0):
            pytest.skip("the engine's socket has no group of its own")
        uid, groups = UID, [socket.st_gid]
    disabled = ("-c", f"Engines.Disabled={DISABLED[engine]}")
    env = {"DOCKER_HOST": docker_engine}
    return node_factory(*disabled, *options, uid=uid, groups=groups, env=env)


@pytest.fixture
def run(served: ServedNode, engine: str, busybox_image: str) -> Iterator[Run]:
    client = Client(served.url, api_key=served.key)
    yield partial(submit, client, engine, busybox_image)
    client.close()


def submit(client: Client, engine: str, image: str, script: str, **members: Any) -> Job:
    params = {"Image": image, "Entrypoint": ["sh", "-c", script]}
    if engine == "process":
        params = {"Command": ["sh", "-c", script]}
    members.setdefault("publisher", SpecConfig(type="local"))
    task = Task(
        name="main",
        engine=SpecConfig(type=engine, params=params),
        result_paths=[ResultPath(name="outputs", path="/outputs")],
        **members,
    )
    return client.submit(JobModel(name=f"t-{time.monotonic_ns()}", type="batch", count=1, tasks=[task]))


def left_out(job: Job) -> list[str]:
    return job.outcome().left_out


def test_a_link_out_of_the_results_is_left_out_and_the_job_runs_once(run: Run) -> None:
    job = run("echo x > /outputs/answer; ln -s /usr/lib/anything /outputs/lib; echo ran")
    result = job.result()
    assert result.ls() == ["exitCode", "outputs/answer", "stderr", "stdout"]
    assert left_out(job) == ["outputs/lib → /usr/lib/anything (a link out of the results)"]
    assert len(job.executions()) == 1
    (event,) = (row.event for row in job.history() if "left out" in row.event.message)
    assert event.topic == "Publishing Results"
    assert event.details["LeftOutCount"] == "1"


PRIVATE = {
    "a directory that only its owner may enter": "mkdir -m 700 d; echo s > d/s",
    "a file that nobody may read": "mkdir d; echo s > d/s; chmod 000 d/s",
    "a directory that nobody may enter": "mkdir d; echo s > d/s; chmod 000 d",
}


@pytest.mark.parametrize("script", PRIVATE.values(), ids=PRIVATE.keys())
def test_what_few_may_read_is_published_all_the_same(run: Run, script: str) -> None:
    job = run(f"cd /outputs; {script}")
    result = job.result()
    assert result.text("outputs/d/s") == "s\n"
    assert left_out(job) == []
    assert len(job.executions()) == 1


def test_links_to_inputs_become_what_they_mean(run: Run) -> None:
    data = "data:text/plain;base64,aGVsbG8K"
    inputs = [InputSource(source=SpecConfig(type="inline", params={"URL": data}), target="/inputs/in.txt")]
    script = (
        "cd /outputs; ln -s /inputs/in.txt absolute; ln -s ../inputs/in.txt relative; ln -s /inputs all;"
        "ln -s absolute near; ln -s nowhere dangling; mkfifo pipe; true"
    )
    job = run(script, input_sources=inputs)
    result = job.result()
    for name in ("absolute", "relative", "near"):
        assert result.text(f"outputs/{name}") == "hello\n", name
    lines = left_out(job)
    # The process engine removes pipes itself.
    assert [line for line in lines if "dangling" in line] == [
        "outputs/dangling → nowhere (a link that leads nowhere)"
    ]
    assert "outputs/all" not in result.ls()
    assert len(job.executions()) == 1


@pytest.mark.parametrize("user", [False, True], ids=["root", "user"])
@pytest.mark.parametrize("tier", ["bubblewrap", "landlock"])
def test_links_to_where_a_process_finds_its_inputs_become_what_they_mean(
    node_factory: NodeFactory, docker_engine: str, tier: str, user: bool
) -> None:
    served = start(node_factory, "process", docker_engine, "-c", f"Engines.Process.Tiers={tier}", user=user)
    data = "data:text/plain;base64,aGVsbG8K"
    inputs = [InputSource(source=SpecConfig(type="inline", params={"URL": data}), target="/inputs/in.txt")]
    script = (
        'ln -s "$PWD/inputs/in.txt" outputs/absolute; ln -s ../inputs/in.txt outputs/relative;'
        "ln -s /usr/lib outputs/out; mkdir -m 0 outputs/closed; true"
    )
    with Client(served.url, api_key=served.key) as client:
        job = submit(client, "process", "", script, input_sources=inputs)
        result = job.result()
        assert [result.text(f"outputs/{name}") for name in ("absolute", "relative")] == ["hello\n"] * 2
        assert result.left_out == ["outputs/out → /usr/lib (a link out of the results)"]
        assert len(job.executions()) == 1


@pytest.mark.parametrize("engine", ["docker"], indirect=True)
def test_results_that_the_job_gave_to_another_user_are_published(run: Run) -> None:
    job = run("echo x > /outputs/a; chmod 700 /outputs; chown -R 65534 /outputs")
    assert job.result().text("outputs/a") == "x\n"
    assert len(job.executions()) == 1


@pytest.mark.root
def test_an_image_without_chown_works(
    node_factory: NodeFactory, docker_engine: str, busybox_image: str
) -> None:
    bare = f"bacalhau-test-bare:{os.getpid()}"
    api = docker.APIClient(base_url=docker_engine)
    made = api.create_container(busybox_image, ["rm", "/bin/chown"])["Id"]
    try:
        api.start(made)
        api.wait(made)
        repository, _, tag = bare.partition(":")
        api.commit(made, repository, tag)
        served = start(node_factory, "docker", docker_engine, user=True)
        client = Client(served.url, api_key=served.key)
        script = "mkdir -m 700 /outputs/d; echo s > /outputs/d/s; chmod 000 /outputs/d/s"
        job = submit(client, "docker", bare, script)
        assert job.result().text("outputs/d/s") == "s\n"
        (execution,) = job.executions()
        # Nor for removing what such a task left.
        directory = served.repo.path / "compute/executions" / execution.id
        deadline = time.monotonic() + 60
        while directory.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not directory.exists()
        client.close()
        served.stop()
    finally:
        api.remove_container(made, force=True)
        api.remove_image(bare, force=True)
        api.close()


def test_a_result_that_can_not_be_published_is_kept_and_the_job_does_not_run_again(
    node_factory: NodeFactory, docker_engine: str, s3_server: S3Server, tmp_path: Path
) -> None:
    credentials = s3_server.environment()
    served = node_factory("-c", "Engines.Disabled=docker", env=credentials)
    with Client(served.url, api_key=served.key) as client:
        params = {"Bucket": "no-such-bucket", "Key": "k", "Endpoint": s3_server.url, "Region": "us-east-1"}
        publisher = SpecConfig(type="s3", params=params)
        job = submit(client, "process", "", "echo said; echo x > outputs/a", publisher=publisher)
        with pytest.raises(JobFailed, match="there is no such bucket; they are kept on the node") as caught:
            job.result()
        assert len(job.executions()) == 1
        assert caught.value.result is not None
        assert caught.value.result.stdout == "said\n"
        assert caught.value.result.text("outputs/a") == "x\n"
        assert (job.get(tmp_path / "got") / "outputs/a").read_text() == "x\n"
