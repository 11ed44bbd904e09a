"""``devstack --nats``: nodes in processes of their own, with official ones among them, and a clean end."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from bacalhau_jupyter import Client
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.models.jobs.job import Job, JobStateType
from bacalhau_jupyter.models.jobs.spec import SpecConfig, Task
from tests.node.guests.cluster import module
from tests.services.common import process_start, wait_until
from tests.services.devstack import LIMIT_S, Stack, start_devstack
from tests.services.official import BINARY
from tests.services.official_orchestrator import needs_official
from tests.services.wasm_modules import printing

pytestmark = [pytest.mark.process, pytest.mark.timeout(400)]

Start = Callable[..., Stack]
JOIN_S = 120.0


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start stacks over NATS whose temporary directory is the test's own."""
    stacks: list[Stack] = []
    directory = tmp_path / "tmp"
    directory.mkdir()

    def run(*words: str, **env: str) -> Stack:
        own = {"HOME": str(tmp_path), "IGNORE_PID_AND_PORT_FILES": "1", **env}
        stacks.append(start_devstack(directory, *words, env=own))
        return stacks[-1]

    yield run
    for stack in stacks:
        stack.kill()


def noop(kind: str, sleep: float = 0.0, publisher: str = "") -> Job:
    engine = SpecConfig(type="noop", params={"Sleep": sleep} if sleep else {})
    task = Task(name="main", engine=engine, publisher=SpecConfig(type=publisher))
    return Job(type=kind, tasks=[task])


def children(process: int) -> list[int]:
    """Return the processes that one has started, and those that they have."""
    below: list[int] = []
    # Threads, and the programs with which nodes look around, end meanwhile.
    with suppress(OSError):
        for task in Path(f"/proc/{process}/task").iterdir():
            with suppress(OSError):
                for word in (task / "children").read_text().split():
                    below += [int(word), *children(int(word))]
    return below


def words_of(process: int) -> bytes:
    """Return the command line of a process; nothing where it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_bytes()
    return b""


def names_of_nodes(client: Client) -> dict[str, str]:
    return {each.info.node_id: each.connection.value for each in client.nodes()}


def test_the_nodes_are_processes_that_join_run_jobs_and_end_with_the_stack(start: Start) -> None:
    stack = start("--nats", "--computes", "2")
    variables = stack.until_ready()
    with Client(f"http://127.0.0.1:{variables['BACALHAU_API_PORT']}") as client:
        assert names_of_nodes(client) == dict.fromkeys(("node-0", "node-1", "node-2"), "CONNECTED")
        # Each sends its result to the stack.
        once = client.submit(noop("ops", publisher="s3managed"))
        once.wait()
        assert once.state is JobStateType.COMPLETED
        assert {each.node_id for each in once.executions()} == {"node-1", "node-2"}
        lasting = client.submit(noop("daemon", sleep=3600))
        assert wait_until(lambda: len(lasting.executions()) == 2, timeout_s=LIMIT_S)
    inner = children(stack.process.pid)
    words = [words_of(pid) for pid in inner]
    # What a node forks has its words until it becomes another program.
    assert len({each for each in words if b"--compute" in each}) == 2
    # Nodes may have files for a moment beside it.
    (base,) = stack.directory.glob("bacalhau-devstack-*")
    token = Repo(base / "node-0").cluster_token_file
    assert not token.exists() or not any(token.read_bytes().strip() in each for each in words)
    status, rest = stack.interrupt()
    assert status == 0, rest
    assert stack.left() == []
    assert wait_until(lambda: not any(process_start(pid) for pid in inner), timeout_s=LIMIT_S)


def test_a_stack_that_is_killed_takes_its_processes_along(start: Start) -> None:
    stack = start("--nats", "--computes", "1")
    stack.until_ready()
    inner = children(stack.process.pid)
    assert inner
    os.kill(stack.process.pid, signal.SIGKILL)
    assert wait_until(lambda: not any(process_start(pid) for pid in inner), timeout_s=LIMIT_S)


@needs_official
def test_official_nodes_run_jobs_beside_ours(start: Start) -> None:
    stack = start("--nats", "--computes", "1", "--stock", "1", BACALHAU_STOCK_BINARY=BINARY)
    variables = stack.until_ready()
    with Client(f"http://127.0.0.1:{variables['BACALHAU_API_PORT']}") as client:
        assert names_of_nodes(client) == dict.fromkeys(("node-0", "node-1", "node-2"), "CONNECTED")
        ours, official = client.submit(noop("batch")), client.submit(module(printing("hello\n")))
        for job, node in ((ours, "node-1"), (official, "node-2")):
            job.wait()
            assert job.state is JobStateType.COMPLETED, job.executions()
            assert [each.node_id for each in job.executions()] == [node]
        assert "".join(official.logs()) == "hello\n"
    inner = children(stack.process.pid)
    assert stack.interrupt()[0] == 0
    assert stack.left() == []
    assert wait_until(lambda: not any(process_start(pid) for pid in inner), timeout_s=LIMIT_S)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--stock", "1"], "--stock needs --nats: official nodes join over NATS only"),
        (["--nats", "--stock", "1"], "BACALHAU_STOCK_BINARY is not set"),
        (["--nats", "--stock", "-1"], "a devstack can't have a negative number of nodes"),
        (["--nats", "--bad-computes", "1"], "--bad-computes does not go with --nats"),
    ],
)
def test_a_stack_over_nats_that_can_not_be_is_refused_before_anything_starts(
    start: Start, words: list[str], sentence: str
) -> None:
    stack = start(*words, BACALHAU_STOCK_BINARY="")
    output, _ = stack.process.communicate(timeout=LIMIT_S)
    assert stack.process.returncode == 1
    assert sentence in output
    assert "Traceback" not in output
    assert stack.left() == []
