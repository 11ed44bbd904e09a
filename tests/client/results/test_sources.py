"""Results by where they were published: buckets and IPFS, with what a person's own configuration gives access to."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.client.results.sources import open_sources
from bacalhau_jupyter.client.results.tree import ResultTree
from bacalhau_jupyter.config.endpoint import Endpoint
from bacalhau_jupyter.models.errors import BacalhauError, NotFound
from bacalhau_jupyter.models.jobs.spec import SpecConfig
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.plugins.publisher import PublishRequest
from bacalhau_jupyter.transfer.archive.keeping import pack_result
from bacalhau_jupyter.transfer.archive.packing import pack_into
from bacalhau_jupyter.transfer.archive.reader import ArchiveReader
from tests.services.kubo import KuboNode, kubo
from tests.services.s3 import S3Server, s3_credentials, s3_server
from tests.transfer.helpers import tree

__all__ = ["kubo", "s3_credentials", "s3_server"]

CLUSTER = Endpoint("http://127.0.0.1:1")
IDS = ["e-00000000-0000-0000-0000-000000000001", "e-11111111-0000-0000-0000-000000000002"]


def results(root: Path, number: int) -> Path:
    directory = root / str(number)
    (directory / "outputs").mkdir(parents=True)
    (directory / "stdout").write_text(f"part {number}\n")
    (directory / f"outputs/{number}.csv").write_text(f"n\n{number}\n")
    return directory


@pytest.mark.parametrize("kind", ["s3", "s3PreSigned", "plain"])
async def test_the_checksum_of_a_publisher_is_compared(kind: str) -> None:
    spec_params = {"Bucket": "b", "Key": "k.tar.gz", "ChecksumSHA256": "abc="}
    url = {"PreSignedURL": "http://127.0.0.1:1/k.tar.gz", "SourceSpec": spec_params}
    references: dict[str, dict[str, Any]] = {
        "s3": spec_params,
        "s3PreSigned": url,
        "plain": {"URL": "http://127.0.0.1:1/k.tar.gz"},
    }
    params = references[kind]
    kind = "urlDownload" if kind == "plain" else kind

    async def again() -> Sequence[SpecConfig]:
        return []

    (source,) = open_sources([SpecConfig(type=kind, params=params)], [], CLUSTER, again)
    assert isinstance(source.reader, ArchiveReader)
    assert source.reader.sha256 == ("" if kind == "urlDownload" else "abc=")
    await source.reader.close()


@pytest.mark.parametrize("name", ["private.tar.gz", "e-22222222-0000-0000-0000-000000000003.tar.gz"])
@pytest.mark.parametrize("param", ["File", "file"])
async def test_a_cluster_can_not_let_its_reader_open_another_file_of_his_disk(
    tmp_path: Path, name: str, param: str
) -> None:
    private = tmp_path / name
    pack_result(PublishRequest(Execution(id=IDS[0]), results(tmp_path, 1)).gathering("test"), private)
    own = tmp_path / f"{IDS[0]}.tar.gz"
    own.hardlink_to(private)
    url = f"http://127.0.0.1:1/api/v1/compute/results/{IDS[0]}.tar.gz"
    hostile = SpecConfig(type="urlDownload", params={"URL": url, param: str(private)})
    hostile_tree = opened([hostile])
    with pytest.raises(BacalhauError):
        # It is asked for at the cluster, where nobody listens here.
        await hostile_tree.entries()
    await hostile_tree.close()
    # The control: with the name of the execution's archive it would have been read.
    open_tree = opened([SpecConfig(type="urlDownload", params={"URL": url, param: str(own)})])
    assert await open_tree.entries()
    await open_tree.close()


async def test_a_cluster_on_another_machine_names_no_file_of_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / f"{IDS[0]}.tar.gz"
    pack_result(PublishRequest(Execution(id=IDS[0]), results(tmp_path, 1)).gathering("test"), own)
    spec = SpecConfig(type="urlDownload", params={"URL": "http://192.0.2.1:1/x.tar.gz", "File": str(own)})

    async def again() -> Sequence[SpecConfig]:
        return []

    def asked(*_: object, **__: object) -> None:
        raise ConnectionError("it was asked for over HTTP")

    monkeypatch.setattr("bacalhau_jupyter.transfer.archive.http.HttpRanges", asked)
    executions = [Execution(id=name) for name in IDS]
    with pytest.raises(ConnectionError):
        open_sources([spec], executions, Endpoint("http://192.0.2.1:1"), again)
    # The control: a cluster on this machine may name it.
    (near,) = open_sources([spec], executions, CLUSTER, again)
    await near.reader.close()


def opened(specs: Sequence[SpecConfig]) -> ResultTree:
    async def again() -> Sequence[SpecConfig]:
        return specs

    executions = [Execution(id=name) for name in IDS]
    return ResultTree(open_sources(specs, executions, CLUSTER, again), "j-1")


async def check(results: ResultTree, place: Path) -> None:
    """Look at two merged results in every way."""
    assert [entry.path for entry in await results.entries()] == [
        "outputs",
        "outputs/0.csv",
        "outputs/1.csv",
        "stdout",
    ]
    _, parts = await results.find("stdout")
    assert b"".join([chunk async for chunk in results.read(parts)]) == b"part 0\npart 1\n"
    assert b"".join([chunk async for chunk in results.read(parts, 3, 10)]) == b"t 0\npar"
    _, parts = await results.find("1.csv")
    assert b"".join([chunk async for chunk in results.read(parts, 2)]) == b"1\n"
    (place / "part").mkdir()
    await results.save(place / "part", "outputs/1.csv")
    assert (place / "part/outputs/1.csv").read_text() == "n\n1\n"
    (place / "all").mkdir()
    await results.save(place / "all")
    assert (place / "all/stdout").read_text() == "part 0\npart 1\n"
    assert sorted(tree(place / "all")) == ["outputs", "outputs/0.csv", "outputs/1.csv", "stdout"]
    with pytest.raises(NotFound, match="hold no nope") as caught:
        await results.find("nope")
    assert caught.value.hint == "there is: outputs/0.csv, outputs/1.csv, stdout"
    await results.close()


@pytest.mark.parametrize("encoding", ["gzip", "plain"])
async def test_s3_results_without_a_signed_link_are_read_with_the_callers_own_credentials(
    tmp_path: Path, s3_credentials: S3Server, encoding: str
) -> None:
    bucket, client = s3_credentials.bucket(), s3_credentials.client()
    specs = []
    for number, name in enumerate(IDS):
        directory = results(tmp_path, number)
        key = f"out/{name}.tar.gz" if encoding == "gzip" else f"out/{name}/"
        if encoding == "gzip":
            packed = io.BytesIO()
            pack_into(directory, packed)
            client.put_object(Bucket=bucket, Key=key, Body=packed.getvalue())
        else:
            for path in ("stdout", f"outputs/{number}.csv"):
                client.put_object(Bucket=bucket, Key=key + path, Body=(directory / path).read_bytes())
        place = {"Bucket": bucket, "Key": key, "Endpoint": s3_credentials.url, "Region": "us-east-1"}
        specs.append(SpecConfig(type="s3", params=place))
    client.close()
    result_tree = opened(specs)
    assert [source.label for source in result_tree.sources] == ["e-00000000", "e-11111111"]
    (tmp_path / "raw").mkdir()
    await result_tree.save_raw(tmp_path / "raw")
    names = [f"out_{name}.tar.gz" if encoding == "gzip" else f"out_{name}_" for name in IDS]
    assert sorted(path.name for path in (tmp_path / "raw/raw").iterdir()) == names
    await check(result_tree, tmp_path)


async def test_results_in_ipfs_are_read_through_the_configured_node(
    tmp_path: Path, kubo: KuboNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BACALHAU_DIR", str(tmp_path / "repo"))
    monkeypatch.setenv("BACALHAU_RESULTDOWNLOADERS_TYPES_IPFS_ENDPOINT", kubo.endpoint)
    specs = [
        SpecConfig(type="ipfs", params={"CID": kubo.add(results(tmp_path, number))}) for number in (0, 1)
    ]
    result_tree = opened(specs)
    assert [source.label for source in result_tree.sources] == ["result-0", "result-1"]
    await check(result_tree, tmp_path)


async def test_two_links_to_one_file_are_one_result(tmp_path: Path) -> None:
    url = "http://127.0.0.1:9/x.tar.gz?signature="
    specs = [SpecConfig(type="urlDownload", params={"URL": url + text}) for text in "ab"]
    assert [source.raw_name for source in opened(specs).sources] == ["127.0.0.1_9_x.tar.gz"]
