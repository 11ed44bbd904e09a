"""Results seen as files, and data seen as places, over the API of a real node."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.node.test_node import JOBS, MakeConfig, client, noop, run
from tests.services.kubo import KuboNode
from tests.services.node import running_node

DATA = "/api/v1/compute/data"


def writing(text: str) -> dict[str, Any]:
    return noop(
        Engine={"Type": "process", "Params": {"Command": ["/bin/sh", "-c", text]}},
        Publisher={"Type": "local"},
        ResultPaths=[{"Name": "outputs", "Path": "/outputs"}],
        Timeouts={"TotalTimeout": 60},
    )


async def listing(session: aiohttp.ClientSession, job: str) -> dict[str, Any]:
    async with session.get(f"{JOBS}/{job}/results/files") as answer:
        assert answer.status == 200, await answer.text()
        (result,) = (await answer.json())["Results"]
    return dict(result)


async def test_a_result_is_listed_and_read_file_by_file(node_config: MakeConfig) -> None:
    async with running_node(node_config()) as node, client(node) as session:
        job = await run(
            session,
            writing("mkdir outputs/d; seq 1 50000 > 'outputs/d/a b ü.txt'; : > outputs/empty; echo said"),
        )
        listed = await listing(session, job)
        files = {item["Path"]: item for item in listed["Files"]}
        assert files["outputs/d"]["Kind"] == "directory"
        assert files["stdout"]["Size"] == len("said\n")
        assert listed["Type"] == "local" and listed["Truncated"] is False
        text = "".join(f"{number}\n" for number in range(1, 50001)).encode()
        url = f"{JOBS}/{job}/results/files/{listed['ExecutionID']}/outputs/d/a%20b%20%C3%BC.txt"
        async with session.get(url) as answer:
            assert (answer.status, await answer.read()) == (200, text)
            assert answer.headers["Content-Disposition"] == "attachment; filename*=UTF-8''a%20b%20%C3%BC.txt"
            assert answer.headers["Content-Type"] == "application/octet-stream"
        for byte_range, expected in {
            "bytes=0-9": text[:10],
            "bytes=200000-200009": text[200000:200010],
            "bytes=-5": text[-5:],
            "bytes=288000-": text[288000:],
        }.items():
            async with session.get(url, headers={"Range": byte_range}) as answer:
                assert (answer.status, await answer.read()) == (206, expected)
                assert answer.headers["Content-Range"].endswith(f"/{len(text)}")
        async with session.get(url, headers={"Range": "bytes=999999-"}) as answer:
            assert answer.status == 416
        async with session.get(url.replace("a%20b%20%C3%BC.txt", "..%2f..%2f..%2fetc%2fpasswd")) as answer:
            assert answer.status == 404
        async with session.get(f"{JOBS}/{job}/results/files/{listed['ExecutionID']}/outputs/empty") as answer:
            assert (answer.status, await answer.read()) == (200, b"")
        async with session.get(f"{JOBS}/{job}/results/files/e-nobody/stdout") as answer:
            assert answer.status == 404
        async with (
            aiohttp.ClientSession(node.url) as anybody,
            anybody.get(url, headers={"Origin": "http://evil"}) as answer,
        ):
            assert answer.status == 401


async def test_a_removed_result_answers_with_that_reason_and_the_list_still_answers(
    node_config: MakeConfig,
) -> None:
    config = node_config()
    async with running_node(config) as node, client(node) as session:
        job = await run(session, writing("echo x > outputs/x"))
        (archive,) = Path(config["DataDir"]).glob("*/results/local-publisher/*.tar.gz")
        archive.unlink()
        listed = await listing(session, job)
        assert listed["Files"] == []
        assert "not on this node any more" in listed["Problem"]


async def test_looking_into_a_result_marks_it_as_read_each_time(node_config: MakeConfig) -> None:
    """Retention goes by the time of the last look, also at a result that is open already."""
    config = node_config()
    async with running_node(config) as node, client(node) as session:
        job = await run(session, writing("echo x > outputs/x"))
        (archive,) = Path(config["DataDir"]).glob("*/results/local-publisher/*.tar.gz")
        written = archive.stat().st_mtime_ns
        for part in ("", "stdout"):
            os.utime(archive, ns=(0, written))
            listed = await listing(session, job)
            if part:
                url = f"{JOBS}/{job}/results/files/{listed['ExecutionID']}/{part}"
                os.utime(archive, ns=(0, written))
                async with session.get(url) as answer:
                    assert answer.status == 200
            assert archive.stat().st_atime_ns >= written
            assert archive.stat().st_mtime_ns == written


async def test_shared_paths_are_shown_to_the_owner_only(node_config: MakeConfig, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "sales.csv").write_text("a,b\n")
    config = node_config(Compute__AllowListedLocalPaths=[f"{shared}/**:ro"])
    async with running_node(config) as node, client(node) as session:
        async with session.get(DATA) as answer:
            places = [entry["URI"] for entry in (await answer.json())["Entries"]]
        assert "file://" in places
        async with session.get(DATA, params={"uri": f"file://{shared}"}) as answer:
            (entry,) = (await answer.json())["Entries"]
        assert (entry["Name"], entry["URI"], entry["Size"]) == (
            "sales.csv",
            f"file://{shared}/sales.csv",
            4,
        )
        async with session.get(DATA, params={"uri": "file:///etc"}) as answer:
            assert answer.status == 403
        async with (
            aiohttp.ClientSession(node.url) as anybody,
            anybody.get(DATA, headers={"Origin": "http://evil"}) as answer,
        ):
            assert answer.status == 401


async def test_buckets_are_shown_page_by_page_with_the_nodes_credentials(
    node_config: MakeConfig, s3_credentials: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_credentials.url)
    s3 = s3_credentials.client()
    s3.create_bucket(Bucket="browsed")
    for number in range(5):
        s3.put_object(Bucket="browsed", Key=f"2026/{number}.csv", Body=b"x" * number)
    s3.put_object(Bucket="browsed", Key="2026/deep/er.csv", Body=b"x")
    async with running_node(node_config()) as node, client(node) as session:
        async with session.get(DATA) as answer:
            assert "s3://" in [entry["URI"] for entry in (await answer.json())["Entries"]]
        async with session.get(DATA, params={"uri": "s3://"}) as answer:
            assert "s3://browsed/" in [entry["URI"] for entry in (await answer.json())["Entries"]]
        seen: dict[str, tuple[str, int]] = {}
        token = ""
        while True:
            query = {"uri": "s3://browsed/2026/", "limit": "2", "next_token": token}
            async with session.get(DATA, params=query) as answer:
                page = await answer.json()
            assert len(page["Entries"]) <= 2
            seen |= {entry["URI"]: (entry["Kind"], entry["Size"]) for entry in page["Entries"]}
            token = page["NextToken"]
            if not token:
                break
        assert seen == {
            "s3://browsed/2026/deep/": ("directory", 0),
            **{f"s3://browsed/2026/{number}.csv": ("file", number) for number in range(5)},
        }
        async with session.get(DATA, params={"uri": "s3://nowhere-at-all/"}) as answer:
            assert answer.status == 404
            assert "nowhere-at-all" in (await answer.json())["Message"]


async def test_the_owner_cleans_up_and_removed_results_are_reported(node_config: MakeConfig) -> None:
    async with running_node(node_config()) as node, client(node) as session:
        job = await run(session, writing("head -c 100000 /dev/zero > outputs/x"))
        running = noop(Engine={"Type": "noop", "Params": {}}, Publisher={"Type": "local"})
        await run(session, running)

        async def usage() -> dict[str, Any]:
            async with session.get("/api/v1/agent/node") as answer:
                info = await answer.json()
            return dict(info["ComputeNodeInfo"]["LocalResults"])

        before = await usage()
        assert before["Count"] == 2
        async with session.delete("/api/v1/compute/results?older_than=3600") as answer:
            assert (await answer.json())["Count"] == 0
        async with session.delete("/api/v1/compute/results") as answer:
            gone = await answer.json()
        assert (gone["Bytes"], gone["Count"]) == (before["Bytes"], 2)
        assert (await usage())["Bytes"] == 0
        assert "owner cleaned up" in (await listing(session, job))["Problem"]
        async with session.delete("/api/v1/compute/inputcache") as answer:
            assert answer.status == 200
        async with session.delete("/api/v1/compute/results?older_than=-1") as answer:
            assert answer.status == 400
        async with (
            aiohttp.ClientSession(node.url) as anybody,
            anybody.delete("/api/v1/compute/results", headers={"Origin": "http://evil"}) as answer,
        ):
            assert answer.status == 401


async def test_pins_are_shown_and_entered_by_path(
    node_config: MakeConfig, kubo: KuboNode, tmp_path: Path
) -> None:
    config = node_config(**{"InputSources.Types.IPFS.Endpoint": kubo.endpoint})
    async with running_node(config) as node, client(node) as session:
        for name in ("a/b c.txt", "a/d/e", "z"):
            (tmp_path / "dag" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "dag" / name).write_text("123")
        cid = await asyncio.to_thread(kubo.add, tmp_path / "dag")

        async def look(uri: str, status: int = 200) -> Any:
            async with session.get(DATA, params={"uri": uri}) as answer:
                assert answer.status == status, await answer.text()
                return await answer.json()

        assert "ipfs://" in [entry["URI"] for entry in (await look(""))["Entries"]]
        assert f"ipfs://{cid}" in [entry["URI"] for entry in (await look("ipfs://"))["Entries"]]
        root = (await look(f"ipfs://{cid}"))["Entries"]
        assert [(entry["Name"], entry["Kind"]) for entry in root] == [("a", "directory"), ("z", "file")]
        inner = {entry["Name"]: entry for entry in (await look(f"ipfs://{cid}/a"))["Entries"]}
        assert inner["b c.txt"]["URI"] == f"ipfs://{cid}/a/b c.txt"
        assert inner["b c.txt"]["Size"] == 3
        assert "is a file" in (await look(inner["b c.txt"]["URI"], 400))["Message"]
        await look("ipfs://nonsense", 400)
        await look(f"ipfs://{cid}/nothing", 404)
