"""Large results of the default publisher as inputs of the next job: by reference, also from another node."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bacalhau_jupyter import Client
from bacalhau_jupyter.client.jobs.build import docker, process
from bacalhau_jupyter.client.jobs.job_inputs import resolve_input
from bacalhau_jupyter.client.results.result import JobResult
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.records.uploads import ARCHIVE
from bacalhau_jupyter.transfer.archive.keeping import remove_result
from tests.services.node import ServedNode, start_node

BIG = 9_000_000
WRITE = f"mkdir outputs/d; head -c {BIG} /dev/urandom > outputs/d/big.bin; ln -s d/big.bin outputs/link.bin; echo hi"


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServedNode, ServedNode]]:
    top = tmp_path_factory.mktemp("linked")
    started = [start_node(top / name) for name in ("one", "two")]
    yield started[0], started[1]
    for node in started:
        node.stop()


@pytest.fixture
def client(nodes: tuple[ServedNode, ServedNode], monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    for name in [name for name in os.environ if name.startswith("BACALHAU_")]:
        monkeypatch.delenv(name)
    with Client(data_dir=str(nodes[0].repo.path)) as made:
        yield made


@pytest.fixture
def first(client: Client) -> JobResult:
    return client.submit(process(WRITE)).result()


def digest(result: JobResult, name: str = "outputs/d/big.bin") -> str:
    return hashlib.sha256(result.bytes(name)).hexdigest()


@pytest.mark.process
def test_a_directory_of_a_large_result_comes_as_files(client: Client, first: JobResult) -> None:
    (item,) = first["outputs"].as_inputs()
    assert item.source.type == ARCHIVE
    second = client.submit(
        process("sha256sum inputs/d/big.bin inputs/link.bin", inputs=[first["outputs"]])
    ).result()
    assert second.stdout.count(digest(first)) == 2


@pytest.mark.process
def test_a_large_file_of_a_result_comes_alone(client: Client, first: JobResult) -> None:
    job = process("sha256sum /data/big.bin", inputs=[first["outputs/d/big.bin"].to("/data")])
    assert digest(first) in client.submit(job).result().stdout


@pytest.mark.process
def test_the_short_form_names_a_file_of_a_large_result(client: Client, first: JobResult) -> None:
    inputs = resolve_input(f"job:{first.job.id}/outputs/d/big.bin", lambda: client)
    job = process("sha256sum inputs/big.bin", inputs=inputs)
    assert digest(first) in client.submit(job).result().stdout


@pytest.mark.process
def test_a_link_in_a_result_comes_as_the_file_that_it_means(client: Client) -> None:
    first = client.submit(process("head -c 200000 /dev/urandom > outputs/x; ln -s x outputs/l.bin")).result()
    job = process("sha256sum inputs/l.bin", inputs=[first["outputs/l.bin"]])
    assert digest(first, "outputs/x") in client.submit(job).result().stdout


@pytest.mark.docker
def test_a_large_result_comes_to_a_container(client: Client, first: JobResult, busybox_image: str) -> None:
    job = docker(busybox_image, "sha256sum /inputs/outputs/d/big.bin; cat /inputs/stdout", inputs=[first])
    printed = client.submit(job).result().stdout
    assert digest(first) in printed and "hi" in printed


@pytest.mark.process
def test_each_execution_of_a_large_result_has_a_directory(client: Client) -> None:
    command = (
        f"echo part $BACALHAU_PARTITION_INDEX > outputs/p; head -c {BIG} /dev/zero | tr '\\0' x > outputs/x"
    )
    first = client.submit(process(command, count=2)).result()
    job = process("cat inputs/0/p inputs/1/p; wc -c < inputs/1/x", inputs=[first["outputs"]])
    assert client.submit(job).result().stdout == f"part 0\npart 1\n{BIG}\n"


@pytest.mark.process
def test_values_that_a_cell_brought_back_do_not_come_along(client: Client) -> None:
    command = f"mkdir outputs/.bacalhau; head -c {BIG} /dev/zero | tee outputs/.bacalhau/df > outputs/x"
    first = client.submit(process(command)).result()
    job = process("ls -a inputs", inputs=[first["outputs"]])
    assert client.submit(job).result().stdout.split() == [".", "..", "x"]


@pytest.mark.process
def test_a_result_of_another_cluster_comes_through_its_signed_link(
    client: Client, nodes: tuple[ServedNode, ServedNode], first: JobResult
) -> None:
    with Client(nodes[1].url, api_key=nodes[1].key) as other:
        job = process("sha256sum inputs/d/big.bin", inputs=[first["outputs"]])
        assert digest(first) in other.submit(job).result().stdout


def test_the_link_of_a_submitted_job_lives_as_long_as_it_may_wait(client: Client, first: JobResult) -> None:
    job = client.submit(process("true", inputs=[first["outputs"]], queue_timeout=10 * 86400)).describe()
    (before,) = first["outputs"].as_inputs()
    (after,) = job.task.input_sources
    urls = [str(item.source.params["URL"]) for item in (before, after)]
    expires = [int(url.partition("expires=")[2].partition("&")[0].partition("-")[0]) for url in urls]
    assert expires[1] - expires[0] > 9 * 86400


def test_a_job_whose_result_was_removed_is_refused_with_what_became_of_it(
    client: Client, nodes: tuple[ServedNode, ServedNode]
) -> None:
    first = client.submit(process(WRITE)).result()
    job = client.submit(process("true", inputs=[first["outputs"]]))
    job.wait()
    for archive in Path(nodes[0].repo.path, "compute/results/local-publisher").glob("*.tar.gz"):
        if any(execution.id in archive.name for execution in first.executions):
            remove_result(archive)
    with pytest.raises(BacalhauError, match=r"there is no result .* on this node"):
        client.call(lambda api: api.rerun(job.id))


def test_on_the_nodes_machine_a_result_is_read_from_its_disk(
    client: Client, nodes: tuple[ServedNode, ServedNode], first: JobResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(*_: object, **__: object) -> None:
        raise AssertionError("it was asked for over HTTP")

    monkeypatch.setattr("bacalhau_jupyter.transfer.archive.http.HttpRanges", asked)
    assert len(first.bytes("outputs/d/big.bin")) == BIG


def test_a_result_that_is_removed_while_it_is_open_stays_readable(
    client: Client, nodes: tuple[ServedNode, ServedNode]
) -> None:
    first = client.submit(process(WRITE)).result()
    first.ls()
    for archive in Path(nodes[0].repo.path, "compute/results/local-publisher").glob("*.tar.gz"):
        if first.executions[0].id in archive.name:
            remove_result(archive)
    assert len(first.bytes("outputs/d/big.bin")) == BIG


def test_who_is_not_the_nodes_own_user_is_not_shown_where_results_lie(
    client: Client, nodes: tuple[ServedNode, ServedNode], first: JobResult
) -> None:
    import json
    import urllib.request

    def listed(**headers: str) -> dict[str, str]:
        url = f"{nodes[0].url}/api/v1/orchestrator/jobs/{first.job.id}/results?local=true"
        key = {"Authorization": f"Bearer {nodes[0].key}"}
        with urllib.request.urlopen(urllib.request.Request(url, headers={**key, **headers})) as answer:
            params: dict[str, str] = json.load(answer)["Items"][0]["Params"]
            return params

    assert "File" in listed()  # the control: this process is one of that user's
    assert "File" not in listed(**{"X-Forwarded-For": "10.0.0.1"})
