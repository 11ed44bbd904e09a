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
from tests.services.common import in_ci
from tests.services.s3 import S3Server
from tests.sources.s3_bench import SET, Source, at
from tests.transfer.helpers import small_disk


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
    all_params = at(s3_server, sets) | params
    assert await source.bid(all_params) == ""
    if expected is None:
        with pytest.raises(BacalhauError, match="there is no such object"):
            await source.fetch(all_params)
        return
    assert await source.fetch(all_params) == expected
    assert await source.size(all_params) == sum(len(data) for data in expected.values())
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
    called_off = threading.Event()
    source.reports = _Signal(loop, started, called_off)
    task = asyncio.create_task(source.fetch(at(s3_server, big, "big")))
    async with asyncio.timeout(60):
        await started.wait()
        task.cancel()
        loop.call_later(0.1, called_off.set)
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("s3-download")]
    await source.plugin.close()


class _Signal(list[Any]):
    """Tells of the first report, and lets nothing go on before the fetch is called off: it may be a short one."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, event: asyncio.Event, called_off: threading.Event
    ) -> None:
        super().__init__()
        self._loop = loop
        self._event = event
        self._called_off = called_off

    def append(self, item: Any) -> None:
        self._loop.call_soon_threadsafe(self._event.set)
        self._called_off.wait(60)


@pytest.mark.timeout(300)
def test_very_many_small_objects_arrive_in_little_memory(tmp_path: Path, s3_credentials: S3Server) -> None:
    # Many pages of a listing. 100 000 take more than a minute on two cores.
    count = 30_000 if in_ci() else 10_000
    bucket = s3_credentials.bucket({"first": b"1"})
    expected = s3_credentials.fill(bucket, "many", count, lambda number: b"%d\n" % number)
    command = [sys.executable, "-m", "tests.sources.s3_many", bucket, s3_credentials.url, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["size"] == sum(map(len, expected.values()))
    files = {entry.name: Path(entry.path).read_bytes() for entry in os.scandir(report["path"])}
    assert files == expected
    # A listing is kept, what it lists is not.
    assert report["grown"] < 24e6 + 400 * count
