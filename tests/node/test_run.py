"""The node as a process: how it starts, what it says, and when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bacalhau_jupyter.config.election import read_record
from bacalhau_jupyter.config.repo import Repo
from tests.services.common import wait_until
from tests.services.node import ROOT, ServedNode
from tests.services.node_fixtures import NodeFactory
from tests.services.waiting import found

LEASE = "/api/v1/agent/lease"


def serve(*arguments: str, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    """Run ``serve`` until it ends by itself."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("BACALHAU_")}
    return subprocess.run(
        [sys.executable, "-m", "bacalhau_jupyter", "serve", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def call(node: ServedNode, method: str, path: str, body: object = None) -> Any:
    request = urllib.request.Request(
        node.url + path,
        method=method,
        data=json.dumps(body).encode() if body is not None else None,
        headers={"Authorization": f"Bearer {node.key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


def test_combined_logs_are_json_on_standard_output_and_text_on_standard_error(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("BACALHAU_")}
    command = [sys.executable, "-m", "bacalhau_jupyter", "serve", "--orchestrator", "--compute"]
    process = subprocess.Popen(
        [*command, "--data-dir", str(tmp_path), "--api-port", "0"],
        env=environment | {"LOG_TYPE": "combined"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    # Each line comes to the one place before it comes to the other: of the first, both are there by the next.
    json.loads(process.stdout.readline())
    process.send_signal(signal.SIGTERM)
    out, text = process.communicate(timeout=60)
    assert first["level"] == "info"
    assert [line for line in out.splitlines() if not json.loads(line)["message"]] == []
    assert first["message"] in text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_node_soon_and_orderly(node: ServedNode, number: signal.Signals) -> None:
    node.process.send_signal(number)
    assert node.process.wait(60) == 0
    assert not node.repo.node_record.exists()
    assert "Traceback" not in node.output.read_text()


def test_followers_and_lease_holders_do_not_keep_a_node_from_ending(node: ServedNode) -> None:
    async def hold() -> int | None:
        async with aiohttp.ClientSession(
            node.url, headers={"Authorization": f"Bearer {node.key}"}
        ) as session:
            lease = await session.ws_connect(LEASE)
            events = await session.ws_connect("/api/v1/orchestrator/events")
            await lease.receive(timeout=60)
            node.process.send_signal(signal.SIGTERM)
            code = (await events.receive(timeout=60)).data
            assert (await lease.receive(timeout=60)).data == 1001
            await events.close()
            await lease.close()
            return int(code)

    assert asyncio.run(hold()) in (1000, 1001)
    assert node.process.wait(60) == 0


def test_what_a_killed_node_accepted_is_done_by_the_next_one(node_factory: NodeFactory) -> None:
    first = node_factory(roles=["--orchestrator"])
    task = {"Name": "main", "Engine": {"Type": "noop"}, "Timeouts": {"QueueTimeout": 600}}
    body = {"Job": {"Type": "batch", "Count": 1, "Tasks": [task]}}
    job = call(first, "PUT", "/api/v1/orchestrator/jobs", body)["JobID"]
    first.kill()
    second = node_factory()

    def completed() -> bool:
        state = call(second, "GET", f"/api/v1/orchestrator/jobs/{job}")["Job"]["State"]["StateType"]
        return bool(state == "Completed")

    assert wait_until(completed, timeout_s=60), second.tail()


def test_a_served_node_is_used_by_nobody_but_its_user(node: ServedNode) -> None:
    for path in (node.repo.path, *found(node.repo.path, "*")):
        # What the node has removed meanwhile is nobody's.
        with contextlib.suppress(FileNotFoundError):
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    assert wait_until(lambda: str(node.repo.api_key_file) in node.output.read_text(), timeout_s=60)
    assert node.key not in node.output.read_text()
    for route in ("agent/config", "agent/debug", "agent/node", "orchestrator/nodes"):
        assert node.key not in json.dumps(call(node, "GET", f"/api/v1/{route}"))


def test_an_embedded_node_ends_with_its_last_lease(node_factory: NodeFactory) -> None:
    node = node_factory("--embedded", "-c", "Node.GracePeriod=0s")

    async def hold() -> None:
        async with aiohttp.ClientSession(
            node.url, headers={"Authorization": f"Bearer {node.key}"}
        ) as session:
            async with session.ws_connect(LEASE) as first:
                greeting = await first.receive_json(timeout=60)
                assert greeting == {"instance": node.record.instance_id}
                second = await session.ws_connect(LEASE)
                await second.receive_json(timeout=60)
            with pytest.raises(subprocess.TimeoutExpired):  # one lease is still held
                await asyncio.to_thread(node.process.wait, 1.5)
            await second.close()

    asyncio.run(hold())
    assert node.process.wait(60) == 0
    assert "this node is no longer needed" in node.repo.node_log.read_text()
    assert node.key not in node.repo.node_log.read_text()


def test_an_embedded_node_outlives_its_leases_while_a_job_runs(node_factory: NodeFactory) -> None:
    node = node_factory("--embedded", "-c", "Node.GracePeriod=0s")
    task = {"Name": "main", "Engine": {"Type": "noop", "Params": {"Sleep": 600}}}
    body = {"Job": {"Type": "batch", "Count": 1, "Tasks": [task]}}

    async def hold() -> str:
        async with (
            aiohttp.ClientSession(node.url, headers={"Authorization": f"Bearer {node.key}"}) as session,
            session.ws_connect(LEASE),
            session.put("/api/v1/orchestrator/jobs", json=body) as answer,
        ):
            return str((await answer.json())["JobID"])

    job = asyncio.run(hold())
    with pytest.raises(subprocess.TimeoutExpired):
        node.process.wait(1.5)
    call(node, "DELETE", f"/api/v1/orchestrator/jobs/{job}")
    assert node.process.wait(60) == 0


def test_a_second_embedded_start_leaves_the_first_alone_and_is_not_a_failure(
    node_factory: NodeFactory,
) -> None:
    node = node_factory("--embedded")
    done = serve("--orchestrator", "--compute", "--embedded", "--data-dir", str(node.repo.path))
    assert done.returncode == 0
    record = read_record(node.repo)
    assert record is not None
    assert record.pid == node.process.pid


def test_a_second_serve_by_hand_is_refused_in_one_sentence(node: ServedNode) -> None:
    done = serve("--orchestrator", "--data-dir", str(node.repo.path), "--api-port", "0")
    assert done.returncode == 1
    assert f"a node already runs for {node.repo.path} (pid {node.process.pid}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-c", "API.Prot=1"], "API.Prot"),
        (["-c", "API.Port=x"], "API.Port"),
        (["--api-port", "99999"], "99999"),
        (["--compute", "-c", "Compute.Orchestrators=http://x"], "is not the address of a NATS server"),
        (["-c", "nowhere.yaml"], "nowhere.yaml"),
        (["--orchestrator", "--unknown"], "--unknown"),
    ],
)
def test_a_wrong_flag_is_an_error_of_one_sentence(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = serve(*arguments, "--data-dir", str(tmp_path / "repo"))
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_busy_port_is_reported_with_a_hint(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        port = squatter.getsockname()[1]
        done = serve("--orchestrator", "--data-dir", str(tmp_path / "repo"), "--api-port", str(port))
    assert done.returncode == 1
    assert f"Error: port {port} is in use on 127.0.0.1" in done.stderr
    assert "Hint: Choose another port with --api-port" in done.stderr
    assert read_record(Repo(tmp_path / "repo")) is None


def test_without_a_role_a_node_places_jobs_and_says_how_to_run_them(node_factory: NodeFactory) -> None:
    node = node_factory(roles=[])
    assert "serve --orchestrator --compute does both" in node.output.read_text()
    assert call(node, "GET", "/api/v1/agent/node")["NodeType"] == "Requester"
