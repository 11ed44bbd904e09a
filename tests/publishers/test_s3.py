"""Results in a real S3 server: by the publisher alone, and through a whole node from input to `job get`."""

from __future__ import annotations

import datetime
import io
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.models.errors import BacalhauError, IOFailure
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.spec import ResultPath, SpecConfig, Task
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.models.records.progress import Reading
from bacalhau_jupyter.models.records.published import published_key
from bacalhau_jupyter.plugins.options import PluginOptions
from bacalhau_jupyter.plugins.publisher import PublishRequest
from bacalhau_jupyter.publishers.s3 import S3Publisher
from bacalhau_jupyter.transfer.archive.tar_gz import unpack_blocking
from bacalhau_jupyter.transfer.s3.links.presign import S3Presigner
from bacalhau_jupyter.transfer.s3.writing import upload as s3_upload
from tests.clock import ManualClock
from tests.services.common import wait_until
from tests.services.node import ROOT, ServedNode
from tests.services.node_fixtures import node_factory
from tests.services.s3 import TRUSTED, S3Server, cutting_proxy
from tests.transfer.helpers import tree

__all__ = ["node_factory"]

NOON = datetime.datetime(2026, 11, 21, 12, 34, 56)


def results(root: Path) -> Path:
    directory = root / "results"
    (directory / "outputs/deep").mkdir(parents=True)
    (directory / "stdout").write_bytes(b"hi\n")
    (directory / "exitCode").write_text("0")
    (directory / "outputs/deep/a b é.txt").write_bytes(b"data")
    return directory


def request(directory: Path, params: dict[str, Any]) -> PublishRequest:
    task = Task(
        publisher=SpecConfig(type="s3", params=params),
        result_paths=[ResultPath(name="outputs", path="/outputs")],
    )
    return PublishRequest(Execution(id="e-1", job_id="j-1", job=Job(count=1, tasks=[task])), directory)


@pytest.fixture
def publisher(tmp_path: Path, s3_credentials: S3Server) -> S3Publisher:
    clock = ManualClock(int(NOON.timestamp()) * 10**9)
    settings = {"S3.TrustedEndpoints": TRUSTED}
    return S3Publisher(PluginOptions(node_id="n-1", data_dir=tmp_path, clock=clock, settings=settings.get))


def at(server: S3Server, bucket: str, key: str, **more: str) -> dict[str, Any]:
    return {"bucket": bucket, "key": key, "endpoint": server.url, "region": "us-east-1", **more}


def stored(server: S3Server, bucket: str) -> dict[str, bytes]:
    """Return what a bucket holds, and see that no upload was left open."""
    client = server.client()
    try:
        assert not client.list_multipart_uploads(Bucket=bucket).get("Uploads")
        listed = client.list_objects_v2(Bucket=bucket).get("Contents", [])
        return {
            item["Key"]: client.get_object(Bucket=bucket, Key=item["Key"])["Body"].read() for item in listed
        }
    finally:
        client.close()


@pytest.mark.parametrize(
    ("key", "archive", "expected"),
    [
        ("out", True, "out.tar.gz"),
        ("out.tar.gz", True, "out.tar.gz"),
        ("out/", True, "out/.tar.gz"),
        ("out", False, "out/"),
        ("out/", False, "out/"),
        ("{nodeID}/{jobID}/{executionID}", True, "n-1/j-1/e-1.tar.gz"),
        ("{date}-{time}/{other}", False, "20261121-123456/{other}/"),
    ],
)
def test_placeholders_and_endings_are_those_of_upstream(key: str, archive: bool, expected: str) -> None:
    execution = Execution(id="e-1", job_id="j-1")
    published = published_key(
        key, job_id=execution.job_id, execution_id=execution.id, node_id="n-1", now=NOON, archive=archive
    )
    assert published == expected


async def test_an_archive_is_uploaded_with_its_version(
    tmp_path: Path, publisher: S3Publisher, s3_server: S3Server
) -> None:
    bucket, directory = s3_server.bucket(versioned=True), results(tmp_path)
    (directory / "outputs/link").symlink_to("/outputs/deep")
    params = at(s3_server, bucket, "r/{date}/{time}/{executionID}")
    assert (await publisher.bid(Execution(), SpecConfig(type="s3", params=params))).accepted
    reference = await publisher.publish(request(directory, params))
    key = "r/20261121/123456/e-1.tar.gz"
    version = reference.params["VersionID"]
    assert reference == SpecConfig(
        type="s3",
        params={
            "Bucket": bucket,
            "Key": key,
            "Region": "us-east-1",
            "Endpoint": s3_server.url,
            "VersionID": version,
        },
    )
    client = s3_server.client()
    assert client.head_object(Bucket=bucket, Key=key)["VersionId"] == version
    client.close()
    unpack_blocking(io.BytesIO(stored(s3_server, bucket)[key]), tmp_path / "out")
    files = tree(tmp_path / "out")
    assert files["outputs/deep/a b é.txt"][1] == b"data"
    assert files["outputs/link"] == ("link", "deep", 0)


async def test_a_stream_of_many_parts_is_whole_and_has_a_checksum_on_aws(
    tmp_path: Path, publisher: S3Publisher, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without an endpoint in the job the publisher asks for a checksum, as it would of AWS.
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_server.url)
    bucket, directory = s3_server.bucket(), results(tmp_path)
    data = os.urandom(1 << 20) * 21
    (directory / "outputs/big").write_bytes(data)
    reference = await publisher.publish(request(directory, {"Bucket": bucket, "Key": "big"}))
    assert reference.params["ChecksumSHA256"].endswith("-3")
    assert "Endpoint" not in reference.params
    unpack_blocking(io.BytesIO(stored(s3_server, bucket)["big.tar.gz"]), tmp_path / "out")
    assert (tmp_path / "out/outputs/big").read_bytes() == data


async def test_plain_results_are_files_below_the_key(
    tmp_path: Path, publisher: S3Publisher, s3_server: S3Server
) -> None:
    bucket, directory = s3_server.bucket(versioned=True), results(tmp_path)
    (directory / "outputs/link").symlink_to("deep/a b é.txt")
    params = at(s3_server, bucket, "r/{jobID}", ENCODING="plain")
    reference = await publisher.publish(request(directory, params))
    assert reference.params == {
        "Bucket": bucket,
        "Key": "r/j-1/",
        "Region": "us-east-1",
        "Endpoint": s3_server.url,
    }
    assert stored(s3_server, bucket) == {
        "r/j-1/stdout": b"hi\n",
        "r/j-1/exitCode": b"0",
        "r/j-1/outputs/deep/a b é.txt": b"data",
        "r/j-1/outputs/link": b"data",
    }


async def test_names_that_no_key_can_have_are_escaped_each_to_another_one(
    tmp_path: Path, publisher: S3Publisher, s3_server: S3Server
) -> None:
    bucket, directory = s3_server.bucket(), results(tmp_path)
    for name in (b"caf\xe9", b"caf%E9", b"a%20b", b"x" * 250):
        (directory / "outputs" / os.fsdecode(name)).write_bytes(name)
    deep = directory / "outputs" / "/".join(["d" * 200] * 6)
    deep.mkdir(parents=True)
    (deep / "f").write_text("too long for a key")
    asked = request(directory, at(s3_server, bucket, "r", Encoding="plain"))
    await publisher.publish(asked)
    objects = stored(s3_server, bucket)
    assert objects["r/outputs/caf%E9"] == b"caf\xe9"
    assert objects["r/outputs/caf%25E9"] == b"caf%E9"
    assert objects["r/outputs/a%20b"] == b"a%20b"
    assert {left.reason for left in asked.left_out} == {"its name is longer than 1022 bytes"}


@pytest.mark.parametrize("encoding", ["gzip", "plain"])
async def test_bytes_and_files_are_reported_during_the_transfer(
    tmp_path: Path, publisher: S3Publisher, s3_server: S3Server, encoding: str
) -> None:
    bucket, directory = s3_server.bucket(), results(tmp_path)
    for number in range(20):
        (directory / f"outputs/{number}").write_bytes(b"x" * number)
    asked = request(directory, at(s3_server, bucket, "r", Encoding=encoding))
    reports: list[Reading] = []
    await publisher.publish(replace(asked, progress=reports.append))
    size = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    count = 23
    assert len(stored(s3_server, bucket)) == (1 if encoding == "gzip" else count)
    assert {(it.total, it.files_total) for it in reports} == {(size, count)}
    assert reports[-1] == Reading(reports[-1].phase, size, size, count, count)
    assert all(it.done <= size and (it.files or 0) <= count for it in reports)


async def test_a_cloud_that_rewrites_accept_encoding_takes_our_results(
    tmp_path: Path, publisher: S3Publisher, s3_server: S3Server
) -> None:
    # As Google's front ends do; more than one part, so that every kind of request is among them.
    bucket, directory = s3_server.bucket(), results(tmp_path)
    (directory / "outputs/big").write_bytes(os.urandom(1 << 20) * 9)
    change = (b"Accept-Encoding: identity", b"Accept-Encoding: gzip,gzip(gfe)")
    with cutting_proxy(s3_server, after=1 << 40, cuts=0, replace=change) as proxy:
        await publisher.publish(request(directory, at(s3_server, bucket, "r", endpoint=proxy.url)))
        assert any(change[0] in head for head in proxy.heads)
    assert stored(s3_server, bucket).keys() == {"r.tar.gz"}


@pytest.mark.parametrize("encoding", ["gzip", "plain"])
async def test_a_link_out_of_the_results_never_publishes_the_hosts_files(
    tmp_path: Path, publisher: S3Publisher, s3_server: S3Server, encoding: str
) -> None:
    bucket, directory = s3_server.bucket(), results(tmp_path)
    (tmp_path / "secret").write_bytes(b"secret")
    (directory / "outputs/steal").symlink_to(tmp_path / "secret")
    asked = request(directory, at(s3_server, bucket, "r", Encoding=encoding))
    await publisher.publish(asked)
    assert [left.name for left in asked.left_out] == ["outputs/steal"]
    files = stored(s3_server, bucket)
    if encoding == "gzip":
        unpack_blocking(io.BytesIO(files["r.tar.gz"]), tmp_path / "out")
        files = {name: str(entry[1]).encode() for name, entry in tree(tmp_path / "out").items()}
    assert not [name for name in files if "steal" in name]
    assert b"secret" not in b"".join(files.values())


async def test_a_failure_in_the_middle_leaves_nothing_under_the_key(
    tmp_path: Path, publisher: S3Publisher, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_upload, "PART_BYTES", 5 << 20)
    bucket, directory = s3_server.bucket(), results(tmp_path)
    (directory / "outputs/big").write_bytes(os.urandom(1 << 20) * 12)

    def failing(reading: Reading) -> None:
        # Two parts are sent by then.
        if reading.done > 11 << 20:
            raise IOFailure("the disk broke")

    with pytest.raises(BacalhauError, match="could not be published: the disk broke"):
        await publisher.publish(replace(request(directory, at(s3_server, bucket, "r")), progress=failing))
    assert stored(s3_server, bucket) == {}


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"Key": "k"}, "Bucket of the S3 spec is missing"),
        ({"Bucket": "b"}, "Key of the S3 publisher is missing"),
        ({"Bucket": "b", "Key": "/"}, "Key of the S3 publisher is missing"),
        ({"Bucket": "b", "Key": "k", "Encoding": "zip"}, "Encoding 'zip' is not gzip or plain"),
    ],
)
async def test_a_wrong_spec_is_refused_in_the_bid(
    publisher: S3Publisher, params: dict[str, str], reason: str
) -> None:
    answer = await publisher.bid(Execution(), SpecConfig(type="s3", params=params))
    assert not answer.accepted
    assert reason in answer.reason


async def test_a_node_without_credentials_does_not_bid(
    publisher: S3Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    answer = await publisher.bid(Execution(), SpecConfig(type="s3", params={"Bucket": "b", "Key": "k"}))
    assert answer.reason == "this node can't publish to S3: it has no AWS credentials"


async def test_the_documented_rights_suffice_and_fewer_do_not(
    tmp_path: Path, publisher: S3Publisher, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket, directory = s3_server.bucket(), results(tmp_path)
    s3_server.user("writer", "writer-secret")
    for name, value in s3_server.environment("writer", "writer-secret").items():
        monkeypatch.setenv(name, value)
    s3_server.grant(bucket, "writer", "s3:GetObject")
    with pytest.raises(BacalhauError, match="access is denied") as caught:
        await publisher.publish(request(directory, at(s3_server, bucket, "r")))
    assert "s3:PutObject" in caught.value.hint
    (directory / "outputs/big").write_bytes(os.urandom(1 << 20) * 9)
    s3_server.grant(bucket, "writer", "s3:PutObject", "s3:AbortMultipartUpload")
    await publisher.publish(request(directory, at(s3_server, bucket, "r")))
    assert stored(s3_server, bucket).keys() == {"r.tar.gz"}


def test_links_open_without_credentials_and_mean_the_published_version(
    s3_credentials: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = s3_credentials.bucket(versioned=True)
    client = s3_credentials.client()
    version = client.put_object(Bucket=bucket, Key="r.tar.gz", Body=b"mine")["VersionId"]
    client.put_object(Bucket=bucket, Key="r.tar.gz", Body=b"of somebody else")
    client.close()
    params = {"Bucket": bucket, "Key": "r.tar.gz", "Endpoint": s3_credentials.url, "VersionID": version}
    signed = S3Presigner(0.0).sign(SpecConfig(type="s3", params=params))
    assert signed.type == "s3PreSigned"
    assert signed.params["SourceSpec"] == params
    assert signed.params["Managed"] is False
    assert "X-Amz-Expires=900" in signed.params["PreSignedURL"]
    with urllib.request.urlopen(signed.params["PreSignedURL"], timeout=60) as answer:
        assert answer.read() == b"mine"
    plain = SpecConfig(type="s3", params={**params, "Key": "r/"})
    assert S3Presigner(0.0).sign(plain) == plain
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    unsigned = SpecConfig(type="s3", params=params)
    assert S3Presigner(0.0).sign(unsigned) == unsigned


@pytest.mark.parametrize("version", [False, True])
def test_links_open_with_the_documented_right_of_the_signer(
    s3_credentials: S3Server, monkeypatch: pytest.MonkeyPatch, version: bool
) -> None:
    bucket = s3_credentials.bucket(versioned=version)
    client = s3_credentials.client()
    version_id = client.put_object(Bucket=bucket, Key="r.tar.gz", Body=b"mine").get("VersionId", "")
    client.close()
    signer = f"signer-{version}".lower()
    s3_credentials.user(signer, "signer-secret")
    for name, value in s3_credentials.environment(signer, "signer-secret").items():
        monkeypatch.setenv(name, value)
    place = {"Bucket": bucket, "Key": "r.tar.gz", "Endpoint": s3_credentials.url}
    params = {**place, "VersionID": version_id} if version else place
    url = S3Presigner(60.0).sign(SpecConfig(type="s3", params=params)).params["PreSignedURL"]
    s3_credentials.grant(bucket, signer, "s3:PutObject")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(url, timeout=60)
    s3_credentials.grant(bucket, signer, "s3:GetObjectVersion" if version else "s3:GetObject")
    with urllib.request.urlopen(url, timeout=60) as answer:
        assert answer.read() == b"mine"


# ---- through a node


def call(node: ServedNode, method: str, path: str, body: object = None) -> Any:
    message = urllib.request.Request(
        node.url + path,
        method=method,
        data=json.dumps(body).encode() if body is not None else None,
        headers={"Authorization": f"Bearer {node.key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(message, timeout=60) as answer:
        return json.loads(answer.read())


def until_offered(node: ServedNode, kind: str, *members: str) -> None:
    """Wait until a node tells that it has a kind of publishers (``Publishers``) or inputs (``StorageSources``).

    On a busy machine a node starts before boto3 is loaded, or a service has answered, and tells of it later.
    """

    def is_offered() -> bool:
        (described,) = call(node, "GET", "/api/v1/orchestrator/nodes")["Nodes"]
        return all(kind in described["Info"]["ComputeNodeInfo"][member] for member in members)

    assert wait_until(is_offered, timeout_s=60), node.tail()


def run_job(node: ServedNode, task: dict[str, Any], count: int = 1) -> str:
    """Submit a job and wait until it has completed; return its ID."""
    spec = {"Name": "main", "Engine": {"Type": "process", "Params": task.pop("Engine")}, **task}
    body = {"Job": {"Type": "batch", "Count": count, "Tasks": [spec]}}
    job = str(call(node, "PUT", "/api/v1/orchestrator/jobs", body)["JobID"])
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        state = call(node, "GET", f"/api/v1/orchestrator/jobs/{job}")["Job"]["State"]
        if state["StateType"] == "Completed":
            return job
        if "does not support process" in state.get("Message", ""):
            pytest.skip(state["Message"])
        assert state["StateType"] in ("Pending", "Running", "Queued"), state
        time.sleep(0.05)
    raise AssertionError(f"the job did not end: {node.tail()}")


def get(node: ServedNode, job: str, directory: Path) -> subprocess.CompletedProcess[str]:
    directory.mkdir()
    return subprocess.run(
        [sys.executable, "-m", "bacalhau_jupyter", "job", "get", job, "--output-dir", str(directory)],
        cwd=ROOT,
        env={**os.environ, **node.client_env()},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_job_reads_its_share_of_a_bucket_and_publishes_to_it(
    tmp_path: Path, s3_server: S3Server, node_factory: Any
) -> None:
    bucket = s3_server.bucket({f"in/{number}.txt": f"{number}\n".encode() for number in range(6)})
    node = node_factory(env=s3_server.environment())
    until_offered(node, "s3", "Publishers", "StorageSources")
    place = {"Bucket": bucket, "Endpoint": s3_server.url, "Region": "us-east-1"}
    source = {**place, "Key": "in/*", "Partition": {"Type": "object"}}
    task = {
        "Engine": {
            "Command": [
                "/bin/sh",
                "-c",
                'cat "$BACALHAU_INPUTS"/*.txt | tee "$BACALHAU_OUTPUTS/$BACALHAU_PARTITION_INDEX"',
            ]
        },
        "InputSources": [{"Source": {"Type": "s3", "Params": source}, "Target": "/inputs"}],
        "ResultPaths": [{"Name": "outputs", "Path": "/outputs"}],
        "Publisher": {"Type": "s3", "Params": {**place, "Key": "out/{jobID}/{executionID}"}},
    }
    job = run_job(node, task, count=2)
    keys = [key for key in stored(s3_server, bucket) if key.startswith("out/")]
    assert len(keys) == 2
    assert all(key.startswith(f"out/{job}/") and key.endswith(".tar.gz") for key in keys)
    items = call(node, "GET", f"/api/v1/orchestrator/jobs/{job}/results")["Items"]
    assert [item["Type"] for item in items] == ["s3PreSigned", "s3PreSigned"]
    assert {item["Params"]["SourceSpec"]["Key"] for item in items} == set(keys)
    done = get(node, job, tmp_path / "got")
    assert done.returncode == 0, done.stderr
    # Each execution read its own share, all of them together everything.
    assert sorted((tmp_path / "got/stdout").read_text().split()) == list("012345")
    shares = [(tmp_path / "got/outputs" / index).read_text().split() for index in "01"]
    assert all(shares)
    assert sorted(shares[0] + shares[1]) == list("012345")


def test_results_that_are_not_signed_are_listed_with_their_place(
    tmp_path: Path, s3_server: S3Server, node_factory: Any
) -> None:
    bucket = s3_server.bucket()
    node = node_factory("-c", "Publishers.Types.S3.PreSignedURLDisabled=true", env=s3_server.environment())
    until_offered(node, "s3", "Publishers")
    params = {"Bucket": bucket, "Endpoint": s3_server.url, "Region": "us-east-1", "Key": "out"}
    job = run_job(node, {"Engine": {"Command": ["/bin/true"]}, "Publisher": {"Type": "s3", "Params": params}})
    (item,) = call(node, "GET", f"/api/v1/orchestrator/jobs/{job}/results")["Items"]
    assert (item["Type"], item["Params"]["Key"]) == ("s3", "out.tar.gz")
    done = get(node, job, tmp_path / "got")
    assert done.returncode != 0
    assert bucket in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
