"""A node of several users in a shell: who waits for a quota sees why, and the history says who did what."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from bacalhau_jupyter.client.client import Client
from bacalhau_jupyter.client.jobs.job import Job
from bacalhau_jupyter.models.errors import ResourceExhausted
from bacalhau_jupyter.models.jobs.job import JobStateType
from tests.services.common import wait_until
from tests.services.node import ServedNode, start_node

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

ADA_KEY, BOB_KEY = "a-long-key-of-ada-012345", "a-long-key-of-bob-012345"
CONFIG = {
    "API": {
        "Auth": {
            "Users": [
                {"Alias": name, "APIKey": key, "Capabilities": [{"Actions": ["*"]}]}
                for name, key in (("ada", ADA_KEY), ("bob", BOB_KEY))
            ]
        },
        "Quotas": {"Default": {"Jobs": 1, "CPU": 1}},
    }
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedNode]:
    repo = tmp_path_factory.mktemp("quotas") / "repo"
    repo.mkdir(mode=0o700)
    config = repo / "config.yaml"
    config.write_text(yaml.safe_dump(CONFIG))
    config.chmod(0o600)
    started = start_node(repo)
    yield started
    started.stop()


@pytest.fixture
def clients(served: ServedNode) -> Iterator[list[Client]]:
    with ExitStack() as stack:
        yield [stack.enter_context(Client(served.url, api_key=key)) for key in (ADA_KEY, BOB_KEY)]


def submit(client: Client, name: str, cpu: str = "100m") -> Job:
    task = {
        "Name": "main",
        "Engine": {"Type": "noop", "Params": {"Sleep": 600}},
        "Resources": {"CPU": cpu},
        "Timeouts": {"QueueTimeout": 3600},
    }
    return client.submit({"Name": name, "Type": "batch", "Count": 1, "Tasks": [task]})


def reach(job: Job, state: JobStateType) -> None:
    assert wait_until(lambda: job.state is state, timeout_s=60)


def shell(served: ServedNode, directory: Path, *words: str) -> str:
    """Run a command line as ada."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("BACALHAU_", "JPY_"))}
    env |= {**served.client_env(), "BACALHAU_API_KEY": ADA_KEY, "BACALHAU_DIR": str(directory / "client")}
    done = subprocess.run(
        [sys.executable, "-m", "bacalhau_jupyter", *words],
        capture_output=True,
        text=True,
        cwd=directory,
        env=env,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_who_meets_a_quota_sees_whose_jobs_use_it_until_they_end(
    served: ServedNode, clients: list[Client], tmp_path: Path
) -> None:
    ada, bob = clients
    first, others = submit(ada, "job-a"), submit(bob, "job-of-bob")
    for job in (first, others):
        reach(job, JobStateType.RUNNING)
    second = submit(ada, "job-b")
    reach(second, JobStateType.QUEUED)
    assert "key:ada's quota of 1 running job is used by job-a" in shell(
        served, tmp_path, "job", "describe", second.id
    )
    explained = shell(served, tmp_path, "explain", second.id)
    assert "your quota of 1 running job is used by job-a" in explained and "stop `job-a`" in explained
    bob.job(first.id).stop("mine now")
    reach(second, JobStateType.RUNNING)
    history = shell(served, tmp_path, "job", "history", first.id)
    assert "Job submitted (by key:ada)" in history
    assert "Job requested to stop before completion (by key:bob)" in history
    for job in (second, others):
        job.stop()


def test_a_job_larger_than_the_quota_is_refused_with_the_sentence(clients: list[Client]) -> None:
    with pytest.raises(ResourceExhausted, match="the job asks for 2 CPU, and the quota of key:ada is 1 CPU"):
        submit(clients[0], "large", cpu="2")
