"""``devstack`` as a process: what it prints, what it leaves behind, and two of them at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bacalhau_jupyter import Client
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.spec import SpecConfig, Task
from tests.services.common import wait_until
from tests.services.devstack import LIMIT_S, Stack, start_devstack

Start = Callable[..., Stack]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start stacks whose temporary directory is the test's own."""
    stacks: list[Stack] = []
    directory = tmp_path / "tmp"
    directory.mkdir()

    def run(*words: str, **env: str) -> Stack:
        stacks.append(start_devstack(directory, *words, env={"HOME": str(tmp_path), **env}))
        return stacks[-1]

    yield run
    for stack in stacks:
        stack.kill()


def endless(kind: str = "daemon") -> Job:
    task = Task(name="main", engine=SpecConfig(type="noop", params={"Sleep": 3600}))
    return Job(type=kind, tasks=[task])


def test_a_stack_prints_how_to_reach_it_and_an_interrupt_leaves_nothing_behind(
    start: Start, tmp_path: Path
) -> None:
    env_file = tmp_path / "stack.env"
    stack = start("--computes", "2", DEVSTACK_ENV_FILE=str(env_file))
    variables = stack.until_ready()
    assert env_file.read_text() == "".join(f"export {name}={value}\n" for name, value in variables.items())
    host, port = variables["BACALHAU_API_HOST"], variables["BACALHAU_API_PORT"]
    files = {name: (stack.directory / f"bacalhau-devstack.{name}").read_text() for name in ("port", "pid")}
    assert files == {"port": port, "pid": str(stack.process.pid)}
    with Client(f"http://{host}:{port}") as client:
        job = client.submit(endless())
        assert wait_until(lambda: len(job.executions()) == 2, timeout_s=LIMIT_S)
    status, rest = stack.interrupt()
    assert status == 0, rest
    assert rest.endswith("Shutting down devstack\n")
    assert stack.left() == []


def test_a_second_stack_is_refused_unless_it_is_asked_to_ignore_the_first(start: Start) -> None:
    first = start("--computes", "1")
    first.until_ready()
    second = start("--computes", "1")
    output, _ = second.process.communicate(timeout=LIMIT_S)
    assert second.process.returncode == 1
    assert "bacalhau-devstack.pid - Devstack likely already running" in output
    third = start("--computes", "1", IGNORE_PID_AND_PORT_FILES="1")
    third.until_ready()
    assert third.interrupt()[0] == first.interrupt()[0] == 0
    assert first.left() == []


def test_what_a_killed_stack_left_does_not_keep_the_next_one_from_starting(start: Start) -> None:
    killed = start("--computes", "1")
    killed.until_ready()
    killed.process.kill()
    killed.process.wait(LIMIT_S)
    again = start("--computes", "1")
    again.until_ready()
    assert again.interrupt()[0] == 0


def test_a_stack_with_a_directory_of_its_own_goes_on_where_it_was(start: Start, tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    first = start("--orchestrators", "0", "--hybrids", "1", "--computes", "1", "--stack-repo", str(repo))
    variables = first.until_ready()
    with Client(f"http://127.0.0.1:{variables['BACALHAU_API_PORT']}") as client:
        job = client.submit(endless())
        assert wait_until(lambda: len(job.executions()) == 2, timeout_s=LIMIT_S)
    first.interrupt()
    assert sorted(path.name for path in repo.iterdir()) == ["node-0", "node-1"]
    second = start("--orchestrators", "0", "--hybrids", "1", "--computes", "1", "--stack-repo", str(repo))
    variables = second.until_ready()
    with Client(f"http://127.0.0.1:{variables['BACALHAU_API_PORT']}") as client:
        assert [job.id for job in client.jobs()] == [job.id]
    assert second.interrupt()[0] == 0


def test_two_orchestrators_are_refused_before_anything_starts(start: Start) -> None:
    stack = start("--orchestrators", "2")
    output, _ = stack.process.communicate(timeout=LIMIT_S)
    assert stack.process.returncode == 1
    assert "a devstack has one node that places jobs, not 2" in output
    assert stack.left() == []
