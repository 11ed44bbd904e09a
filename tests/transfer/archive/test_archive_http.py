"""Archives that are read in ranges over HTTP, from servers that fail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from bacalhau_jupyter.models.errors import BacalhauError, IOFailure, NetworkFailure, NotFound
from bacalhau_jupyter.models.jobs.spec import SpecConfig
from bacalhau_jupyter.transfer.archive.http import HttpRanges, Link
from bacalhau_jupyter.transfer.archive.reader import ArchiveReader
from bacalhau_jupyter.transfer.s3.links.presign import S3Presigner
from tests.services.s3 import S3Server
from tests.services.waiting import until
from tests.transfer.archive.reading import contents, made, packed, sample
from tests.transfer.conftest import Serve
from tests.transfer.helpers import tree


def serving(
    data: bytes, change: Callable[[web.Request, int], web.StreamResponse | None] | None = None
) -> Any:
    """Answer ranges of ``data`` as S3 does; ``change`` may answer a request (its number) otherwise."""
    seen: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers.get("Range", ""))
        if change is not None and (other := change(request, len(seen))) is not None:
            return other
        part = request.http_range
        start, stop, _ = slice(part.start, part.stop).indices(len(data))
        headers = {"Content-Range": f"bytes {start}-{stop - 1}/{len(data)}", "ETag": '"1"'}
        return web.Response(status=206, body=data[start:stop], headers=headers)

    return handler, seen


def http(url: str) -> tuple[HttpRanges, list[str]]:
    asked: list[str] = []

    async def link() -> Link:
        asked.append(f"{url}/x.tar.gz?signature={len(asked)}")
        return Link(asked[-1])

    async def at_once(delay_s: float) -> None:
        del delay_s

    return HttpRanges(link, sleep=at_once), asked


async def test_a_cut_connection_is_taken_up_where_it_broke(tmp_path: Path, serve: Serve) -> None:
    data = packed(sample(tmp_path / "source"))

    def cut(request: web.Request, number: int) -> web.StreamResponse | None:
        if number not in (2, 3):
            return None
        start = request.http_range.start or 0
        headers = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}", "ETag": '"1"'}
        response = web.Response(status=206, body=data[start : start + 1_500_000], headers=headers)
        return response

    handler, seen = serving(data, cut)
    ranges, asked = http(await serve(handler))
    reader = ArchiveReader(ranges, close=ranges.close)
    await reader.save(made(tmp_path / "out"))
    assert tree(tmp_path / "out") == tree(tmp_path / "source")
    assert [text.split("-")[0] for text in seen] == ["bytes=", "bytes=0", "bytes=1500000", "bytes=3000000"]
    assert len(asked) == 1
    await reader.close()


async def test_a_link_that_expired_is_asked_for_again_once(tmp_path: Path, serve: Serve) -> None:
    data = packed(sample(tmp_path / "source"))

    def expire(request: web.Request, number: int) -> web.StreamResponse | None:
        return web.Response(status=403) if request.query["signature"] == "0" and number > 1 else None

    handler, _ = serving(data, expire)
    ranges, asked = http(await serve(handler))
    reader = ArchiveReader(ranges, close=ranges.close)
    assert await contents(reader, "stdout") == b"hello\n"
    assert len(asked) == 2
    await reader.close()
    handler, _ = serving(data, lambda request, number: web.Response(status=403))
    ranges, asked = http(await serve(handler))
    with pytest.raises(NetworkFailure, match="answered 403") as caught:
        await ranges.size()
    assert "signature" not in str(caught.value)
    assert len(asked) == 2
    await ranges.close()


async def test_another_file_behind_the_same_link_is_an_error(tmp_path: Path, serve: Serve) -> None:
    data = packed(sample(tmp_path / "source"))

    def replaced(request: web.Request, number: int) -> web.StreamResponse | None:
        if number == 1:
            return None
        start = request.http_range.start or 0
        headers = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}", "ETag": '"2"'}
        return web.Response(status=206, body=data[start:], headers=headers)

    ranges, _ = http(await serve(serving(data, replaced)[0]))
    reader = ArchiveReader(ranges, close=ranges.close)
    with pytest.raises(IOFailure, match="changed while it was read"):
        await contents(reader, "outputs/big.bin")
    await reader.close()


async def test_a_server_without_ranges_is_downloaded_once(tmp_path: Path, serve: Serve) -> None:
    data = packed(sample(tmp_path / "source"))
    handler, seen = serving(data, lambda request, number: web.Response(body=data))
    ranges, _ = http(await serve(handler))
    reader = ArchiveReader(ranges, close=ranges.close)
    assert len(await reader.entries()) == len(tree(tmp_path / "source"))
    assert await contents(reader, "stdout") == b"hello\n"
    await reader.save(made(tmp_path / "out"))
    assert tree(tmp_path / "out") == tree(tmp_path / "source")
    assert len(seen) == 1
    await reader.close()


async def test_what_a_node_says_of_a_removed_result_is_passed_on(serve: Serve) -> None:
    body = {
        "Code": "NotFound",
        "Message": "the result was removed on Sunday: it was the oldest",
        "Hint": "run it",
    }
    handler, _ = serving(b"", lambda request, number: web.json_response(body, status=410))
    ranges, _ = http(await serve(handler))
    with pytest.raises(BacalhauError, match="removed on Sunday") as caught:
        await ranges.size()
    assert caught.value.hint == "run it"
    await ranges.close()


async def test_a_server_that_sends_more_than_it_was_asked_for_fills_no_memory(serve: Serve) -> None:
    def much(request: web.Request, number: int) -> web.StreamResponse:
        return web.Response(
            status=206, body=bytes(500_000), headers={"Content-Range": "bytes 0-499999/500000"}
        )

    ranges, _ = http(await serve(serving(b"", much)[0]))
    with pytest.raises(NetworkFailure, match="more bytes than requested"):
        await ranges.size()
    await ranges.close()


def _failing(status: int, request: web.Request, number: int) -> web.StreamResponse:
    return web.Response(status=status)


async def test_what_is_gone_or_never_answers_well_is_said_so(serve: Serve) -> None:
    for status, kind, says in ((404, NotFound, "not there any more"), (503, NetworkFailure, "answered 503")):
        handler, seen = serving(b"", partial(_failing, status))
        ranges, _ = http(await serve(handler))
        with pytest.raises(kind, match=says):
            await ranges.size()
        assert len(seen) <= 4
        await ranges.close()


async def is_refused(link: str) -> bool:
    """Whether the server no longer takes a signed link."""
    async with aiohttp.ClientSession() as client, client.get(URL(link, encoded=True)) as answer:
        return answer.status == 403


@pytest.mark.parametrize("expires_s", [300, 1])
async def test_a_pre_signed_s3_link_is_read_in_ranges_and_renewed_when_it_expires(
    tmp_path: Path, s3_credentials: S3Server, expires_s: int
) -> None:
    data = packed(sample(tmp_path / "source"))
    bucket = s3_credentials.bucket()
    client = s3_credentials.client()
    client.put_object(Bucket=bucket, Key="out put/+ü.tar.gz", Body=data)
    client.close()
    where = {
        "Bucket": bucket,
        "Key": "out put/+ü.tar.gz",
        "Endpoint": s3_credentials.url,
        "Region": "us-east-1",
    }
    urls: list[str] = []

    async def link() -> Link:
        presigner = S3Presigner(expires_s if not urls else 300)
        signed = await asyncio.to_thread(presigner.sign, SpecConfig(type="s3", params=where))
        urls.append(str(signed.params["PreSignedURL"]))
        return Link(urls[-1])

    ranges = HttpRanges(link)
    reader = ArchiveReader(ranges, close=ranges.close)
    assert {entry.path for entry in await reader.entries()} == set(tree(tmp_path / "source"))
    if expires_s == 1:
        # A link that the server still takes is just used; only the server knows when it no longer does.
        await until(partial(is_refused, urls[0]))
    big = (tmp_path / "source/outputs/big.bin").read_bytes()
    assert await contents(reader, "outputs/big.bin", 4_000_000, 4_000_100) == big[4_000_000:4_000_100]
    assert len(urls) == (2 if expires_s == 1 else 1)
    await reader.save(made(tmp_path / "out"))
    assert tree(tmp_path / "out") == tree(tmp_path / "source")
    await reader.close()
