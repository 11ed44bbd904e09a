"""The extension with a real node: start, supervision, activity, stop."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.config.election import read_record
from bacalhau_jupyter.config.repo import Repo
from tests.server.conftest import Jupyter, Starter, nodes_of
from tests.server.test_connections import status_with
from tests.services.waiting import until

ANY_PORT = {"node_options": ["--api-port=0"], "grace_period": "1s"}
JOBS = "/api/v1/orchestrator/jobs"


def noop(name: str, sleep: float) -> dict[str, Any]:
    """Return the body that submits a job which does nothing for some seconds."""
    task = {"Name": "main", "Engine": {"Type": "noop", "Params": {"Sleep": sleep}}}
    return {"Job": {"Name": name, "Type": "batch", "Count": 1, "Tasks": [task]}}


async def submit(jupyter: Jupyter, name: str, sleep: float) -> str:
    async with jupyter.request("PUT", JOBS, json=noop(name, sleep)) as answer:
        body = await answer.json()
        assert answer.status == 200, body
    return str(body["JobID"])


async def status(jupyter: Jupyter) -> Any:
    async with jupyter.get("/status") as answer:
        assert answer.status == 200
        return await answer.json()


@pytest.mark.timeout(320)
def test_an_installed_extension_is_enabled(tmp_path: Path) -> None:
    environment = {**os.environ, "JUPYTER_CONFIG_DIR": str(tmp_path), "JUPYTER_NO_CONFIG": ""}
    done = subprocess.run(
        [sys.executable, "-m", "jupyter", "server", "extension", "list"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    output = done.stdout + done.stderr
    line = next(line for line in output.splitlines() if line.strip().startswith("bacalhau_jupyter"))
    assert "enabled" in line or "OK" in line, output
    assert "X" not in line.split()


async def test_jupyter_starts_the_node_and_its_children_inherit_the_address(
    own_node: Repo, start_jupyter: Starter
) -> None:
    jupyter = await start_jupyter(BacalhauApp=ANY_PORT)
    record = read_record(own_node)
    assert record is not None
    assert {name: os.environ[f"BACALHAU_{name}"] for name in ("API_PORT", "API_KEY", "JUPYTER_NODE")} == {
        "API_PORT": str(record.port),
        "API_KEY": own_node.api_key(),
        "JUPYTER_NODE": str(own_node.path),
    }
    reported = await status_with(jupyter, alive=True)
    assert reported["cluster"] == {"url": record.url, "source": "local node", "embedded": True}
    assert own_node.api_key() not in str(reported)
    async with jupyter.get("/api/v1/agent/node") as answer:
        assert answer.status == 200
        assert "NodeID" in await answer.text()


async def test_a_node_that_dies_is_started_again_and_found_again(
    own_node: Repo, start_jupyter: Starter
) -> None:
    jupyter = await start_jupyter(BacalhauApp=ANY_PORT)
    first = read_record(own_node)
    assert first is not None
    job = await submit(jupyter, "before", 0)
    nodes_of(own_node)[0].kill()
    # A request that finds nobody starts the node as well; here the lease notices by itself.
    await until(lambda: (now := read_record(own_node)) is not None and now.port and now.pid != first.pid)
    async with jupyter.get(f"{JOBS}/{job}") as answer:
        assert answer.status == 200
    second = read_record(own_node)
    assert second is not None
    await until(lambda: os.environ["BACALHAU_API_PORT"] == str(second.port))
    # The request and the lease may both have started one; all but the first end.
    await until(lambda: len(nodes_of(own_node)) == 1)


async def test_a_node_that_can_not_start_does_not_keep_jupyter_from_starting(
    own_node: Repo, start_jupyter: Starter
) -> None:
    own_node.path.parent.mkdir(exist_ok=True)
    own_node.path.write_text("in the way")
    jupyter = await start_jupyter(BacalhauApp=ANY_PORT)
    reported = await status(jupyter)
    assert not reported["alive"]
    assert str(own_node.path) in reported["problem"]
    async with jupyter.get("/api/v1/agent/alive") as answer:
        assert answer.status == 503
        assert (await answer.json())["Message"] == reported["problem"]
    own_node.path.unlink()

    async def works() -> bool:
        async with jupyter.get("/api/v1/agent/alive") as answer:
            return bool(answer.status == 200)

    await until(works)
    await status_with(jupyter, problem="")


async def test_running_jobs_are_activity_and_finished_ones_are_not(
    own_node: Repo, start_jupyter: Starter
) -> None:
    jupyter = await start_jupyter(BacalhauApp=ANY_PORT)
    await until(lambda: jupyter.gateway.activity.active_jobs == 0)
    assert not jupyter.extension.current_activity()
    before = datetime.now(UTC)
    job = await submit(jupyter, "long", 600)
    await until(lambda: jupyter.gateway.activity.active_jobs == 1)
    assert jupyter.extension.current_activity()
    assert jupyter.app.extension_manager.any_activity()
    assert jupyter.app.web_app.settings["bacalhau_last_activity"] >= before
    assert jupyter.app.web_app.last_activity() >= before
    async with jupyter.request("DELETE", f"{JOBS}/{job}", json={}) as answer:
        assert answer.status == 200
    await until(lambda: jupyter.gateway.activity.active_jobs == 0)
    assert not jupyter.extension.current_activity()


async def test_jobs_that_ran_before_jupyter_started_count_too(own_node: Repo, start_jupyter: Starter) -> None:
    first = await start_jupyter(BacalhauApp=ANY_PORT)
    await submit(first, "long", 600)
    await start_jupyter.close()
    second = await start_jupyter(BacalhauApp=ANY_PORT)
    await until(lambda: second.gateway.activity.active_jobs == 1)


async def test_stopping_jupyter_gives_the_lease_back_and_leaves_nothing_in_the_environment(
    own_node: Repo, start_jupyter: Starter
) -> None:
    before = {name: value for name, value in os.environ.items() if name.startswith("BACALHAU_")}
    jupyter = await start_jupyter(BacalhauApp=ANY_PORT)
    await until(lambda: jupyter.gateway.activity.active_jobs == 0)
    async with asyncio.timeout(60):
        await jupyter.extension.stop_extension()
    assert {name: value for name, value in os.environ.items() if name.startswith("BACALHAU_")} == before
    # Nobody else needs the node, so it ends after its grace.
    await until(lambda: not nodes_of(own_node), 60)


async def test_a_signed_result_link_from_a_real_node_works_through_the_gateway(
    own_node: Repo, start_jupyter: Starter
) -> None:
    jupyter = await start_jupyter(base_url="/user/x/", BacalhauApp=ANY_PORT)
    job = await _run_with_result(jupyter)
    async with jupyter.get(f"{JOBS}/{job}/results") as answer:
        link = (await answer.json())["Items"][0]["Params"]["URL"]
    assert link.startswith("/user/x/bacalhau/api/v1/compute/results/")
    url = f"http://127.0.0.1:{jupyter.port}{link}"
    async with jupyter.session.get(url, headers={"Authorization": f"token {jupyter.token}"}) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Disposition"].startswith("attachment;")
        assert (await answer.read())[:2] == b"\x1f\x8b"
    async with jupyter.session.get(url) as answer:
        assert answer.status == 403


async def test_logs_and_events_of_a_real_node_stream_through_the_gateway(
    own_node: Repo, start_jupyter: Starter
) -> None:
    jupyter = await start_jupyter(BacalhauApp=ANY_PORT)
    async with jupyter.ws("/api/v1/orchestrator/events?since=0") as events:
        body = noop("talks", 0.2)
        body["Job"]["Tasks"][0]["Engine"]["Params"]["Stdout"] = "hello\n"
        async with jupyter.request("PUT", JOBS, json=body) as answer:
            job = (await answer.json())["JobID"]
        async with jupyter.ws(f"{JOBS}/{job}/logs?follow=true", autoclose=False) as logs:
            frame = json.loads((await asyncio.wait_for(logs.receive(), 60)).data)
            assert frame == {"value": {"Type": 1, "Line": "hello\n"}}
            assert (await asyncio.wait_for(logs.receive(), 60)).data == 1000
        states: list[str] = []
        while "Completed" not in states:
            event = json.loads((await asyncio.wait_for(events.receive(), 60)).data)
            assert event["job"] == job
            states.append(event["state"])


async def _run_with_result(jupyter: Jupyter) -> str:
    body = noop("with-result", 0)
    task = body["Job"]["Tasks"][0]
    task["Publisher"] = {"Type": "local"}
    task["ResultPaths"] = [{"Name": "outputs", "Path": "/outputs"}]
    async with jupyter.request("PUT", JOBS, json=body) as answer:
        submitted = await answer.json()
        assert answer.status == 200, submitted
    async with asyncio.timeout(60):
        while True:
            async with jupyter.get(f"{JOBS}/{submitted['JobID']}") as answer:
                state = (await answer.json())["Job"]["State"]["StateType"]
            if state == "Completed":
                return str(submitted["JobID"])
            assert state in ("Pending", "Queued", "Running"), state
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("name", ["BACALHAU_API_HOST", "BACALHAU_API_PORT"])
async def test_a_cluster_that_the_user_named_is_used_and_nothing_is_started(
    own_node: Repo, start_jupyter: Starter, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, {"BACALHAU_API_HOST": "127.0.0.2", "BACALHAU_API_PORT": "1"}[name])
    jupyter = await start_jupyter()
    answer = await status(jupyter)
    assert answer["cluster"]["embedded"] is False
    assert "can't be reached" in answer["problem"]
    assert nodes_of(own_node) == []
    assert "BACALHAU_JUPYTER_NODE" not in os.environ
