"""Ports of jobs as the API of a real node shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import aiohttp
import pytest

from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.node import settings
from tests.node.test_explain import JOBS, MakeConfig, explain, reach
from tests.services.node import running_node
from tests.services.ports import free_port
from tests.services.waiting import until


async def submit(session: aiohttp.ClientSession, kind: str, ports: Sequence[dict[str, Any]]) -> str:
    """Submit a job that runs for ten minutes unless it is stopped."""
    task = {
        "Name": "main",
        "Engine": {"Type": "noop", "Params": {"Sleep": 600}},
        "Resources": {"CPU": "10m", "Memory": "1mb"},
        "Network": {"Type": "Host", "Ports": list(ports)},
        "Timeouts": {"QueueTimeout": 600} if kind == "batch" else {},
    }
    async with session.put(JOBS, json={"Job": {"Type": kind, "Tasks": [task]}}) as answer:
        assert answer.status == 200, await answer.text()
        return str((await answer.json())["JobID"])


async def ports_of(session: aiohttp.ClientSession, job: str) -> list[dict[str, Any]]:
    """Return the ports of the job's one execution, once they are known."""
    known: list[dict[str, Any]] = []

    async def are_known() -> bool:
        async with session.get(f"{JOBS}/{job}/executions") as answer:
            items = (await answer.json())["Items"]
        known[:] = items[0].get("Ports", []) if items else []
        return bool(known)

    await until(are_known)
    return known


@pytest.mark.parametrize("kind", ["batch", "service", "ops", "daemon"])
async def test_an_execution_of_every_type_shows_its_ports(node_config: MakeConfig, kind: str) -> None:
    values = {"Compute__Network__PortRangeStart": 23000, "Compute__Network__PortRangeEnd": 23100}
    async with running_node(node_config(**values)) as node:
        headers = {"Authorization": f"Bearer {node.key}"}
        async with aiohttp.ClientSession(node.url, headers=headers) as session:
            job = await submit(session, kind, [{"Name": "web", "HostNetwork": "127.0.0.1"}])
            (port,) = await ports_of(session, job)
            assert 23000 <= port.pop("Static") <= 23100
            assert port == {"Name": "web", "HostNetwork": "127.0.0.1"}
            await reach(session, job, "Running")
            async with session.delete(f"{JOBS}/{job}") as answer:
                assert answer.status == 200


async def test_of_two_jobs_with_the_same_port_the_second_waits_and_is_told_why(
    node_config: MakeConfig,
) -> None:
    port = free_port()
    asked = [{"Name": "web", "Static": port}]
    async with running_node(node_config()) as node:
        headers = {"Authorization": f"Bearer {node.key}"}
        async with aiohttp.ClientSession(node.url, headers=headers) as session:
            first = await submit(session, "batch", asked)
            await reach(session, first, "Running")
            second = await submit(session, "batch", asked)

            async def is_told() -> bool:
                summary: str = (await explain(session, second))["Summary"]
                return f"port {port} is already in use by another job" in summary

            await until(is_told)
            async with session.delete(f"{JOBS}/{first}") as answer:
                assert answer.status == 200
            await reach(session, second, "Running")
            async with session.delete(f"{JOBS}/{second}") as answer:
                assert answer.status == 200


async def test_a_new_version_of_a_service_gets_the_port_of_the_old_one(node_config: MakeConfig) -> None:
    port = free_port()

    def version(words: str) -> dict[str, Any]:
        task = {
            "Name": "main",
            "Engine": {"Type": "noop", "Params": {"Sleep": 600, "Stdout": words}},
            "Resources": {"CPU": "10m", "Memory": "1mb"},
            "Network": {"Type": "Host", "Ports": [{"Name": "web", "Static": port}]},
        }
        return {"Job": {"Name": "served", "Type": "service", "Count": 1, "Tasks": [task]}}

    async with running_node(node_config()) as node:
        headers = {"Authorization": f"Bearer {node.key}"}
        async with aiohttp.ClientSession(node.url, headers=headers) as session:
            async with session.put(JOBS, json=version("one")) as answer:
                job = str((await answer.json())["JobID"])
            await ports_of(session, job)
            await reach(session, job, "Running")
            async with session.put(JOBS, json=version("two")) as answer:
                assert answer.status == 200, await answer.text()

            async def has_it() -> bool:
                async with session.get(f"{JOBS}/{job}/executions") as answer:
                    items = (await answer.json())["Items"]
                new = [
                    item
                    for item in items
                    if item["JobVersion"] == 2 and item["DesiredState"]["StateType"] == 1
                ]
                return bool(new) and new[0].get("Ports", [{}])[0].get("Static") == port

            await until(has_it)
            async with session.delete(f"{JOBS}/{job}") as answer:
                assert answer.status == 200


def test_a_range_without_ports_stops_the_node(node_config: MakeConfig) -> None:
    with pytest.raises(ConfigurationError, match="no range of ports"):
        settings.check(
            node_config(Compute__Network__PortRangeStart=30000, Compute__Network__PortRangeEnd=29000)
        )
