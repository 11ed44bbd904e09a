"""Results read from a real bucket with credentials of one's own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.models.errors import BacalhauError, BadRequest, Forbidden, NotFound
from bacalhau_jupyter.models.jobs.spec import SpecConfig
from bacalhau_jupyter.models.records.progress import Reading
from bacalhau_jupyter.transfer.core.readers import EntryKind
from bacalhau_jupyter.transfer.s3.reading.results import S3Ranges, open_s3_result
from tests.services.s3 import S3Server, cutting_proxy

FILES = {
    "stdout": b"hi\n",
    "exitCode": b"0",
    "outputs/a b é.txt": bytes(range(256)),
    "outputs/deep/x": b"x",
    "outputs-2/empty": b"",
}
BIG = os.urandom(1 << 20) * 5


def plain(server: S3Server, bucket: str, key: str = "r/j-1/", **more: str) -> SpecConfig:
    params = {"Bucket": bucket, "Key": key, "Endpoint": server.url, "Region": "us-east-1", **more}
    return SpecConfig(type="s3", params=params)


@pytest.fixture
def bucket(s3_credentials: S3Server) -> str:
    others = {"r/j-2/stdout": b"not mine", "r/j-1.tar.gz": BIG}
    return s3_credentials.bucket({**{f"r/j-1/{name}": data for name, data in FILES.items()}, **others})


async def whole(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


def lies(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


async def test_files_are_listed_read_in_ranges_and_saved(
    tmp_path: Path, s3_server: S3Server, bucket: str
) -> None:
    reader = open_s3_result(plain(s3_server, bucket))
    entries = await reader.entries()
    assert [(entry.path, entry.size) for entry in entries if entry.kind is EntryKind.FILE] == [
        ("exitCode", 1),
        ("outputs/a b é.txt", 256),
        ("outputs/deep/x", 1),
        ("outputs-2/empty", 0),
        ("stdout", 3),
    ]
    directories = [entry.path for entry in entries if entry.kind is EntryKind.DIRECTORY]
    assert directories == ["outputs", "outputs/deep", "outputs-2"]
    paths = [entry.path for entry in entries]
    assert all(
        paths.index(path) < paths.index(f"{path}/{name}")
        for path, name in [("outputs", "deep"), ("outputs/deep", "x")]
    )
    name = "outputs/a b é.txt"
    assert await whole(reader.read(name)) == FILES[name]
    assert await whole(reader.read(name, 10, 20)) == FILES[name][10:20]
    assert await whole(reader.read(name, 250)) == FILES[name][250:]
    assert await whole(reader.read(name, 256)) == b""
    assert await whole(reader.read(name, 0, 1000)) == FILES[name]
    assert await whole(reader.read("outputs-2/empty")) == b""
    reports: list[Reading] = []
    await reader.save(tmp_path, progress=reports.append)
    assert lies(tmp_path) == FILES
    size = sum(len(data) for data in FILES.values())
    assert reports[-1] == Reading("downloading", size, size, len(FILES), len(FILES))
    await reader.close()


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("stdout", {"stdout"}),
        ("outputs", {"outputs/a b é.txt", "outputs/deep/x"}),
        ("outputs/deep/", {"outputs/deep/x"}),
    ],
)
async def test_one_file_or_subtree_is_saved_under_its_path(
    tmp_path: Path, s3_server: S3Server, bucket: str, path: str, names: set[str]
) -> None:
    reader = open_s3_result(plain(s3_server, bucket, "r/j-1"))
    await reader.save(tmp_path, path)
    assert lies(tmp_path) == {name: FILES[name] for name in names}
    await reader.close()


async def test_what_is_not_there_is_said_and_nothing_is_written(
    tmp_path: Path, s3_server: S3Server, bucket: str
) -> None:
    reader = open_s3_result(plain(s3_server, bucket))
    for path in ("nothing", "out", "/stdout", "../j-2/stdout", "stdout/"):
        with pytest.raises(NotFound, match=r"there is no .* in the results at s3://"):
            await whole(reader.read(path))
    with pytest.raises(NotFound, match="there is no nothing"):
        await reader.save(tmp_path, "nothing")
    await reader.close()
    empty = open_s3_result(plain(s3_server, bucket, "r/j-3/"))
    with pytest.raises(NotFound, match="there are no objects below it"):
        await empty.entries()
    await empty.close()
    with pytest.raises(BadRequest, match="Bucket of the S3 spec is missing"):
        open_s3_result(SpecConfig(type="s3", params={"Key": "x/"}))
    assert lies(tmp_path) == {}


async def test_a_name_that_climbs_out_spoils_the_whole_result(
    tmp_path: Path, s3_credentials: S3Server
) -> None:
    # No S3 server on a file system takes such a key, so one that lies about its keys stands before it.
    reader = open_s3_result(plain(s3_credentials, s3_credentials.bucket({"r/j-1/ok": b"1"})))
    find = reader._bucket.find  # type: ignore[attr-defined]

    async def lie() -> Any:
        import dataclasses

        return [*await find(), dataclasses.replace((await find())[0], key="r/j-1/../../evil")]

    reader._bucket.find = lie  # type: ignore[attr-defined]
    for work in (reader.entries(), reader.save(tmp_path)):
        with pytest.raises(BadRequest, match="leads out of the input directory"):
            await work
    assert list(tmp_path.iterdir()) == []
    await reader.close()


async def test_a_save_that_fails_leaves_nothing_behind(
    tmp_path: Path, s3_server: S3Server, bucket: str
) -> None:
    reader = open_s3_result(plain(s3_server, bucket))
    await reader.entries()
    client = s3_server.client()
    client.put_object(Bucket=bucket, Key="r/j-1/stdout", Body=b"changed")
    client.close()
    with pytest.raises(BacalhauError, match="the object changed meanwhile"):
        await reader.save(tmp_path)
    with pytest.raises(BacalhauError, match="the object changed meanwhile"):
        await whole(reader.read("stdout"))
    assert list(tmp_path.iterdir()) == []
    await reader.close()


async def test_ranges_of_an_archive_go_on_after_a_cut(s3_server: S3Server, bucket: str) -> None:
    with cutting_proxy(s3_server, after=1_300_000, cuts=3) as proxy:
        ranges = S3Ranges(plain(s3_server, bucket, "r/j-1.tar.gz", Endpoint=proxy.url))
        assert await ranges.size() == len(BIG)
        assert await whole(ranges.read(1_000_000, len(BIG) - 7)) == BIG[1_000_000:-7]
        assert proxy.cut == 3
        # Whoever stops reading early, or is cancelled, can go on with the next range.
        async for chunk in ranges.read(0, len(BIG)):
            assert chunk == BIG[: len(chunk)]
            break
        reading = asyncio.create_task(whole(ranges.read(0)))
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert await whole(ranges.read(5, 9)) == BIG[5:9]
        await ranges.close()


async def test_an_archive_that_is_missing_or_a_directory_is_said(s3_server: S3Server, bucket: str) -> None:
    for key, reason in (("r/none.tar.gz", "there is no such object"), ("r/j-1/", "it is a directory")):
        ranges = S3Ranges(plain(s3_server, bucket, key))
        with pytest.raises(NotFound, match=reason):
            await ranges.size()
        await ranges.close()


async def test_the_documented_rights_suffice_and_fewer_do_not(
    tmp_path: Path, s3_server: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3_server.user("getter", "getter-secret")
    for name, value in s3_server.environment("getter", "getter-secret").items():
        monkeypatch.setenv(name, value)
    for rights in (["s3:GetObject"], ["s3:ListBucket"]):
        s3_server.grant(bucket, "getter", *rights)
        reader = open_s3_result(plain(s3_server, bucket))
        with pytest.raises(Forbidden, match="access is denied"):
            await reader.save(tmp_path)
        await reader.close()
    s3_server.grant(bucket, "getter", "s3:GetObject", "s3:ListBucket")
    reader = open_s3_result(plain(s3_server, bucket))
    await reader.save(tmp_path)
    await reader.close()
    assert lies(tmp_path) == FILES


async def test_the_callers_own_credentials_are_meant_in_errors(
    s3_server: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    reader = open_s3_result(plain(s3_server, bucket))
    with pytest.raises(Forbidden, match="your AWS credentials are not valid there"):
        await reader.entries()
    await reader.close()
