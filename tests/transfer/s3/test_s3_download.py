"""Downloads over connections that break for good."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable
from itertools import repeat
from pathlib import Path

import pytest

from bacalhau_jupyter.models.errors import BacalhauError, EngineError, NetworkFailure
from bacalhau_jupyter.models.records.progress import Reading
from bacalhau_jupyter.transfer.s3.reading import download as s3_download
from bacalhau_jupyter.transfer.s3.reading.download import download_objects
from bacalhau_jupyter.transfer.s3.reading.listing import S3Object, find_objects
from bacalhau_jupyter.transfer.s3.reading.verify import EtagCheck, verify_sha256
from bacalhau_jupyter.transfer.s3.requests.location import S3Clients, S3Location
from tests.services.s3 import S3Server, cutting_proxy

DATA = b"x" * 100_000


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting between tries."""
    monkeypatch.setattr(s3_download, "backoff", lambda first, limit: repeat(0.0))


def test_a_server_that_never_sends_anything_is_given_up(
    tmp_path: Path, s3_credentials: S3Server, impatient: None
) -> None:
    with cutting_proxy(s3_credentials, after=0, cuts=1 << 30) as proxy:
        with pytest.raises(NetworkFailure, match=r"could not read s3://.*/k: the connection to .* broke"):
            through(s3_credentials, proxy.url, tmp_path)
        assert proxy.cut == 3


def test_each_byte_that_comes_renews_the_patience(
    tmp_path: Path, s3_credentials: S3Server, impatient: None
) -> None:
    with cutting_proxy(s3_credentials, after=20_000, cuts=1 << 30) as proxy:
        through(s3_credentials, proxy.url, tmp_path)
        assert proxy.cut > 4
    assert (tmp_path / "k").read_bytes() == DATA


def test_bytes_that_were_changed_on_the_way_are_fetched_again(
    tmp_path: Path, s3_credentials: S3Server
) -> None:
    reports: list[Reading] = []
    with cutting_proxy(s3_credentials, after=1 << 40, cuts=0, corrupt=[(b"xxxx", b"xyxx")]) as proxy:
        through(s3_credentials, proxy.url, tmp_path, reports.append)
        assert not proxy.corrupt
        assert len(proxy.heads) == 2
    assert (tmp_path / "k").read_bytes() == DATA
    assert reports[-1] == Reading("downloading", len(DATA), len(DATA), 1, 1)


def test_a_way_that_changes_bytes_each_time_is_given_up(tmp_path: Path, s3_credentials: S3Server) -> None:
    changes = [(b"xxxx", b"x%02dx" % number) for number in range(99)]
    with cutting_proxy(s3_credentials, after=1 << 40, cuts=0, corrupt=changes) as proxy:
        with pytest.raises(EngineError, match="each read gave other bytes"):
            through(s3_credentials, proxy.url, tmp_path)
        assert len(proxy.heads) == 3


def test_etags_that_only_look_like_checksums_cost_one_more_request(
    tmp_path: Path, s3_credentials: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_download, "WORKERS", 1)
    odd = S3Object("k", len(DATA), f'"{"0" * 32}"')
    bucket = s3_credentials.bucket()
    s3_credentials.fill(bucket, "d", 5, lambda number: b"%d" % number)
    for path in (s3_credentials.objects / bucket / "d").iterdir():
        os.setxattr(path, "user.etag", odd.etag.strip('"').encode())
    clients = S3Clients("S3InputSource")
    with cutting_proxy(s3_credentials, after=1 << 40, cuts=0) as proxy:
        place = S3Location(bucket, "d/", "us-east-1", proxy.url)
        objects = find_objects(clients, place)
        download_objects(clients, place, objects, {item.key: item.key[2:] for item in objects}, tmp_path)
        assert sum(b"GET" in head and b"list-type" not in head for head in proxy.heads) == 5 + 1
    clients.close()
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {b"%d" % number for number in range(5)}


def test_etags_of_several_parts_are_not_compared() -> None:
    check = EtagCheck()
    assert check.applies(S3Object("k", 1, f'"{"a" * 32}"'))
    for etag in ("", f'"{"a" * 32}-2"', '"short"', f'W/"{"a" * 32}"'):
        assert not check.applies(S3Object("k", 1, etag))


def through(
    server: S3Server, url: str, directory: Path, progress: Callable[..., None] = lambda *_: None
) -> None:
    """Find an object directly, and download it by way of a proxy with two retries."""
    bucket = server.bucket({"k": DATA})
    clients = S3Clients("S3InputSource")
    objects = find_objects(clients, S3Location(bucket, "k", "us-east-1", server.url))
    broken = S3Location(bucket, "k", "us-east-1", url)
    try:
        download_objects(clients, broken, objects, {"k": "k"}, directory, progress=progress, max_retries=2)
    finally:
        clients.close()


def test_bytes_that_differ_from_the_checksum_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "k"
    path.write_bytes(b"data")
    verify_sha256(path, base64.b64encode(hashlib.sha256(b"data").digest()).decode(), "s3://b/k", "X")
    # Of a multipart upload: no hash of these bytes.
    verify_sha256(path, "abc-3", "s3://b/k", "X")
    with pytest.raises(BacalhauError, match="its bytes have"):
        verify_sha256(path, base64.b64encode(hashlib.sha256(b"else").digest()).decode(), "s3://b/k", "X")
