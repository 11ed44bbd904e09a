"""Results in a real IPFS node: by the publisher alone, and through a whole node from input to result."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.models.errors import NetworkFailure
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.spec import ResultPath, SpecConfig, Task
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.plugins.options import PluginOptions
from bacalhau_jupyter.plugins.publisher import Publisher, PublishRequest
from bacalhau_jupyter.publishers.ipfs import IpfsPublisher
from bacalhau_jupyter.transfer.ipfs.results import open_ipfs_result
from tests.publishers.test_s3 import call, get, run_job, until_offered
from tests.services.kubo import KuboNode
from tests.services.node import start_node
from tests.services.node_fixtures import node_factory
from tests.transfer.helpers import tree

__all__ = ["node_factory"]


def results(root: Path) -> Path:
    directory = root / "results"
    (directory / "outputs/deep").mkdir(parents=True)
    (directory / "stdout").write_bytes(b"hi\n")
    (directory / "exitCode").write_text("0")
    (directory / "outputs/deep/a b é.txt").write_bytes(b"data")
    (directory / "outputs/link").symlink_to("/outputs/deep")
    return directory


def request(directory: Path) -> PublishRequest:
    task = Task(publisher=SpecConfig(type="ipfs"), result_paths=[ResultPath(name="outputs", path="/outputs")])
    return PublishRequest(Execution(id="e-1", job_id="j-1", job=Job(count=1, tasks=[task])), directory)


def publisher(root: Path, endpoint: str) -> IpfsPublisher:
    settings = {"Publishers.Types.IPFS.Endpoint": endpoint}
    return IpfsPublisher(PluginOptions(node_id="n-1", data_dir=root, settings=settings.get))


async def test_results_are_pinned_whole_and_publishing_again_is_the_same(
    tmp_path: Path, kubo: KuboNode
) -> None:
    directory = results(tmp_path)
    plugin: Publisher = publisher(tmp_path, kubo.endpoint)
    assert (await plugin.probe()).available
    assert (await plugin.bid(Execution(), SpecConfig(type="ipfs"))).accepted
    published = await plugin.publish(request(directory))
    assert published == await plugin.publish(request(directory))
    assert (published.type, list(published.params)) == ("ipfs", ["CID"])
    assert kubo.pinned(published.params["CID"])
    kubo.run("get", "-o", str(tmp_path / "got"), published.params["CID"])
    got, sent = tree(tmp_path / "got"), tree(directory)
    assert got["outputs/link"] == ("link", "deep", 0)
    assert {name: entry[1] for name, entry in got.items() if entry[0] == "file"} == {
        name: entry[1] for name, entry in sent.items() if entry[0] == "file"
    }


async def test_what_can_not_be_published_is_reported(tmp_path: Path, own_kubo: KuboNode) -> None:
    directory = results(tmp_path)
    (directory / "outputs/secrets").symlink_to("/etc/passwd")
    plugin = publisher(tmp_path, own_kubo.endpoint)
    asked = request(directory)
    published = await plugin.publish(asked)
    assert [left.name for left in asked.left_out] == ["outputs/secrets"]
    assert "secrets" not in own_kubo.run("ls", f"{published.params['CID']}/outputs")
    own_kubo.close()
    async with asyncio.timeout(60):
        with pytest.raises(NetworkFailure, match="can't be reached"):
            await plugin.publish(request(directory))
        answer = await plugin.bid(Execution(), SpecConfig(type="ipfs"))
    assert answer.reason.startswith("this node can't publish to IPFS: the IPFS node at")
    unset = await publisher(tmp_path, "").probe()
    assert unset.problem == "no IPFS node is configured (Publishers.Types.IPFS.Endpoint)"


# ---- through a node


async def test_a_job_reads_from_ipfs_and_publishes_to_it(
    tmp_path: Path, kubo: KuboNode, node_factory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    (data / "sub").mkdir(parents=True)
    (data / "sub/täble 1.csv").write_bytes(b"a,b\n1,2\n")
    (data / "noise").write_bytes(os.urandom(3_000_000))
    cid = kubo.add(data)
    node = node_factory("--ipfs-connect", kubo.endpoint)
    until_offered(node, "ipfs", "Publishers", "StorageSources")
    script = (
        'cp "$BACALHAU_INPUTS/noise" "$BACALHAU_OUTPUTS/" && mkdir "$BACALHAU_OUTPUTS/none" && '
        'cat "$BACALHAU_INPUTS"/sub/*.csv'
    )
    job = run_job(node, _task(script, cid))
    (item,) = call(node, "GET", f"/api/v1/orchestrator/jobs/{job}/results")["Items"]
    assert item["Type"] == "ipfs"
    assert list(item["Params"]) == ["CID"]
    reader = open_ipfs_result(SpecConfig(type="ipfs", params=item["Params"]), kubo.endpoint)
    (tmp_path / "got").mkdir()
    await reader.save(tmp_path / "got")
    await reader.close()
    assert (tmp_path / "got/stdout").read_bytes() == b"a,b\n1,2\n"
    assert (tmp_path / "got/outputs/noise").read_bytes() == (data / "noise").read_bytes()
    assert (tmp_path / "got/outputs/none").is_dir()
    assert (tmp_path / "got/exitCode").read_bytes() == b"0"
    # And as a person fetches it.
    monkeypatch.setenv("BACALHAU_RESULTDOWNLOADERS_TYPES_IPFS_ENDPOINT", kubo.endpoint)
    done = get(node, job, tmp_path / "by command")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "by command/stdout").read_bytes() == b"a,b\n1,2\n"
    assert (tmp_path / "by command/outputs/noise").read_bytes() == (data / "noise").read_bytes()
    # A path below the CID, of the first job's result: chained by reference. A file is the target itself.
    file = f"{item['Params']['CID']}/outputs/noise"
    chained = run_job(node, _task('wc -c < "$BACALHAU_INPUTS/sub/data"', file, "/inputs/sub/data"))
    (item,) = call(node, "GET", f"/api/v1/orchestrator/jobs/{chained}/results")["Items"]
    assert kubo.run("cat", f"{item['Params']['CID']}/stdout").strip() == "3000000"


def test_without_a_node_ipfs_is_not_listed_and_a_wrong_endpoint_is_refused(
    tmp_path: Path, node_factory: Any
) -> None:
    node = node_factory()
    listed = call(node, "GET", "/api/v1/orchestrator/nodes")["Nodes"][0]["Info"]["ComputeNodeInfo"]
    assert "ipfs" not in [*listed["StorageSources"], *listed["Publishers"]]
    with pytest.raises(AssertionError, match="is not a multiaddress of an RPC API: it does not start with /"):
        start_node(tmp_path / "wrong", "--ipfs-connect", "http://127.0.0.1:5001")


def _task(script: str, cid: str, target: str = "/inputs") -> dict[str, Any]:
    return {
        "Engine": {"Command": ["/bin/sh", "-c", script]},
        "InputSources": [{"Source": {"Type": "ipfs", "Params": {"CID": cid}}, "Target": target}],
        "ResultPaths": [{"Name": "outputs", "Path": "/outputs"}],
        "Publisher": {"Type": "ipfs"},
    }
