"""A job whose URL leads to the node itself: never the owner there, and by default nowhere at all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.node import node as nodes
from tests.clock import ManualClock
from tests.node.test_node import JOBS, client, noop, result_url, run
from tests.services.node import running_node
from tests.services.ports import free_port

MakeConfig = Callable[..., Config]


def reading(url: str) -> dict[str, Any]:
    source = {"Source": {"Type": "urlDownload", "Params": {"URL": url}}, "Target": "/inputs"}
    return noop(InputSources=[source], Timeouts={"QueueTimeout": 5})


async def outcome(session: aiohttp.ClientSession, body: dict[str, Any]) -> tuple[str, str]:
    """Submit a job; return the state it ended in, and its history as text."""
    async with session.put(JOBS, json=body) as answer:
        assert answer.status == 200, await answer.text()
        job = str((await answer.json())["JobID"])
    async with asyncio.timeout(60):
        while True:
            async with session.get(f"{JOBS}/{job}") as answer:
                state = str((await answer.json())["Job"]["State"]["StateType"])
            if state in ("Completed", "Failed", "Stopped"):
                break
            await asyncio.sleep(0.05)
    async with session.get(f"{JOBS}/{job}/history") as answer:
        return state, json.dumps(await answer.json())


async def test_a_node_that_trusted_itself_would_hand_its_configuration_to_a_job(
    node_config: MakeConfig,
) -> None:
    # The attack, on a node without the two rules: it works, so the tests below see what they mean to see.
    async with running_node(node_config()) as node, client(node) as session:
        state, _ = await outcome(session, reading(f"{node.url}/api/v1/agent/config"))
    assert state == "Completed"


async def test_a_node_that_may_ask_itself_is_nobody_there(node_config: MakeConfig) -> None:
    config = node_config(InputSources__MaxRetryCount=0)
    async with nodes.running_node(config) as node, client(node) as session:
        state, messages = await outcome(session, reading(f"{node.url}/api/v1/agent/config"))
    assert state == "Failed"
    assert "answered 401" in messages


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f.1", "[::ffff:127.0.0.1]", "0.0.0.0"])
async def test_a_job_that_names_this_machine_is_refused_when_bidding(
    node_config: MakeConfig, host: str
) -> None:
    config = node_config(Compute__AllowListedAddresses=[])
    async with running_node(config) as node, client(node) as session:
        port = node.url.rpartition(":")[2]
        state, messages = await outcome(session, reading(f"http://{host}:{port}/api/v1/agent/config"))
    assert state == "Failed"
    assert "an address of this machine" in messages
    assert "Compute.AllowListedAddresses" in messages


async def test_a_name_that_leads_to_this_machine_fails_when_fetched(node_config: MakeConfig) -> None:
    config = node_config(Compute__AllowListedAddresses=[])
    async with running_node(config) as node, client(node) as session:
        port = node.url.rpartition(":")[2]
        state, messages = await outcome(session, reading(f"http://ip6-localhost:{port}/api/v1/agent/config"))
    assert state == "Failed"
    assert "an address of this machine" in messages or "Name or service not known" in messages


async def test_a_link_that_the_node_signed_is_read_from_its_store(node_config: MakeConfig) -> None:
    config = node_config(Compute__AllowListedAddresses=[])
    async with nodes.running_node(config) as node, client(node) as session:
        url = await result_url(session, await run(session, noop(Publisher={"Type": "local"})))
        # Who signed it decides, not where it leads: no such host is ever looked up.
        for link in (url, url.replace("127.0.0.1", "node.example"), url.replace("/api/", "/proxied/api/", 1)):
            state, messages = await outcome(session, reading(link))
            assert state == "Completed", messages


async def test_an_expired_or_changed_link_does_not_log_in(node_config: MakeConfig) -> None:
    clock = ManualClock()
    config = node_config(Compute__AllowListedAddresses=[], Results__URLExpiry="1h")
    async with nodes.running_node(config, clock=clock) as node, client(node) as session:
        url = await result_url(session, await run(session, noop(Publisher={"Type": "local"})))
        changed = url[:-1] + ("0" if url[-1] != "0" else "1")
        state, messages = await outcome(session, reading(changed))
        # It is asked for as from another node, and the API wants a signature from everybody.
        assert (state, "answered 403" in messages) == ("Failed", True), messages
        clock.advance(3601)
        async with session.put(JOBS, json=reading(url)) as refused:
            assert (refused.status, "expired at" in await refused.text()) == (400, True)


async def test_a_password_in_a_url_is_in_no_history_and_no_log(
    node_config: MakeConfig, caplog: pytest.LogCaptureFixture
) -> None:
    config = node_config(InputSources__MaxRetryCount=0)
    async with running_node(config) as node, client(node) as session:
        for url in (f"http://me:hushhush@127.0.0.1:{free_port()}/x", "http://me:hushhush@[::1/x"):
            state, messages = await outcome(session, reading(url))
            assert state == "Failed"
            assert "hushhush" not in messages
    assert "hushhush" not in caplog.text


@pytest.mark.parametrize(
    ("key", "value"),
    [("Compute.AllowListedAddresses", "http://localhost/"), ("S3.TrustedEndpoints", "minio.example.org")],
)
async def test_a_list_that_can_not_be_read_keeps_the_node_from_starting(
    node_config: MakeConfig, key: str, value: str
) -> None:
    with pytest.raises(ConfigurationError, match=key):
        async with nodes.running_node(node_config(**{key: [value]})):
            pass
