"""Inputs from a real S3 server."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.execution import Execution
from bacalhau_jupyter.models.job import Job
from bacalhau_jupyter.models.progress import Reading
from bacalhau_jupyter.models.spec import InputSource, SpecConfig
from bacalhau_jupyter.plugins.options import PluginOptions
from bacalhau_jupyter.plugins.source import FetchRequest
from bacalhau_jupyter.sources.s3 import S3Source
from bacalhau_jupyter.transfer.s3.pieces import PART_BYTES
from tests.services.common import in_ci
from tests.services.node import TEST_SERVERS
from tests.services.s3 import ACCESS_KEY, SECRET_KEY, TRUSTED, S3Server, cutting_proxy
from tests.transfer.helpers import small_disk

SET = {
    "set1/001.txt": b"1",
    "set1/002.txt": b"22",
    "set1/deep/003.csv": b"333",
    "set2/004.txt": b"4444",
    "set1/empty": b"",
}
BIG = os.urandom(1 << 20) * 70


class Source:
    """A source, and the calls that the compute node makes, in a directory of their own."""

    def __init__(self, root: Path, **settings: Any) -> None:
        keys = {f"InputSources.{name}": value for name, value in settings.items()}
        keys |= {"S3.TrustedEndpoints": TRUSTED, "Compute.AllowListedAddresses": TEST_SERVERS}
        self.plugin = S3Source(PluginOptions(node_id="n-1", data_dir=root, settings=keys.get))
        self.root = root
        self.reports: list[tuple[int, int | None]] = []
        self.files: list[tuple[int | None, int | None]] = []

    def _report(self, reading: Reading) -> None:
        self.files.append((reading.files, reading.files_total))
        self.reports.append((reading.done, reading.total))

    async def fetch(self, params: dict[str, Any], *, count: int = 1, index: int = 0) -> dict[str, bytes]:
        """Fetch into a fresh directory; return what lies there."""
        directory = self.root / f"input-{len(list(self.root.iterdir()))}"
        directory.mkdir(mode=0o700)
        request = FetchRequest(
            Execution(id="e-1", job=Job(count=count), partition_index=index),
            InputSource(source=SpecConfig(type="s3", params=params), target="/inputs"),
            directory,
            self._report,
        )
        mount = await self.plugin.fetch(request)
        self.brought = mount.identity
        assert (mount.target, mount.read_only) == ("/inputs", True)
        assert mount.path.stat().st_mode & 0o777 == 0o755
        files = [path for path in mount.path.rglob("*") if path.is_file()]
        assert all(path.stat().st_mode & 0o444 == 0o444 for path in files)
        return {path.relative_to(mount.path).as_posix(): path.read_bytes() for path in files}

    async def size(self, params: dict[str, Any], *, count: int = 1, index: int = 0) -> int:
        execution = Execution(id="e-1", job=Job(count=count), partition_index=index)
        return await self.plugin.size(execution, InputSource(source=SpecConfig(type="s3", params=params)))

    async def identity(self, params: dict[str, Any], *, count: int = 1, index: int = 0) -> str | None:
        execution = Execution(id=f"e-{len(self.reports)}", job=Job(count=count), partition_index=index)
        item = InputSource(source=SpecConfig(type="s3", params=params), target="/inputs")
        return await self.plugin.identity(execution, item)

    async def bid(self, params: dict[str, Any]) -> str:
        item = InputSource(source=SpecConfig(type="s3", params=params))
        answer = await self.plugin.bid(Execution(id="e-1", job=Job(count=1)), item)
        assert answer.accepted is (answer.reason == "")
        return answer.reason


@pytest.fixture
def source(tmp_path: Path, s3_credentials: S3Server) -> Source:
    root = tmp_path / "inputs"
    root.mkdir()
    return Source(root)


@pytest.fixture(scope="module")
def sets(s3_server: S3Server) -> str:
    """A bucket with `SET` and a directory marker."""
    return s3_server.bucket({**SET, "set1/": b""})


def at(server: S3Server, bucket: str, key: str = "", **more: Any) -> dict[str, Any]:
    return {"Bucket": bucket, "Key": key, "Endpoint": server.url, "Region": "us-east-1", **more}


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"Key": "set1/001.txt"}, {"001.txt": b"1"}),
        (
            {"Key": "set1/"},
            {"001.txt": b"1", "002.txt": b"22", "deep/003.csv": b"333", "empty": b""},
        ),
        ({"Key": "set1/00*"}, {"001.txt": b"1", "002.txt": b"22"}),
        ({"Key": "set*"}, SET),
        ({"Key": ""}, SET),
        ({"Key": "set", "FILTER": r"^\d/.*\.(csv)$"}, None),
        ({"Key": "set*", "FILTER": r"^\d/.*\.(csv)$"}, {"set1/deep/003.csv": b"333"}),
        # A filter is for listings; a key says itself what it means.
        ({"Key": "set1/001.txt", "Filter": "nothing"}, {"001.txt": b"1"}),
    ],
)
async def test_a_key_a_prefix_or_a_wildcard_becomes_files(
    source: Source, s3_server: S3Server, sets: str, params: dict[str, Any], expected: dict[str, bytes] | None
) -> None:
    given = at(s3_server, sets) | params
    assert await source.bid(given) == ""
    if expected is None:
        with pytest.raises(BacalhauError, match="there is no such object"):
            await source.fetch(given)
        return
    assert await source.fetch(given) == expected
    assert await source.size(given) == sum(len(data) for data in expected.values())
    done, total = source.reports[-1]
    assert done == total == sum(len(data) for data in expected.values())
    assert source.files[-1] == (len(expected), len(expected))


async def test_partitions_cover_the_prefix_once(source: Source, s3_server: S3Server, sets: str) -> None:
    params = at(s3_server, sets, "set1/", partition={"TYPE": "object"})
    parts = [await source.fetch(params, count=3, index=index) for index in range(3)]
    assert sorted(name for part in parts for name in part) == ["001.txt", "002.txt", "deep/003.csv", "empty"]
    sizes = [await source.size(params, count=3, index=index) for index in range(3)]
    assert sizes == [sum(len(data) for data in part.values()) for part in parts]


async def test_odd_keys_become_files_inside_the_directory(source: Source, s3_server: S3Server) -> None:
    objects = {"d/a b+c%20?.txt": b"1", "d/#ünï/日本.txt": b"2", "d/~tilde&=;.txt": b"3", "d/x": b"4"}
    bucket = s3_server.bucket({**objects, "d/marker/": b""})
    expected = {key.removeprefix("d/"): data for key, data in objects.items()}
    assert await source.fetch(at(s3_server, bucket, "d/")) == expected
    assert await source.fetch(at(s3_server, bucket, "d/a b+c%20?.txt")) == {"a b+c%20?.txt": b"1"}


async def test_an_object_that_stands_for_a_directory_means_what_is_below(
    source: Source, s3_server: S3Server
) -> None:
    bucket = s3_server.bucket({"d1/a": b"1", "d2/b": b"2", "e/c": b"3"})
    client = s3_server.client()
    client.put_object(Bucket=bucket, Key="d", Body=b"", ContentType="application/x-directory; charset=utf-8")
    client.close()
    assert await source.fetch(at(s3_server, bucket, "d")) == {"d1/a": b"1", "d2/b": b"2"}
    # A wildcard takes it for the object that it is.
    assert await source.fetch(at(s3_server, bucket, "d*")) == {"d": b"", "d1/a": b"1", "d2/b": b"2"}


async def test_a_version_is_fetched_by_its_id(source: Source, s3_server: S3Server) -> None:
    bucket = s3_server.bucket(versioned=True)
    client = s3_server.client()
    old = client.put_object(Bucket=bucket, Key="k", Body=b"old")["VersionId"]
    client.put_object(Bucket=bucket, Key="k", Body=b"new")
    client.close()
    assert await source.fetch(at(s3_server, bucket, "k", VersionID=old)) == {"k": b"old"}
    assert await source.fetch(at(s3_server, bucket, "k")) == {"k": b"new"}
    with pytest.raises(BacalhauError, match="there is no such version"):
        await source.fetch(at(s3_server, bucket, "k", VersionID="01JZ0000000000000000000000"))


async def test_a_checksum_is_compared_with_the_stored_one(source: Source, s3_server: S3Server) -> None:
    bucket = s3_server.bucket({"plain": b"data"})
    right, wrong = (base64.b64encode(hashlib.sha256(data).digest()).decode() for data in (b"data", b"else"))
    client = s3_server.client()
    client.put_object(Bucket=bucket, Key="k", Body=b"data", ChecksumSHA256=right)
    client.close()
    assert await source.fetch(at(s3_server, bucket, "k", ChecksumSHA256=right)) == {"k": b"data"}
    with pytest.raises(BacalhauError, match=r"the checksum of .*/k differs: the job expects"):
        await source.fetch(at(s3_server, bucket, "k", ChecksumSHA256=wrong))
    with pytest.raises(BacalhauError, match="no SHA-256 checksum is stored"):
        await source.fetch(at(s3_server, bucket, "plain", ChecksumSHA256=right))


async def test_a_public_bucket_needs_no_credentials(
    source: Source, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    public, private = s3_server.bucket({"d/a": b"1"}, public=True), s3_server.bucket({"d/a": b"1"})
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert (await source.plugin.probe()).available
    assert await source.fetch(at(s3_server, public, "d/")) == {"a": b"1"}
    assert await source.fetch(at(s3_server, public, "d/a")) == {"a": b"1"}
    for key in ("d/", "d/a"):
        with pytest.raises(BacalhauError, match="access is denied") as caught:
            await source.fetch(at(s3_server, private, key))
        assert "no AWS credentials" in caught.value.hint


async def test_the_endpoint_of_the_environment_counts(
    source: Source, s3_server: S3Server, sets: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_server.url)
    assert await source.fetch({"bucket": sets, "key": "set2/"}) == {"004.txt": b"4444"}


async def test_the_documented_rights_suffice_and_fewer_do_not(
    source: Source, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = s3_server.bucket({"d/a": b"1"})
    s3_server.user("reader", "reader-secret")
    for name, value in s3_server.environment("reader", "reader-secret").items():
        monkeypatch.setenv(name, value)
    s3_server.grant(bucket, "reader", "s3:GetObject")
    assert await source.fetch(at(s3_server, bucket, "d/a")) == {"a": b"1"}
    with pytest.raises(BacalhauError, match="access is denied") as caught:
        await source.fetch(at(s3_server, bucket, "d/"))
    assert "s3:ListBucket" in caught.value.hint
    s3_server.grant(bucket, "reader", "s3:GetObject", "s3:ListBucket")
    assert await source.fetch(at(s3_server, bucket, "d/")) == {"a": b"1"}


async def test_a_version_needs_its_own_right(
    source: Source, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = s3_server.bucket(versioned=True)
    client = s3_server.client()
    old = client.put_object(Bucket=bucket, Key="k", Body=b"old")["VersionId"]
    client.put_object(Bucket=bucket, Key="k", Body=b"new")
    client.close()
    s3_server.user("historian", "historian-secret")
    for name, value in s3_server.environment("historian", "historian-secret").items():
        monkeypatch.setenv(name, value)
    s3_server.grant(bucket, "historian", "s3:GetObject")
    with pytest.raises(BacalhauError, match="access is denied"):
        await source.fetch(at(s3_server, bucket, "k", VersionID=old))
    s3_server.grant(bucket, "historian", "s3:GetObjectVersion")
    assert await source.fetch(at(s3_server, bucket, "k", VersionID=old)) == {"k": b"old"}


async def test_accept_encoding_is_not_signed(source: Source, s3_server: S3Server, sets: str) -> None:
    with cutting_proxy(s3_server, after=1 << 40, cuts=0) as proxy:
        await source.fetch(at(s3_server, sets, "set1/001.txt", Endpoint=proxy.url))
        await source.fetch(at(s3_server, sets, "set1/", Endpoint=proxy.url))
    signed = [head.lower() for head in proxy.heads if b"signedheaders=" in head.lower()]
    assert len(signed) >= 6
    for head in signed:
        assert b"accept-encoding" not in head.partition(b"signedheaders=")[2].partition(b",")[0]


async def test_a_cloud_that_rewrites_accept_encoding_accepts_our_signatures(
    tmp_path: Path, source: Source, s3_server: S3Server, sets: str
) -> None:
    # As Google's front ends do.
    change = (b"Accept-Encoding: identity", b"Accept-Encoding: gzip,gzip(gfe)")
    with cutting_proxy(s3_server, after=1 << 40, cuts=0, replace=change) as proxy:
        assert await source.fetch(at(s3_server, sets, "set2/", Endpoint=proxy.url)) == {"004.txt": b"4444"}
        assert await source.fetch(at(s3_server, sets, "set1/001.txt", Endpoint=proxy.url)) == {
            "001.txt": b"1"
        }
        assert any(change[0] in head for head in proxy.heads)


@pytest.fixture(scope="module")
def big(s3_server: S3Server) -> str:
    """A bucket with an object of three parts."""
    assert 2 * PART_BYTES < len(BIG) < 3 * PART_BYTES
    return s3_server.bucket({"big": BIG})


async def test_cut_connections_go_on_where_they_broke(source: Source, s3_server: S3Server, big: str) -> None:
    with cutting_proxy(s3_server, after=10_000_000, cuts=4) as proxy:
        found = await source.fetch(at(s3_server, big, "big", Endpoint=proxy.url))
    assert hashlib.sha256(found["big"]).digest() == hashlib.sha256(BIG).digest()
    assert proxy.cut == 4
    ranges = [
        line for head in proxy.heads for line in head.split(b"\r\n") if line.lower().startswith(b"range:")
    ]
    # Three parts, and one more request for each cut, none of which starts a part again.
    assert len(ranges) == 3 + 4
    assert len(set(ranges)) == 7
    # Every byte was counted once, and the three parts as one file.
    assert source.reports[-1] == (len(BIG), len(BIG))
    assert source.files[-1] == (1, 1)
    assert set(source.files[:-1]) == {(0, 1)}


async def test_an_object_that_changes_meanwhile_is_never_mixed(
    source: Source, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = s3_server.bucket({"d/k": b"before"})
    real = source.plugin._find

    def find_then_change(*arguments: Any) -> Any:
        found = real(*arguments)
        client = s3_server.client()
        client.put_object(Bucket=bucket, Key="d/k", Body=b"after!")
        client.close()
        return found

    monkeypatch.setattr(source.plugin, "_find", find_then_change)
    for key in ("d/k", "d/"):
        client = s3_server.client()
        client.put_object(Bucket=bucket, Key="d/k", Body=b"before")
        client.close()
        with pytest.raises(BacalhauError, match="the object changed meanwhile"):
            await source.fetch(at(s3_server, bucket, key))


async def test_an_object_that_is_replaced_in_the_middle_is_never_mixed(
    source: Source, s3_server: S3Server
) -> None:
    bucket = s3_server.bucket({"big": BIG})

    def replace() -> None:
        client = s3_server.client()
        client.put_object(Bucket=bucket, Key="big", Body=BIG[::-1])
        client.close()

    with cutting_proxy(s3_server, after=10_000_000, cuts=1, on_cut=replace) as proxy:
        with pytest.raises(BacalhauError, match="the object changed meanwhile"):
            await source.fetch(at(s3_server, bucket, "big", Endpoint=proxy.url))
        assert proxy.cut == 1


async def test_a_listing_that_is_cut_is_asked_for_again(
    source: Source, s3_server: S3Server, sets: str
) -> None:
    with cutting_proxy(s3_server, after=400, cuts=1) as proxy:
        assert len(await source.fetch(at(s3_server, sets, "set1/", Endpoint=proxy.url))) == 4
        assert proxy.cut == 1


async def test_bid_and_fetch_list_once(source: Source, s3_server: S3Server, sets: str) -> None:
    with cutting_proxy(s3_server, after=1 << 40, cuts=0) as proxy:
        params = at(s3_server, sets, "set1/", Endpoint=proxy.url)
        assert await source.size(params) == 6
        assert await source.size(params) == 6
        await source.fetch(params)
        assert sum(b"list-type=2" in head for head in proxy.heads) == 1
        # What was used is not used again.
        await source.fetch(params)
        assert sum(b"list-type=2" in head for head in proxy.heads) == 2


async def test_what_changed_since_the_bid_is_looked_at_again(source: Source, s3_server: S3Server) -> None:
    bucket = s3_server.bucket({"d/a": b"old", "d/b": b"same"})
    params = at(s3_server, bucket, "d/")
    assert await source.size(params) == 7
    before = await source.identity(params)
    client = s3_server.client()
    client.put_object(Bucket=bucket, Key="d/a", Body=b"newer")
    client.close()
    assert await source.fetch(params) == {"a": b"newer", "b": b"same"}
    assert source.brought not in ("", before)
    assert source.brought == await source.identity(params)
    # One that went away was not in the way either.
    assert await source.size(params) == 9
    client = s3_server.client()
    client.delete_object(Bucket=bucket, Key="d/a")
    client.close()
    assert await source.fetch(params) == {"b": b"same"}


async def test_an_identity_names_bytes_and_layout(source: Source, s3_server: S3Server) -> None:
    bucket = s3_server.bucket({"d/a": b"1", "d/b": b"2", "e/a": b"1"})
    given = [
        (at(s3_server, bucket, "d/"), 1, 0),
        (at(s3_server, bucket, "d*"), 1, 0),
        (at(s3_server, bucket, "d/a"), 1, 0),
        (at(s3_server, bucket, "e/"), 1, 0),
        (at(s3_server, bucket, "d/", Filter="a"), 1, 0),
        (at(s3_server, bucket, "d/", Filter="b"), 1, 0),
        (at(s3_server, s3_server.bucket({"d/a": b"1", "d/b": b"2"}), "d/"), 1, 0),
    ]
    found = [await source.identity(params, count=count, index=index) for params, count, index in given]
    # The same file from the same place is the same input, however it was asked for.
    assert found[2] == found[4]
    assert len({*found}) == len(given) - 1
    assert None not in found
    await source.fetch(given[0][0])
    assert source.brought == found[0]
    # Executions of one partition share, others do not.
    shares = [at(s3_server, bucket, "d/", Partition={"Type": "object"})] * 2
    first, second = [await source.identity(params, count=2, index=at) for at, params in enumerate(shares)]
    assert first != second
    # Without ETags nobody knows.
    s3_server.fill(bucket, "f", 1, lambda _: b"x", etags=False)
    assert await source.identity(at(s3_server, bucket, "f/")) is None
    assert await source.fetch(at(s3_server, bucket, "f/")) == {"000000": b"x"}
    assert source.brought == ""


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"Bucket": "no-such-bucket"}, "there is no such bucket"),
        ({"Bucket": "no-such-bucket", "Key": "d/"}, "there is no such bucket"),
        ({"Key": "nothing"}, "there is no such object"),
        ({"Key": "nothing/"}, "there are no objects below it"),
        ({"Key": "set1/", "Filter": "zzz"}, "none of its 5 objects is selected by Filter"),
        ({"Endpoint": "http://127.0.0.1:9"}, "can't be reached"),
    ],
)
async def test_what_is_missing_is_said(
    source: Source, s3_server: S3Server, sets: str, change: dict[str, str], reason: str
) -> None:
    with pytest.raises(BacalhauError) as caught:
        await source.fetch(at(s3_server, sets, "set1/001.txt") | change)
    assert reason in caught.value.message
    assert caught.value.component == "S3InputSource"
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
# A single object is asked for by HEAD, whose answer has no body that could tell the reason.
@pytest.mark.parametrize("key", ["set1/", "set1/001.txt"])
async def test_wrong_credentials_are_told_apart(
    source: Source, s3_server: S3Server, sets: str, monkeypatch: pytest.MonkeyPatch, name: str, key: str
) -> None:
    monkeypatch.setenv(name, "unknown")
    with pytest.raises(BacalhauError, match="credentials of this node are not valid there"):
        await source.fetch(at(s3_server, sets, key))


def credential_process(root: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Path:
    """Let the AWS chain run a script that counts its calls; return the file with the count."""
    calls = root / "calls"
    program = root / "credentials.py"
    program.write_text(
        "import datetime, json, pathlib, sys\n"
        f"calls = pathlib.Path({str(calls)!r})\n"
        "number = int(calls.read_text()) + 1 if calls.exists() else 1\n"
        "calls.write_text(str(number))\n"
        "now = datetime.datetime.now(datetime.timezone.utc)\n" + script
    )
    (root / "config").write_text(f"[default]\ncredential_process = {sys.executable} {program}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(root / "config"))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    return calls


async def test_credentials_are_renewed_during_a_transfer(
    tmp_path: Path, source: Source, s3_server: S3Server, sets: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So close to their end that each request renews them first.
    script = (
        "end = (now + datetime.timedelta(minutes=2)).isoformat()\n"
        f"print(json.dumps({{'Version': 1, 'AccessKeyId': {ACCESS_KEY!r}, 'SecretAccessKey': {SECRET_KEY!r},"
        " 'Expiration': end}))\n"
    )
    calls = credential_process(tmp_path, monkeypatch, script)
    found = await source.fetch(at(s3_server, sets, "set1/"))
    assert len(found) == 4
    # One object is empty and needs no request.
    assert int(calls.read_text()) >= 1 + 3


async def test_keys_that_are_rotated_during_a_transfer_are_changed_for_the_new_ones(
    tmp_path: Path, source: Source, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = {f"d/{number}": b"%d" % number for number in range(30)}
    bucket = s3_server.bucket(objects)
    for name in ("rotated-1", "rotated-2"):
        s3_server.user(name, f"{name}-secret")
    s3_server.grant(bucket, ["rotated-1", "rotated-2"], "s3:GetObject", "s3:ListBucket")
    script = (
        "key = 'rotated-1' if number < 5 else 'rotated-2'\n"
        "end = (now + datetime.timedelta(minutes=2)).isoformat()\n"
        "print(json.dumps({'Version': 1, 'AccessKeyId': key, 'SecretAccessKey': key + '-secret',"
        " 'Expiration': end}))\n"
    )
    credential_process(tmp_path, monkeypatch, script)
    with cutting_proxy(s3_server, after=1 << 40, cuts=0) as proxy:
        found = await source.fetch(at(s3_server, bucket, "d/", Endpoint=proxy.url))
    assert found == {key.removeprefix("d/"): data for key, data in objects.items()}
    for key in (b"rotated-1", b"rotated-2"):
        assert any(b"Credential=" + key + b"/" in head for head in proxy.heads)


@pytest.mark.parametrize("key", ["set1/", "set1/001.txt"])
async def test_credentials_that_are_over_are_said(
    tmp_path: Path,
    source: Source,
    s3_server: S3Server,
    sets: str,
    monkeypatch: pytest.MonkeyPatch,
    key: str,
) -> None:
    script = (
        "end = (now - datetime.timedelta(minutes=2)).isoformat()\n"
        f"print(json.dumps({{'Version': 1, 'AccessKeyId': {ACCESS_KEY!r}, 'SecretAccessKey': {SECRET_KEY!r},"
        " 'Expiration': end}))\n"
    )
    credential_process(tmp_path, monkeypatch, script)
    with pytest.raises(BacalhauError, match="credentials of this node have expired") as caught:
        await source.fetch(at(s3_server, sets, key))
    assert "renew them" in caught.value.hint


async def test_credentials_that_can_not_be_renewed_are_said(
    tmp_path: Path, source: Source, s3_server: S3Server, sets: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    credential_process(tmp_path, monkeypatch, "sys.exit('log in again')\n")
    with pytest.raises(BacalhauError, match="credentials of this node can't be renewed") as caught:
        await source.fetch(at(s3_server, sets, "set1/"))
    assert caught.value.component == "S3InputSource"


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"Key": "x"}, "Bucket of the S3 spec is missing"),
        ({"Bucket": "b", "Key": "x*", "Filter": "["}, "Filter '[' is not a regular expression"),
        # RE2 knows no look-ahead.
        ({"Bucket": "b", "Key": "x*", "Filter": "a(?=b)"}, "Filter 'a(?=b)' is not a regular expression"),
        ({"Bucket": "b", "Partition": {"Type": "regex"}}, "Partition.Pattern is empty"),
        ({"Bucket": "b", "Endpoint": "nowhere"}, "does not start with http"),
    ],
)
async def test_a_wrong_spec_is_refused_in_the_bid(
    source: Source, params: dict[str, Any], reason: str
) -> None:
    answer = await source.bid(params)
    assert answer.startswith("this node can't bring an input: ")
    assert reason in answer


async def test_a_full_disk_is_said_before_anything_is_fetched(
    tmp_path: Path, s3_credentials: S3Server, big: str
) -> None:
    full = pytest.raises(BacalhauError, match=r"the disk is full.*73 MB needed")
    with small_disk(tmp_path / "disk") as disk, full:
        await Source(disk).fetch(at(s3_credentials, big, "big"))


async def test_a_fetch_that_is_called_off_leaves_no_thread(
    source: Source, s3_server: S3Server, big: str
) -> None:
    started = asyncio.Event()
    loop = asyncio.get_running_loop()
    source.reports = _Signal(loop, started)
    task = asyncio.create_task(source.fetch(at(s3_server, big, "big")))
    async with asyncio.timeout(20):
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("s3-download")]
    await source.plugin.close()


class _Signal(list[Any]):
    def __init__(self, loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
        super().__init__()
        self._loop = loop
        self._event = event

    def append(self, item: Any) -> None:
        self._loop.call_soon_threadsafe(self._event.set)


@pytest.mark.timeout(300)
def test_very_many_small_objects_arrive_in_little_memory(tmp_path: Path, s3_credentials: S3Server) -> None:
    # 100 000 take a minute on two cores.
    count = 100_000 if in_ci() else 10_000
    bucket = s3_credentials.bucket({"first": b"1"})
    expected = s3_credentials.fill(bucket, "many", count, lambda number: b"%d\n" % number)
    command = [sys.executable, "-m", "tests.sources.s3_many", bucket, s3_credentials.url, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["size"] == sum(map(len, expected.values()))
    found = {entry.name: Path(entry.path).read_bytes() for entry in os.scandir(told["path"])}
    assert found == expected
    # A listing is kept, what it lists is not.
    assert told["grown"] < 24e6 + 400 * count
