"""Why a job waits, asked of a real node whose CPU other jobs hold."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from bacalhau_jupyter.auth.principals import OWNER, Principal
from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.node.node import Node
from tests.services.node import running_node
from tests.services.waiting import until

JOBS = "/api/v1/orchestrator/jobs"
MakeConfig = Callable[..., Config]


@asynccontextmanager
async def small_node(make: MakeConfig) -> AsyncIterator[tuple[Node, aiohttp.ClientSession]]:
    """A node of one core."""
    config = make(Compute__AllocatedCapacity__CPU="1", WebUI__Enabled=False)
    headers = {}
    async with running_node(config) as node:
        headers["Authorization"] = f"Bearer {node.key}"
        async with aiohttp.ClientSession(node.url, headers=headers) as session:
            yield node, session


async def submit(session: aiohttp.ClientSession, name: str, cpu: str = "1", **changes: Any) -> str:
    """Submit a job that runs for ten minutes unless it is stopped."""
    task = {
        "Name": "main",
        "Engine": {"Type": "noop", "Params": {"Sleep": 600}},
        "Resources": {"CPU": cpu},
        "Timeouts": {"QueueTimeout": 600},
    }
    job = {"Name": name, "Type": "batch", "Count": 1, "Tasks": [task], **changes}
    async with session.put(JOBS, json={"Job": job}) as answer:
        assert answer.status == 200, await answer.text()
        return str((await answer.json())["JobID"])


async def reach(session: aiohttp.ClientSession, job: str, state: str) -> None:
    async def reached() -> bool:
        async with session.get(f"{JOBS}/{job}") as answer:
            return bool((await answer.json())["Job"]["State"]["StateType"] == state)

    await until(reached)


async def explain(session: aiohttp.ClientSession, job: str) -> dict[str, Any]:
    async with session.get(f"{JOBS}/{job}/explanation") as answer:
        assert answer.status == 200, await answer.text()
        explanation: dict[str, Any] = await answer.json()
        return explanation


async def test_the_job_that_holds_the_cpu_is_named_and_stopping_it_helps(node_config: MakeConfig) -> None:
    async with small_node(node_config) as (_, session):
        hog = await submit(session, "hog2")
        await reach(session, hog, "Running")
        job = await submit(session, "patient", cpu="500m")
        await reach(session, job, "Queued")
        explanation = await explain(session, job)
        assert explanation["Summary"] == "waiting for 0.5 CPU; `hog2` holds it, node has 1"
        (remedy,) = explanation["Remedies"]
        assert (remedy["Text"], remedy["JobIDs"]) == ("stop `hog2`", [hog])
        async with session.delete(f"{JOBS}/{remedy['JobIDs'][0]}") as answer:
            assert answer.status == 200
        await reach(session, job, "Running")
        assert (await explain(session, job))["Summary"].endswith("the only node")


async def test_the_official_text_of_a_waiting_job_stays_and_its_event_hints_at_the_explanation(
    node_config: MakeConfig,
) -> None:
    async with small_node(node_config) as (_, session):
        await reach(session, await submit(session, "hog"), "Running")
        job = await submit(session, "patient")
        await reach(session, job, "Queued")
        async with session.get(f"{JOBS}/{job}") as answer:
            message = (await answer.json())["Job"]["State"]["Message"]
        assert message.startswith("not enough nodes to run job. requested: 1, available: 1, suitable: 0.")
        async with session.get(f"{JOBS}/{job}/history") as answer:
            events = [item["Event"] for item in (await answer.json())["Items"]]
        (queued,) = [event for event in events if event["Topic"] == "Queueing"]
        assert queued["Details"] == {"Hint": f"bacalhau-jupyter explain {job[:10]} says what it waits for"}


async def test_a_job_that_is_not_there_is_not_found(node_config: MakeConfig) -> None:
    async with (
        small_node(node_config) as (_, session),
        session.get(f"{JOBS}/j-nothing/explanation") as answer,
    ):
        assert answer.status == 404
        assert (await answer.json())["Message"] == "job not found: j-nothing"


async def test_the_route_is_listed_as_a_feature_and_needs_a_credential(node_config: MakeConfig) -> None:
    async with small_node(node_config) as (node, session):
        async with session.get("/api/v1/agent/node") as answer:
            assert "explain" in (await answer.json())["Features"]
        stranger = {"Origin": "http://elsewhere.example"}
        async with (
            aiohttp.ClientSession(node.url, headers=stranger) as other,
            other.get(f"{JOBS}/j-1/explanation") as answer,
        ):
            assert answer.status == 401


async def test_the_waiting_jobs_that_go_first_are_named_as_far_as_the_caller_may_see_them(
    node_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with small_node(node_config) as (_, session):
        await reach(session, await submit(session, "hog"), "Running")
        for name, changes in (
            ("early", {}),
            ("secret-merger", {"Namespace": "board"}),
            ("late", {}),
            ("urgent", {"Priority": 5}),
        ):
            job = await submit(session, name, **changes)
            await reach(session, job, "Queued")
        line = "; behind 3 jobs (`urgent`, `early` and `secret-merger`) of the same or a higher priority"
        late = await explain(session, "late")
        assert late["Summary"].endswith(line), late
        assert "behind" not in (await explain(session, job))["Summary"]
        monkeypatch.setattr(Principal, "may_see_jobs", lambda self, namespace: namespace != "board")
        assert (await explain(session, "late"))["Summary"].endswith(
            "(`urgent`, `early` and 1 more) of the same or a higher priority"
        )


async def test_a_job_that_the_caller_may_not_see_is_not_named(
    node_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with small_node(node_config) as (_, session):
        hog = await submit(session, "secret-merger", Namespace="board")
        await reach(session, hog, "Running")
        job = await submit(session, "patient")
        await reach(session, job, "Queued")
        assert "`secret-merger` holds it" in (await explain(session, job))["Summary"]

        # No rule about namespaces exists yet: one takes the place of the owner's.
        monkeypatch.setattr(Principal, "may_see_jobs", lambda self, namespace: namespace != "board")
        async with session.get(f"{JOBS}/{job}/explanation") as answer:
            text = await answer.text()
        assert "another person's job holds it" in text
        assert "secret" not in text and hog not in text and hog[:10] not in text
        async with session.get(f"{JOBS}/{hog}/explanation") as answer:
            assert answer.status == 404


def test_jobs_are_seen_by_those_with_the_capability() -> None:
    assert OWNER.may_see_jobs("default")
    assert Principal("reader", frozenset({"read:*"})).may_see_jobs("default")
    assert not Principal("somebody").may_see_jobs("default")
