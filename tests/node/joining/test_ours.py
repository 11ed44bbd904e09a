"""A node that only runs jobs, under an orchestrator of ours in another process."""

from __future__ import annotations

import json
import tarfile
import urllib.error
import urllib.request
from io import BytesIO
from typing import Any
from uuid import uuid4

import pytest

from tests.node.joining.official_jobs import answer_of, live
from tests.services.common import wait_until
from tests.services.cuttable import CuttableLink
from tests.services.node import ServedNode
from tests.services.node_fixtures import NodeFactory
from tests.services.ports import free_port

TIMEOUT_S = 90.0
ADDRESSES = "Compute.AllowListedAddresses"
COMPLETED = 9
"""The state of an execution on the wire."""
TOKEN = "a token that nobody prints"
ORCHESTRATOR = ("-c", "Orchestrator.Port=0")


def runner(
    node_factory: NodeFactory, address: str, options: tuple[str, ...] = (), **arguments: Any
) -> ServedNode:
    options += ("-c", f"Compute.Orchestrators={address}", "-c", "Compute.Heartbeat.Interval=2s")
    return node_factory(
        *options, name="runner", roles=["--compute"], env={"BACALHAU_COMPUTE_AUTH_TOKEN": TOKEN}, **arguments
    )


def placer(node_factory: NodeFactory, *options: str, **arguments: Any) -> ServedNode:
    return node_factory(
        *ORCHESTRATOR,
        *options,
        name="placer",
        roles=["--orchestrator"],
        env={"BACALHAU_ORCHESTRATOR_AUTH_TOKEN": TOKEN},
        **arguments,
    )


def address_of(node: ServedNode) -> str:
    return str(answer_of(node, "/api/v1/cluster")[1]["Address"])


def submitted(node: ServedNode, publisher: str = "local", url: str = "", **params: object) -> str:
    engine = {"Type": "noop", "Params": params}
    task: dict[str, object] = {"Name": "main", "Engine": engine, "Publisher": {"Type": publisher}}
    if url:
        task["InputSources"] = [
            {"Source": {"Type": "urlDownload", "Params": {"URL": url}}, "Target": "/inputs"}
        ]
    job = {"Name": f"far-{uuid4()}", "Type": "batch", "Count": 1, "Tasks": [task]}
    request = urllib.request.Request(
        f"{node.url}/api/v1/orchestrator/jobs",
        data=json.dumps({"Job": job}).encode(),
        headers={"Content-Type": "application/json"},
        method="PUT",
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        return str(json.load(answer)["JobID"])


def state(node: ServedNode, job: str) -> str:
    return str(answer_of(node, f"/api/v1/orchestrator/jobs/{job}")[1]["Job"]["State"]["StateType"])


def wait_for(node: ServedNode, job: str, expected: str) -> None:
    assert wait_until(lambda: state(node, job) in (expected, "Failed"), timeout_s=TIMEOUT_S)
    assert state(node, job) == expected


def stdout_of(packed: bytes) -> bytes:
    with tarfile.open(fileobj=BytesIO(packed)) as archive:
        (name,) = (each for each in archive.getnames() if each.endswith("stdout"))
        stdout = archive.extractfile(name)
        assert stdout is not None
        return stdout.read()


def test_a_job_runs_on_the_other_node_whose_results_any_client_fetches_there(
    node_factory: NodeFactory,
) -> None:
    orchestrator = placer(node_factory)
    node = runner(node_factory, address_of(orchestrator))
    job = submitted(orchestrator, Stdout="from afar\n")
    wait_for(orchestrator, job, "Completed")
    _, results = answer_of(orchestrator, f"/api/v1/orchestrator/jobs/{job}/results")
    (result,) = results["Items"]
    assert result["Params"]["URL"].startswith(f"{node.url}/")
    with urllib.request.urlopen(result["Params"]["URL"], timeout=TIMEOUT_S) as answer:
        assert stdout_of(answer.read()) == b"from afar\n"
    # The orchestrator reads single files there, as the panel asks for them.
    files = f"/api/v1/orchestrator/jobs/{job}/results/files"
    _, listed = answer_of(orchestrator, files)
    (listing,) = listed["Results"]
    assert "stdout" in [each["Path"] for each in listing["Files"]], listing
    with urllib.request.urlopen(
        f"{orchestrator.url}{files}/{listing['ExecutionID']}/stdout", timeout=TIMEOUT_S
    ) as answer:
        assert answer.read() == b"from afar\n"
    assert TOKEN not in node.output.read_text() + orchestrator.output.read_text()


def test_a_result_is_sent_to_an_orchestrator_without_a_bucket_and_read_there(
    node_factory: NodeFactory,
) -> None:
    orchestrator = placer(node_factory)
    # Both are on one machine, which jobs may not name; but the links of another node are no service of it.
    node = runner(node_factory, address_of(orchestrator), options=("-c", f"{ADDRESSES}=192.0.2.1"))
    job = submitted(orchestrator, "s3managed", Stdout="sent\n")
    wait_for(orchestrator, job, "Completed")
    _, results = answer_of(orchestrator, f"/api/v1/orchestrator/jobs/{job}/results")
    (result,) = results["Items"]
    assert result["Params"]["URL"].startswith(f"{orchestrator.url}/")
    wait_for(orchestrator, submitted(orchestrator, url=result["Params"]["URL"]), "Completed")
    changed = result["Params"]["URL"][:-1] + "!"
    wait_for(orchestrator, submitted(orchestrator, url=changed), "Failed")
    # The node is not needed for it any more.
    node.stop()
    with urllib.request.urlopen(result["Params"]["URL"], timeout=TIMEOUT_S) as answer:
        assert stdout_of(answer.read()) == b"sent\n"
    # Single files of the result are read there, too.
    _, listed = answer_of(orchestrator, f"/api/v1/orchestrator/jobs/{job}/results/files")
    (listing,) = listed["Results"]
    assert "stdout" in [each["Path"] for each in listing["Files"]], listing


def test_a_job_whose_results_could_be_sent_nowhere_is_refused_at_once(node_factory: NodeFactory) -> None:
    orchestrator = placer(node_factory, "-c", "Orchestrator.Host=0.0.0.0")
    with pytest.raises(urllib.error.HTTPError) as caught:
        submitted(orchestrator, "s3managed")
    refusal = json.loads(caught.value.read())
    caught.value.close()
    assert "no address is advertised at which other machines reach it" in refusal["Message"]
    assert "API.AdvertisedAddress" in refusal["Hint"]
    submitted(orchestrator, "local")


def test_a_node_on_the_machine_of_a_cluster_for_others_sends_its_results_without_an_address(
    node_factory: NodeFactory,
) -> None:
    orchestrator = placer(node_factory, "-c", "Orchestrator.Host=0.0.0.0")
    port = address_of(orchestrator).rpartition(":")[2]
    runner(node_factory, f"nats://127.0.0.1:{port}")
    joined = wait_until(
        lambda: answer_of(orchestrator, "/api/v1/cluster")[1]["Nodes"] == 1, timeout_s=TIMEOUT_S
    )
    assert joined
    job = submitted(orchestrator, "s3managed", Stdout="sent\n")
    wait_for(orchestrator, job, "Completed")
    _, results = answer_of(orchestrator, f"/api/v1/orchestrator/jobs/{job}/results")
    with urllib.request.urlopen(results["Items"][0]["Params"]["URL"], timeout=TIMEOUT_S) as answer:
        assert stdout_of(answer.read()) == b"sent\n"


def test_what_ends_while_the_orchestrator_is_dead_counts_once_when_it_is_back(
    node_factory: NodeFactory,
) -> None:
    # Nobody takes the port while nobody listens there.
    port = ("-c", f"Orchestrator.Port={free_port()}")
    orchestrator = placer(node_factory, *port)
    node = runner(node_factory, address_of(orchestrator))
    job = submitted(orchestrator, Sleep=15)
    wait_for(orchestrator, job, "Running")
    assert wait_until(lambda: bool(live(node)), timeout_s=TIMEOUT_S)
    orchestrator.kill()
    assert wait_until(lambda: not live(node), timeout_s=TIMEOUT_S)
    orchestrator = placer(node_factory, *port, data_dir=orchestrator.repo.path)
    wait_for(orchestrator, job, "Completed")
    _, executions = answer_of(orchestrator, f"/api/v1/orchestrator/jobs/{job}/executions")
    assert len(executions["Items"]) == 1


def connection(node: ServedNode, node_id: str) -> str:
    _, known = answer_of(node, f"/api/v1/orchestrator/nodes/{node_id}")
    return str(known["Node"]["Connection"])


def test_a_result_that_arrives_after_its_node_was_given_up_counts_and_nothing_runs_again(
    node_factory: NodeFactory,
) -> None:
    orchestrator = placer(node_factory, "-c", "Orchestrator.NodeManager.DisconnectTimeout=8s")
    with CuttableLink(int(address_of(orchestrator).rpartition(":")[2])) as link:
        node = runner(node_factory, link.url)
        job = submitted(orchestrator, Sleep=12)
        wait_for(orchestrator, job, "Running")
        assert wait_until(lambda: bool(live(node)), timeout_s=TIMEOUT_S)
        link.cut()
        name = node.repo.node_name()
        assert wait_until(lambda: connection(orchestrator, name) == "DISCONNECTED", timeout_s=TIMEOUT_S)
        assert wait_until(lambda: not live(node), timeout_s=TIMEOUT_S)
        link.restore()
        wait_for(orchestrator, job, "Completed")
    _, executions = answer_of(orchestrator, f"/api/v1/orchestrator/jobs/{job}/executions")
    assert [each["ComputeState"]["StateType"] for each in executions["Items"]].count(COMPLETED) == 1
