"""``explain`` in a shell, against a real node process of one core that a job holds."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import yaml

from bacalhau_jupyter.client.client import Client
from bacalhau_jupyter.client.jobs.build import process
from bacalhau_jupyter.client.jobs.job import Job
from bacalhau_jupyter.models.jobs.job import JobStateType
from tests.cli.running import Shell
from tests.services.common import wait_until
from tests.services.node import ServedNode

pytestmark = pytest.mark.timeout(300)
NODE_OPTIONS = ("-c", "Compute.AllocatedCapacity.CPU=1")


@pytest.fixture
def client(served: ServedNode) -> Iterator[Client]:
    with Client(data_dir=str(served.repo.path)) as connected:
        yield connected


def submit(client: Client, name: str, sleep_s: int = 600) -> Job:
    """Submit a job that takes the whole node."""
    task = {
        "Name": "main",
        "Engine": {"Type": "noop", "Params": {"Sleep": sleep_s}},
        "Resources": {"CPU": "1"},
        "Timeouts": {"QueueTimeout": 3600},
    }
    return client.submit({"Name": name, "Type": "batch", "Count": 1, "Tasks": [task]})


def reach(job: Job, state: JobStateType) -> None:
    assert wait_until(lambda: job.state is state, timeout_s=60)


def test_explain_says_who_holds_the_cpu_and_what_would_help(shell: Shell, client: Client) -> None:
    hog = submit(client, "hog2")
    reach(hog, JobStateType.RUNNING)
    job = submit(client, "patient")
    reach(job, JobStateType.QUEUED)
    done = shell("explain", job.id)
    assert done.returncode == 0, done.stderr
    assert "Why   = waiting for 1 CPU; `hog2` holds it, node has 1" in done.stdout
    assert "full     1 CPU asked, 0 free of 1; `hog2` holds the rest" in done.stdout
    assert "What would make it run\n• stop `hog2`" in done.stdout
    assert shell("job", "explain", job.id).stdout == done.stdout

    record = json.loads(shell("explain", job.id, "--output", "json").stdout)
    assert record["Remedies"][0]["JobIDs"] == [hog.id]
    assert yaml.safe_load(shell("explain", job.id, "--output", "yaml").stdout) == record

    hog.stop()
    reach(job, JobStateType.RUNNING)
    job.stop()
    assert "= was stopped at user request on n-" in shell("explain", job.id).stdout


def test_the_hint_of_a_job_that_no_node_takes_is_to_explain_it(shell: Shell) -> None:
    spec = {
        "Type": "batch",
        "Tasks": [{"Name": "main", "Engine": {"Type": "noop"}, "Resources": {"CPU": "100"}}],
    }
    done = shell("job", "run", stdin=json.dumps(spec))
    assert done.returncode == 1
    hint = done.stderr.splitlines()[-1]
    assert hint.startswith("Hint: bacalhau-jupyter explain j-")
    assert hint.endswith("says what each node lacks")


def test_explain_of_a_finished_job_says_how_it_ended_and_why_it_ran_there(
    shell: Shell, client: Client
) -> None:
    job = submit(client, "quick", sleep_s=0)
    reach(job, JobStateType.COMPLETED)
    text = shell("explain", job.id).stdout
    assert "How   = succeeded on n-" in text
    assert ", the only node" in text
    assert "RANK" not in text, "a job that ran asks no node any more"
    assert "NODE        VERDICT  REASON" in text


def test_a_program_that_failed_did_not_complete_in_any_line_of_its_explanation(
    shell: Shell, client: Client
) -> None:
    job = client.submit(process("exit 3", cpu="0.1"))
    reach(job, JobStateType.COMPLETED)
    text = shell("explain", job.id).stdout
    assert "State = Failed" in text
    assert "How   = failed with exit code 3 on n-" in text
    assert ": exit code 3\n" in text
    assert "completed" not in text.lower()


def test_explain_without_a_job_takes_the_last_one_of_this_directory(shell: Shell) -> None:
    submitted = shell(
        "job", "run", "-", "--no-wait", stdin="Type: batch\nTasks: [{Name: m, Engine: {Type: noop}}]"
    )
    assert submitted.returncode == 0, submitted.stderr
    assert "Job   = j-" in shell("explain").stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("explain", "j-nothing"), "job not found: j-nothing"),
        (("explain", ""), "no job was submitted from here"),
        (("explain", "--output", "xml", "j-1"), "Invalid value for '--output'"),
    ],
)
def test_what_can_not_be_explained_is_one_sentence(
    shell: Shell, words: tuple[str, ...], message: str
) -> None:
    done = shell(*words)
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_the_help_has_examples(shell: Shell) -> None:
    text = shell("explain", "--help").stdout
    assert "bacalhau-jupyter explain j-1a2b3c4d" in text
    assert "explain" in shell("--help").stdout
