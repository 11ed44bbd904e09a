from __future__ import annotations

import asyncio
import io
import socket
import tarfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.config.election import NodeRunning, read_record
from bacalhau_jupyter.models.errors import BacalhauError, ConfigurationError
from bacalhau_jupyter.node.node import Node
from tests.clock import ManualClock
from tests.services.node import running_node
from tests.services.ports import set_default_port

JOBS = "/api/v1/orchestrator/jobs"
MakeConfig = Callable[..., Config]


@asynccontextmanager
async def client(node: Node) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(node.url, headers={"Authorization": f"Bearer {node.key}"}) as session:
        yield session


def noop(**task: Any) -> dict[str, Any]:
    spec = {"Name": "main", "Engine": {"Type": "noop", "Params": {"Stdout": "hi\n"}}, **task}
    return {"Job": {"Type": "batch", "Count": 1, "Tasks": [spec]}}


async def run(session: aiohttp.ClientSession, body: dict[str, Any]) -> str:
    """Submit a job, see it complete, return its ID."""
    async with session.put(JOBS, json=body) as answer:
        assert answer.status == 200, await answer.text()
        job = str((await answer.json())["JobID"])
    async with asyncio.timeout(60):
        while True:
            async with session.get(f"{JOBS}/{job}") as answer:
                state = (await answer.json())["Job"]["State"]
            if state["StateType"] == "Completed":
                return job
            assert state["StateType"] in ("Pending", "Running", "Queued"), state
            await asyncio.sleep(0.02)


async def result_url(session: aiohttp.ClientSession, job: str) -> str:
    async with session.get(f"{JOBS}/{job}/results") as answer:
        (item,) = (await answer.json())["Items"]
    assert item["Type"] == "urlDownload"
    return str(item["Params"]["URL"])


async def test_a_node_runs_jobs_and_leaves_nothing_behind(no_leaks: None, node_config: MakeConfig) -> None:
    async with running_node(node_config()) as node, client(node) as session:
        await run(session, noop())
        async with session.get("/api/v1/agent/node") as answer:
            info = await answer.json()
        assert info["NodeID"] == node.node_id
        assert {"events", "lease", "signed-results"} <= set(info["Features"])
        assert info["BacalhauVersion"]["GitVersion"].startswith("v1.9.3+jupyter.")
        async with session.get("/api/v1/agent/debug") as answer:
            assert (await answer.json())["Compute"]["Joined"] is True
    assert read_record(node.repo) is None


async def test_results_open_after_a_restart_on_another_port_and_past_the_first_links_end(
    node_config: MakeConfig,
) -> None:
    clock = ManualClock()
    config = node_config(Results__URLExpiry="1h")
    async with running_node(config, clock=clock) as node, client(node) as session:
        job = await run(session, noop(Publisher={"Type": "local"}))
        first = await result_url(session, job)
        async with session.get(first) as answer:
            assert answer.status == 200
        port = node.record.port
    with socket.create_server(("127.0.0.1", port)):
        async with running_node(config, clock=clock) as node, client(node) as session:
            assert node.record.port != port
            clock.advance(24 * 3600)
            async with session.get(first.replace(f":{port}/", f":{node.record.port}/")) as answer:
                assert answer.status == 403
                assert "expired" in (await answer.json())["Message"]
            async with aiohttp.request("GET", await result_url(session, job)) as answer:
                assert answer.status == 200
                assert "Content-Encoding" not in answer.headers
                with tarfile.open(fileobj=io.BytesIO(await answer.read())) as archive:
                    names = {name.removeprefix("./") for name in archive.getnames()}
    assert {"stdout", "stderr", "exitCode"} <= names


async def test_a_foreign_or_tampered_result_link_opens_nothing(node_config: MakeConfig) -> None:
    async with running_node(node_config()) as node, client(node) as session:
        url = await result_url(session, await run(session, noop(Publisher={"Type": "local"})))
        # A character inside the signature, changed for certain.
        flipped = url[:-5] + ("1" if url[-5] == "0" else "0") + url[-4:]
        for wrong in (flipped, url.replace("expires=", "expires=9"), url.replace("/e-", "/e-0")):
            async with session.get(wrong) as answer:
                assert answer.status == 403, wrong


async def test_jobs_and_identity_survive_a_restart(node_config: MakeConfig) -> None:
    async with running_node(node_config(), name="n-kept") as node, client(node) as session:
        job = await run(session, noop())
        key, instance = node.key, node.record.instance_id
    async with running_node(node_config()) as node, client(node) as session:
        assert (node.node_id, node.key) == ("n-kept", key)
        assert node.record.instance_id != instance
        async with session.get(f"{JOBS}/{job}") as answer:
            assert (await answer.json())["Job"]["State"]["StateType"] == "Completed"
    with pytest.raises(ConfigurationError, match="is called n-kept already, so it can't become other"):
        async with running_node(node_config(), name="other"):
            pass


async def test_an_embedded_node_keeps_its_port_and_steps_aside_when_it_is_taken(
    node_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_default_port(monkeypatch, "API.Port")
    values = {"DataDir": node_config()["DataDir"], "Orchestrator.Enabled": True, "Orchestrator.Link": "off"}
    config = Config(values)  # API.Port is left at its default
    async with running_node(config, embedded=True) as node:
        port = node.record.port
    async with running_node(config, embedded=True) as node:
        assert node.record.port == port
    with socket.create_server(("127.0.0.1", port)):
        async with running_node(config, embedded=True) as node:
            assert node.record.port != port


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"API.Host": "203.0.113.1"}, "can't listen on 203.0.113.1"),
        ({"Orchestrator.Enabled": False, "Compute.Enabled": False}, "this one is to do neither"),
        (
            {"Orchestrator.Enabled": False, "Compute.Orchestrators": ["nats://sesame@192.0.2.1:4222"]},
            "the NATS server at 192.0.2.1 holds a credential",
        ),
        ({"Orchestrator.Enabled": False, "Compute.Orchestrators": []}, "has to know its orchestrator"),
        ({"Orchestrator.Enabled": False, "Compute.TLS.CACert": "/no/ca.pem"}, "there is no file /no/ca.pem"),
        (
            {"Compute.Orchestrators": ["nats://192.0.2.1:4222"]},
            "names another orchestrator than that of this node",
        ),
        ({"Orchestrator.Cluster.Name": "a"}, "this version can't honour Orchestrator.Cluster.Name: "),
        (
            {"API.Auth.Users": [{"Username": "a", "Password": "0123456789"}]},
            "user 'a' has no capabilities defined",
        ),
        ({"Compute.AllocatedCapacity.CPU": "many"}, "many"),
    ],
)
async def test_a_wrong_setting_is_an_error_of_one_sentence_and_nothing_stays(
    no_leaks: None, node_config: MakeConfig, values: dict[str, Any], message: str
) -> None:
    config = node_config().replace(values)
    with pytest.raises(BacalhauError, match=message):
        async with running_node(config):
            pass
    async with running_node(node_config()):
        pass


async def test_a_busy_port_is_reported(node_config: MakeConfig) -> None:
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        port = squatter.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"port {port} is in use on 127.0.0.1"):
            async with running_node(node_config(API__Port=port)):
                pass


async def test_a_second_node_for_the_same_repo_is_refused_and_disturbs_nothing(
    node_config: MakeConfig,
) -> None:
    async with running_node(node_config()) as node, client(node) as session:
        with pytest.raises(NodeRunning, match="a node already runs"):
            async with running_node(node_config()):
                pass
        await run(session, noop())


async def test_events_show_the_whole_life_of_a_job(node_config: MakeConfig) -> None:
    async with running_node(node_config()) as node, client(node) as session:
        async with session.ws_connect("/api/v1/orchestrator/events?since=0") as stream:
            job = await run(session, noop())
            topics = []
            async with asyncio.timeout(60):
                while True:
                    event = await stream.receive_json()
                    assert event["job"] == job
                    topics.append(event["topic"])
                    if event.get("state") == "Completed":
                        break
        assert topics[0] == "Submission"
        assert {"Scheduling", "State Update", "Execution"} <= set(topics)
