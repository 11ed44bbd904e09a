"""Several Jupyter servers and other starters of one user: one node, which belongs to none of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from bacalhau_jupyter.client.connection.launcher import ensure_node
from bacalhau_jupyter.config.election import NodeRecord, read_record
from bacalhau_jupyter.config.repo import Repo
from tests.server.conftest import TOKEN, nodes_of
from tests.services.waiting import until

JOBS = "/api/v1/orchestrator/jobs"
START_S = 120.0
"""Two Jupyter servers and their node need half a minute of processor time to start."""
RACE_S = 200.0
"""Twenty starters start twenty nodes, each of which needs a second of processor time until it knows that it lost."""
ROUNDS = 8
"""Races between two starters, each of which starts a node."""


@dataclass
class Server:
    """A Jupyter server in a process of its own."""

    process: subprocess.Popen[bytes]
    url: str
    session: aiohttp.ClientSession

    async def request(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"token {TOKEN}"}
        async with self.session.request(method, self.url + path, json=body, headers=headers) as answer:
            content = await answer.json()
            assert answer.status == 200, content
            return content

    async def is_up(self) -> bool:
        assert self.process.poll() is None, "jupyter-server ended"
        try:
            state = await self.request("GET", "/status")
        except aiohttp.ClientConnectorError:
            return False
        return bool(state["alive"] and state["active_jobs"] is not None)

    async def stop(self) -> None:
        self.process.terminate()
        await asyncio.to_thread(self.process.wait, 60)


@contextlib.asynccontextmanager
async def server(repo: Repo, home: Path, port: int) -> AsyncIterator[Server]:
    home.mkdir()
    own = {"HOME": str(home), "BACALHAU_DIR": str(repo.path), "JUPYTER_RUNTIME_DIR": str(home / "runtime")}
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("BACALHAU_", "JUPYTER_"))
    }
    command = [
        sys.executable,
        "-m",
        "jupyter",
        "server",
        "--no-browser",
        "--allow-root",
        f"--port={port}",
        f"--IdentityProvider.token={TOKEN}",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.root_dir={home}",
        "--ServerApp.base_url=/user/x/",
        "--BacalhauApp.grace_period=1s",
        "--BacalhauApp.node_options=--api-port=0",
    ]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment | own, stdout=log, stderr=log)
    try:
        async with aiohttp.ClientSession() as session:
            yield Server(process, f"http://127.0.0.1:{port}/user/x/bacalhau", session)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(60)


@pytest.mark.timeout(300)
async def test_closing_one_jupyter_server_leaves_the_node_and_the_jobs_of_the_other_alone(
    own_node: Repo, tmp_path: Path, unused_tcp_port_factory: Callable[[], int]
) -> None:
    async with (
        server(own_node, tmp_path / "one", unused_tcp_port_factory()) as one,
        server(own_node, tmp_path / "two", unused_tcp_port_factory()) as two,
    ):
        await until(one.is_up, START_S)
        await until(two.is_up, START_S)
        # A starter that lost the election may still be on its way out.
        await until(lambda: len(nodes_of(own_node)) == 1)
        nodes = nodes_of(own_node)
        task = {"Name": "main", "Engine": {"Type": "noop", "Params": {"Sleep": 600}}}
        job = {"Name": "long", "Type": "batch", "Count": 1, "Tasks": [task]}
        submitted = await one.request("PUT", JOBS, {"Job": job})

        async def runs() -> bool:
            job = await two.request("GET", f"{JOBS}/{submitted['JobID']}")
            return bool(job["Job"]["State"]["StateType"] == "Running")

        await until(runs)
        # The one that started the node goes; a second later than its grace all is as it was.
        await one.stop()
        idle = asyncio.Event()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(idle.wait(), 2.5)
        assert await runs()
        assert nodes_of(own_node) == nodes

        async def counts_it() -> bool:
            return bool((await two.request("GET", "/status"))["active_jobs"] == 1)

        await until(counts_it)
        await two.request("DELETE", f"{JOBS}/{submitted['JobID']}", {})
        await two.stop()
        # Now nobody is left: no lease, no job, so the node goes after its grace.
        await until(lambda: not nodes_of(own_node), 60)


@pytest.mark.timeout(300)
async def test_jupyter_ends_in_time_with_a_node_that_hangs(
    own_node: Repo, tmp_path: Path, unused_tcp_port: int
) -> None:
    async with server(own_node, tmp_path / "one", unused_tcp_port) as one:
        await until(one.is_up, START_S)
        # Not one that lost the election.
        record = read_record(own_node)
        assert record is not None
        node = psutil.Process(record.pid)
        node.suspend()
        try:
            async with asyncio.timeout(60):
                await one.stop()
        finally:
            node.resume()


def race(repo: Repo, starters: int) -> list[NodeRecord]:
    """Start the node from several threads at the same instant; return what each of them got."""
    line = threading.Barrier(starters)
    got: list[NodeRecord] = []

    def start() -> None:
        line.wait(RACE_S)
        got.append(ensure_node(repo, timeout_s=RACE_S, options=["--api-port=0"]))

    threads = [threading.Thread(target=start) for _ in range(starters)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(RACE_S + 60)
    return got


def settled_nodes(repo: Repo) -> list[psutil.Process]:
    """Return the node processes once those that lost the election have ended."""

    async def wait() -> None:
        await until(lambda: len(nodes_of(repo)) <= 1, 60)

    asyncio.run(wait())
    return nodes_of(repo)


def check_one_node(repo: Repo, starters: int) -> None:
    got = race(repo, starters)
    assert len(got) == starters
    assert len({record.instance_id for record in got}) == 1
    (node,) = settled_nodes(repo)
    record = read_record(repo)
    assert record is not None
    assert record.pid == node.pid == got[0].pid
    node.kill()
    node.wait(30)


@pytest.mark.timeout(400)
def test_twenty_starters_at_the_same_instant_get_one_node(own_node: Repo) -> None:
    check_one_node(own_node.create(), 20)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_starters_at_the_same_instant_get_one_node_every_time(own_node: Repo) -> None:
    for _ in range(ROUNDS):
        check_one_node(own_node.create(), 2)
