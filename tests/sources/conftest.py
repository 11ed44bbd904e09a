"""An S3 source, and the bucket that most of its tests read."""

from __future__ import annotations

from pathlib import Path

import pytest

from bacalhau_jupyter.transfer.s3.reading.pieces import PART_BYTES
from tests.services.s3 import S3Server
from tests.sources.s3_bench import BIG, SET, Source


@pytest.fixture
def source(tmp_path: Path, s3_credentials: S3Server) -> Source:
    root = tmp_path / "inputs"
    root.mkdir()
    return Source(root)


@pytest.fixture(scope="module")
def sets(s3_server: S3Server) -> str:
    """A bucket with `SET` and a directory marker."""
    return s3_server.bucket({**SET, "set1/": b""})


@pytest.fixture(scope="module")
def big(s3_server: S3Server) -> str:
    """A bucket with an object of three parts."""
    assert 2 * PART_BYTES < len(BIG) < 3 * PART_BYTES
    return s3_server.bucket({"big": BIG})
