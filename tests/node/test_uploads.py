"""Uploads of a whole node: what it tells of them, links in jobs, and results that jobs refer to."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp

from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.models.records.uploads import CONTENT_PATH, PATH
from bacalhau_jupyter.transfer.core.signing import local_reference, signed_reference
from tests.services.node import running_node
from tests.services.waiting import found, until

DATA = os.urandom(300_000)
SHA = hashlib.sha256(DATA).hexdigest()


async def test_a_node_tells_what_uploads_take_and_takes_them_on_its_disk(
    node_config: Callable[..., Config],
) -> None:
    async with running_node(node_config()) as node, aiohttp.ClientSession(node.url) as client:
        async with client.post(PATH, json={"Name": "x.bin", "Local": True}) as answer:
            begun = await answer.json()
        await asyncio.to_thread(Path(begun["File"]).write_bytes, DATA)
        async with client.post(f"{PATH}/{begun['UploadID']}/complete") as answer:
            assert (await answer.json())["SHA256"] == SHA
        async with client.get("/api/v1/agent/node") as answer:
            info = await answer.json()
        assert "uploads" in info["Features"]
        assert info["Uploads"] == {"Bytes": len(DATA), "Count": 1, "Limit": 20_000_000_000}
        async with client.delete(PATH) as answer:
            assert (await answer.json())["Count"] == 1


async def test_uploads_leave_as_much_of_the_disk_free_as_the_owner_says(
    node_config: Callable[..., Config],
) -> None:
    config = node_config(Uploads__MinFree=1 << 60, Uploads__Quota=0)
    async with running_node(config) as node, aiohttp.ClientSession(node.url) as client:
        async with client.post(PATH, json={"Name": "x.bin", "Size": 1}) as answer:
            body = await answer.json()
        assert answer.status == 507 and "no room on the node's disk" in body["Message"]


HOG = {
    "Type": "batch",
    "Count": 1,
    "Tasks": [
        {"Name": "t", "Engine": {"Type": "noop", "Params": {"Sleep": 3600}}, "Resources": {"CPU": "1"}}
    ],
}
"""A job that takes all that a node of `small` has."""


def small(node_config: Callable[..., Config]) -> Config:
    return node_config(Compute__AllocatedCapacity__CPU="1")


def held_job(url: str, name: str = "urlDownload") -> dict[str, Any]:
    """A job that waits as long as `HOG` runs."""
    source = {"Type": name, "Params": {"URL": url}}
    return {
        "Type": "batch",
        "Count": 1,
        "Tasks": [
            {
                "Name": "t",
                "Engine": {"Type": "noop", "Params": {}},
                "InputSources": [{"Source": source, "Alias": "x", "Target": "/inputs"}],
                "Resources": {"CPU": "1"},
                "Timeouts": {"QueueTimeout": 3600},
            }
        ],
    }


async def uploaded(client: aiohttp.ClientSession, data: bytes) -> dict[str, Any]:
    async with client.post(PATH, json={"Name": "x.bin", "Size": len(data)}) as answer:
        begun = await answer.json()
    headers = {"Content-Type": "application/octet-stream"}
    async with client.put(f"{PATH}/{begun['UploadID']}", data=data, headers=headers) as answer:
        kept: dict[str, Any] = await answer.json()
        return kept


async def submitted(client: aiohttp.ClientSession, job: dict[str, Any]) -> str:
    async with client.put("/api/v1/orchestrator/jobs", json={"Job": job}) as answer:
        body = await answer.json()
        assert answer.status == 200, body
        return str(body["JobID"])


async def hogged(client: aiohttp.ClientSession) -> None:
    """Let `HOG` have the node: what comes later waits."""
    job = await submitted(client, HOG)

    async def runs() -> bool:
        async with client.get(f"/api/v1/orchestrator/jobs/{job}") as answer:
            return bool((await answer.json())["Job"]["State"]["StateType"] == "Running")

    await until(runs)


async def test_the_upload_of_a_waiting_job_stays_and_goes_when_the_job_is_over(
    node_config: Callable[..., Config],
) -> None:
    async with running_node(small(node_config)) as node, aiohttp.ClientSession(node.url) as client:
        await hogged(client)
        kept = await uploaded(client, DATA)
        job = await submitted(client, held_job(kept["URL"]))
        async with client.delete(PATH) as answer:
            assert (await answer.json())["Count"] == 0
        async with client.delete(f"/api/v1/orchestrator/jobs/{job}") as answer:
            assert answer.status == 200
        async with client.delete(PATH) as answer:
            assert (await answer.json())["Count"] == 1
        async with client.put(f"/api/v1/orchestrator/jobs/{job}/rerun", json={}) as answer:
            body = await answer.json()
        assert answer.status == 404 and "is not on this node any more" in body["Message"]


async def test_the_result_that_a_waiting_job_refers_to_stays(node_config: Callable[..., Config]) -> None:
    async with running_node(small(node_config)) as node, aiohttp.ClientSession(node.url) as client:
        await hogged(client)
        assert node.compute is not None
        archive = node.repo.compute_dir / "results" / "local-publisher" / "e-1.tar.gz"
        archive.write_bytes(b"x")
        key = node.repo.signing_key()
        url = str(signed_reference(local_reference("e-1", "n"), node.url, key, time.time_ns()).params["URL"])
        job = await submitted(client, held_job(url, "urlArchive"))
        await node.compute.clear_results(0)
        assert archive.exists()
        async with client.delete(f"/api/v1/orchestrator/jobs/{job}") as answer:
            assert answer.status == 200
        await node.compute.clear_results(0)
        assert not archive.exists()


async def test_a_named_job_with_the_same_upload_is_the_same_job(node_config: Callable[..., Config]) -> None:
    async with running_node(node_config()) as node, aiohttp.ClientSession(node.url) as client:
        jobs = [{**held_job((await uploaded(client, DATA))["URL"]), "Name": "same"} for _ in range(2)]
        await submitted(client, jobs[0])
        async with client.put("/api/v1/orchestrator/jobs", json={"Job": jobs[1]}) as answer:
            body = await answer.json()
        assert answer.status == 409 and "no changes detected" in body["Message"]


async def test_a_forged_link_is_no_way_to_anothers_upload(node_config: Callable[..., Config]) -> None:
    async with running_node(node_config()) as node, aiohttp.ClientSession(node.url) as client:
        await uploaded(client, DATA)
        forged = f"{node.url}{CONTENT_PATH}/{SHA}/x.bin?expires=99999999999&signature={'0' * 64}"
        job_id = await submitted(client, held_job(forged))
        async with asyncio.timeout(60):
            while True:
                async with client.get(f"/api/v1/orchestrator/jobs/{job_id}") as answer:
                    state = (await answer.json())["Job"]["State"]
                if state["StateType"] == "Failed":
                    break
        assert node.compute is not None
        assert not found(node.repo.compute_dir, f"{SHA}*")


async def test_the_node_knows_which_uploads_its_finished_jobs_refer_to(
    node_config: Callable[..., Config],
) -> None:
    async with running_node(node_config()) as node, aiohttp.ClientSession(node.url) as client:
        needed = await uploaded(client, DATA)
        job = await submitted(client, held_job(needed["URL"]))
        async with asyncio.timeout(60):
            while True:
                async with client.get(f"/api/v1/orchestrator/jobs/{job}") as answer:
                    if (await answer.json())["Job"]["State"]["StateType"] in ("Completed", "Failed"):
                        break
        assert node._placing is not None
        store = node._placing.uploads.store
        assert list(await store.repeatable()) == [SHA]
        assert list(await store.referred()) == []
