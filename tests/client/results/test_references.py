"""Results as inputs of the next job, on a real node with real buckets."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bacalhau_jupyter import Client
from bacalhau_jupyter.client.inputs.inline import INLINE_LIMIT
from bacalhau_jupyter.client.jobs.build import process
from bacalhau_jupyter.client.jobs.job_inputs import resolve_input
from bacalhau_jupyter.client.results.result import JobResult
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest, NotFound
from bacalhau_jupyter.models.jobs.spec import SpecConfig, replace
from tests.services.kubo import KuboNode
from tests.services.node import ServedNode, start_node
from tests.services.s3 import S3Server

WRITE = "mkdir outputs/d; printf 'a,b\\n1,2\\n' > outputs/t.csv; printf deep > outputs/d/x.txt; echo said"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, s3_server: S3Server) -> Iterator[ServedNode]:
    started = start_node(tmp_path_factory.mktemp("references") / "repo", env=s3_server.environment())
    yield started
    started.stop()


@pytest.fixture
def client(served: ServedNode, s3_credentials: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    for name in list(os.environ):
        if name.startswith("BACALHAU_") and name not in s3_credentials.environment():
            monkeypatch.delenv(name)
    with Client(data_dir=str(served.repo.path)) as made:
        yield made


def bucket(server: S3Server, key: str, *options: str) -> str:
    return f"s3://{server.bucket()}/{key},opt=endpoint={server.url},opt=region=us-east-1" + "".join(
        f",opt={option}" for option in options
    )


def ran(client: Client, command: str, **options: object) -> JobResult:
    return client.submit(process(command, **options)).result()  # type: ignore[arg-type]


def test_a_result_of_plain_s3_files_is_passed_by_reference(client: Client, s3_credentials: S3Server) -> None:
    first = ran(client, WRITE, publisher=bucket(s3_credentials, "{jobID}", "encoding=plain"))
    (whole,) = first.as_inputs()
    assert (whole.source.type, whole.target) == ("s3", "/inputs")
    assert whole.source.params["Key"] == f"{first.job.id}/"
    second = ran(client, "cat inputs/outputs/t.csv inputs/outputs/d/x.txt inputs/stdout", inputs=[first])
    assert second.stdout == "a,b\n1,2\ndeepsaid\n"
    third = ran(client, "cat inputs/t.csv; cat inputs/d/x.txt", inputs=[first["outputs/"]])
    assert third.stdout == "a,b\n1,2\ndeep"
    fourth = ran(
        client,
        "cat inputs/x.txt /more/t.csv",
        inputs=[first["outputs/d"], first["outputs/t.csv"].to("/more")],
    )
    assert fourth.stdout == "deepa,b\n1,2\n"


@pytest.mark.parametrize("kind", ["local", "s3"])
def test_an_archive_arrives_as_files_where_it_is_small(
    client: Client, s3_credentials: S3Server, kind: str
) -> None:
    publisher = "local" if kind == "local" else bucket(s3_credentials, "{jobID}.tar.gz")
    first = ran(client, WRITE, publisher=publisher)
    second = ran(client, "cat inputs/outputs/t.csv inputs/stdout", inputs=[first])
    assert second.stdout == "a,b\n1,2\nsaid\n"
    third = ran(
        client,
        "cat inputs/t.csv; cat inputs/y/x.txt",
        inputs=[first["outputs/t.csv"], first["outputs/d"].to("/inputs/y")],
    )
    assert third.stdout == "a,b\n1,2\ndeep"
    unpacked = ran(client, "tar xzf inputs/*.tar.gz -O outputs/d/x.txt", inputs=[first.archive])
    assert unpacked.stdout == "deep"


def test_an_archive_that_is_too_large_for_a_cluster_that_unpacks_none_says_what_would_work(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(JobResult, "features", ())
    first = ran(
        client, f"head -c {INLINE_LIMIT + 1_000_000} /dev/urandom > outputs/big.bin; echo x > outputs/small"
    )
    with pytest.raises(BadRequest, match="this cluster unpacks none") as caught:
        first.as_inputs()
    assert "opt=encoding=plain" in caught.value.hint
    assert "-p ipfs" in caught.value.hint
    assert ran(client, "cat inputs/small", inputs=[first["outputs/small"]]).stdout == "x\n"
    sizes = ran(client, "tar tzf inputs/*.tar.gz | grep -c big.bin", inputs=[first.archive])
    assert sizes.stdout == "1\n"


def test_what_is_too_large_to_travel_is_never_fetched(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Zeros would fit packed; a file alone travels as it is.
    first = ran(client, "truncate -s 7M outputs/zeros; truncate -s 30M outputs/more")

    def fetched(*_: object) -> bytes:
        raise AssertionError("something was fetched")

    monkeypatch.setattr(JobResult, "bytes", fetched)
    monkeypatch.setattr(JobResult, "features", ())
    for part in (first["outputs/zeros"], first["outputs/more"], first["outputs"], first):
        with pytest.raises(BadRequest, match=r"bytes in an archive; .* a job carries 6,291,456") as raised:
            part.as_inputs()
        assert "result.archive" in (raised.value.hint or "")


def test_each_execution_has_a_directory_of_its_own(client: Client, s3_credentials: S3Server) -> None:
    first = ran(
        client,
        "echo part $BACALHAU_PARTITION_INDEX > outputs/p.txt",
        count=2,
        publisher=bucket(s3_credentials, "{jobID}/{executionID}", "encoding=plain"),
    )
    second = ran(client, "cat inputs/0/p.txt inputs/1/p.txt", inputs=[first["outputs/"]])
    assert second.stdout == "part 0\npart 1\n"
    third = ran(client, "cat inputs/0/p.txt inputs/1/p.txt", inputs=[first["outputs/p.txt"]])
    assert third.stdout == "part 0\npart 1\n"
    local = ran(client, "echo part $BACALHAU_PARTITION_INDEX > outputs/p.txt", count=2)
    fourth = ran(client, "cat inputs/0/outputs/p.txt inputs/1/outputs/p.txt", inputs=[local])
    assert fourth.stdout == "part 0\npart 1\n"


def test_the_command_line_names_a_job(client: Client, s3_credentials: S3Server) -> None:
    first = ran(client, WRITE)
    job = first.job.id
    assert resolve_input("s3://b/k", lambda: client) == ["s3://b/k"]
    (source,) = resolve_input(f"job:{job[:12]}/outputs/t.csv:/data", lambda: client)
    assert not isinstance(source, str)
    assert (source.source.type, source.target) == ("inline", "/data/t.csv")
    (source,) = resolve_input(f"src=job:{job},dst=/d,opt=archive=true", lambda: client)
    assert not isinstance(source, str)
    assert (source.source.type, source.target) == ("urlDownload", "/d")
    with pytest.raises(NotFound, match=r"hold no outputs/no.csv") as caught:
        resolve_input(f"job:{job}/outputs/no.csv", lambda: client)
    assert "outputs/t.csv" in caught.value.hint
    for text, sentence in (
        ("job:", "names no job"),
        (f"job:{job},opt=region=eu", "job has no option 'region'"),
        ("job:j-nothing", "j-nothing"),
    ):
        with pytest.raises(BacalhauError, match=sentence):
            resolve_input(text, lambda: client)
    running = client.submit(process("sleep 60"))
    with pytest.raises(BacalhauError, match="can't be an input yet"):
        resolve_input(f"job:{running.id}", lambda: client)
    running.stop()


def test_ipfs_results_are_passed_by_cid(client: Client) -> None:
    first = ran(client, WRITE)
    place = SpecConfig(type="ipfs", params={"CID": "QmX"})
    first.executions[:] = [replace(first.executions[0], published_result=place)]
    inputs = [
        *first.as_inputs(),
        *first["outputs/d/"].to("/d").as_inputs(),
        *first["outputs/t.csv"].as_inputs(),
    ]
    assert [(item.source.params["CID"], item.target) for item in inputs] == [
        ("QmX", "/inputs"),
        ("QmX/outputs/d", "/d"),
        ("QmX/outputs/t.csv", "/inputs/t.csv"),
    ]


def test_a_result_is_not_a_sequence_and_needs_absolute_targets(client: Client, tmp_path: Path) -> None:
    first = ran(client, "true", publisher=SpecConfig(type="noop"))
    with pytest.raises(TypeError, match="not a sequence"):
        list(first)
    with pytest.raises(BadRequest, match="absolute path"):
        first.to("data")
    with pytest.raises(BadRequest, match="published no result"):
        first.as_inputs()


def test_an_ipfs_result_is_the_next_jobs_input(
    tmp_path: Path, kubo: KuboNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(os.environ):
        if name.startswith("BACALHAU_"):
            monkeypatch.delenv(name)
    started = start_node(tmp_path / "repo", "--ipfs-connect", kubo.endpoint)
    try:
        with Client(data_dir=str(started.repo.path)) as client:
            first = ran(client, WRITE, publisher="ipfs")
            # This client can't look into IPFS: a slash says that it is a directory.
            inputs = [first["outputs/d/"].to("/d"), first["outputs/t.csv"]]
            assert ran(client, "cat /d/x.txt inputs/t.csv", inputs=inputs).stdout == "deepa,b\n1,2\n"
            monkeypatch.setenv("BACALHAU_RESULTDOWNLOADERS_TYPES_IPFS_ENDPOINT", kubo.endpoint)
            again = client.job(first.job.id).result()
            assert ran(client, "cat inputs/x.txt", inputs=[again["outputs/d"]]).stdout == "deep"
            assert ran(client, "cat inputs/outputs/t.csv", inputs=[again]).stdout == "a,b\n1,2\n"
    finally:
        started.stop()
