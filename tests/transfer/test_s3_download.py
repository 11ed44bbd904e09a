"""Downloads over connections that break for good."""

from __future__ import annotations

import base64
import hashlib
from itertools import repeat
from pathlib import Path

import pytest

from bacalhau_jupyter.models.errors import BacalhauError, NetworkFailure
from bacalhau_jupyter.transfer import s3_download
from bacalhau_jupyter.transfer.s3 import S3Clients, S3Location
from bacalhau_jupyter.transfer.s3_download import download_objects, verify_sha256
from bacalhau_jupyter.transfer.s3_listing import find_objects
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


def through(server: S3Server, url: str, directory: Path) -> None:
    """Find an object directly, and download it by way of a proxy with two retries."""
    bucket = server.bucket({"k": DATA})
    clients = S3Clients("S3InputSource")
    objects = find_objects(clients, S3Location(bucket, "k", "us-east-1", server.url))
    broken = S3Location(bucket, "k", "us-east-1", url)
    try:
        download_objects(clients, broken, objects, {"k": "k"}, directory, max_retries=2)
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
