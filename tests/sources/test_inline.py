"""Inputs that travel in the job."""

from __future__ import annotations

import gzip
import tarfile
from pathlib import Path

import pytest

from bacalhau_jupyter.models.errors import BadRequest, IOFailure
from bacalhau_jupyter.models.jobs.spec import InputSource, SpecConfig
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.plugins.contract import InputMount
from bacalhau_jupyter.plugins.source import FetchRequest
from bacalhau_jupyter.sources.inline import InlineSource
from bacalhau_jupyter.transfer.archive.data_urls import encode_data_url
from bacalhau_jupyter.transfer.archive.tar_gz import Limits
from tests.transfer.helpers import member, names, small_disk, tar_gz, tree


def source(url: object, target: str = "/inputs/data") -> InputSource:
    return InputSource(source=SpecConfig(type="inline", params={"url": url}), target=target)


async def fetch(url: object, directory: Path, limits: Limits | None = None) -> InputMount:
    inline = InlineSource(limits=limits) if limits else InlineSource()
    return await inline.fetch(FetchRequest(Execution(id="e-1"), source(url), directory))


async def test_plain_contents_arrive_as_a_file_that_any_user_may_read_and_run(tmp_path: Path) -> None:
    url = "data:text/plain;base64,IyEvYmluL3NoCg=="
    mount = await fetch(url, tmp_path)
    assert mount.path.read_bytes() == b"#!/bin/sh\n"
    assert mount.path.stat().st_mode & 0o777 == 0o755
    assert (mount.target, mount.read_only) == ("/inputs/data", True)
    assert await InlineSource().size(Execution(), source(url)) == 10


async def test_an_archive_arrives_as_a_directory_even_with_a_single_file(tmp_path: Path) -> None:
    data, info = b"1,2\n" * 200, member("big.csv")
    info.mode = 0o600
    url = encode_data_url(tar_gz((info, data)), "application/gzip")
    mount = await fetch(url, tmp_path)
    assert tree(mount.path) == {"big.csv": ("file", data, 0o644)}
    assert mount.path.stat().st_mode & 0o777 == 0o755
    # Uncompressed size, with what tar adds.
    assert 800 <= await InlineSource().size(Execution(), source(url)) <= 20_000


@pytest.mark.parametrize("url", [None, "", "http://host/", "data:oops"])
async def test_an_invalid_data_url_is_rejected_at_bid_time(url: object, tmp_path: Path) -> None:
    bid = await InlineSource().bid(Execution(), source(url))
    assert not bid.accepted
    assert bid.reason.startswith("this node can't bring an input: the inline input")
    with pytest.raises(BadRequest):
        await fetch(url, tmp_path)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "data",
    [
        tar_gz((member("../x"), b"x")),
        tar_gz((member("l", tarfile.SYMTYPE, "/etc"), b"")),
        tar_gz((member("zeros"), bytes(2_000_000))),
        b"\x1f\x8bbroken",
        gzip.compress(b"not a tar", mtime=0),
    ],
)
async def test_hostile_and_broken_archives_are_refused_and_leave_nothing(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(IOFailure, match="the archive is"):
        await fetch(encode_data_url(data, "application/gzip"), tmp_path, Limits(max_bytes=1_000_000))
    assert names(tmp_path) == []


async def test_the_size_of_a_bomb_is_an_error_not_a_wait() -> None:
    url = encode_data_url(gzip.compress(bytes(20_000_000)), "application/gzip")
    inline = InlineSource(limits=Limits(max_bytes=10_000_000, max_members=10))
    with pytest.raises(BadRequest, match=r"unpacks to more than 10 MB"):
        await inline.size(Execution(), source(url))


async def test_a_full_disk_is_reported(tmp_path: Path) -> None:
    with (
        small_disk(tmp_path / "disk") as disk,
        pytest.raises(IOFailure, match=r"the disk is full: could not write .*/disk/content"),
    ):
        await fetch(encode_data_url(bytes(5_000_000)), disk)
