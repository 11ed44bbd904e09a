"""Inputs from web servers."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bacalhau_jupyter.models.errors import BadRequest, NetworkFailure
from bacalhau_jupyter.models.jobs.spec import InputSource, SpecConfig
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.models.records.progress import Reading
from bacalhau_jupyter.plugins.options import PluginOptions
from bacalhau_jupyter.plugins.source import FetchRequest, identity_of
from bacalhau_jupyter.sources.url import UrlDownloadSource
from tests.services.http_server import BadHttpServer
from tests.services.node import TEST_SERVERS
from tests.transfer.helpers import names, tree


def make(tmp_path: Path, **settings: Any) -> UrlDownloadSource:
    keys = {f"InputSources.{name}": value for name, value in settings.items()}
    keys["Compute.AllowListedAddresses"] = list(TEST_SERVERS)
    return UrlDownloadSource(PluginOptions(node_id="n-1", data_dir=tmp_path, settings=keys.get))


def source(url: object) -> InputSource:
    return InputSource(source=SpecConfig(type="urlDownload", params={"URL": url}), target="/inputs")


@pytest.mark.parametrize(
    ("path", "name"),
    [("/file/penguins.csv", "penguins.csv"), ("/redirect", "report 2026.csv"), ("/chunked", "chunked")],
)
async def test_the_target_is_a_directory_that_holds_the_file(
    http_server: BadHttpServer, tmp_path: Path, path: str, name: str
) -> None:
    request = FetchRequest(Execution(), source(f"'{http_server.url}{path}' "), tmp_path)
    mount = await make(tmp_path).fetch(request)
    assert (mount.target, mount.read_only) == ("/inputs", True)
    assert tree(mount.path) == {name: ("file", http_server.content, 0o644)}
    assert mount.path.stat().st_mode & 0o777 == 0o755
    assert names(tmp_path) == ["content"]


async def test_every_user_of_a_container_can_read_it_whatever_the_nodes_umask_is(
    http_server: BadHttpServer, tmp_path: Path
) -> None:
    before = os.umask(0o077)  # as a node has it
    try:
        request = FetchRequest(Execution(), source(http_server.url + "/file"), tmp_path)
        mount = await make(tmp_path).fetch(request)
    finally:
        os.umask(before)
    assert mount.path.stat().st_mode & 0o777 == 0o755
    assert (mount.path / "file").stat().st_mode & 0o777 == 0o644


async def test_the_size_is_what_head_says_and_0_where_it_says_nothing(
    http_server: BadHttpServer, tmp_path: Path
) -> None:
    sizes = [
        await make(tmp_path).size(Execution(), source(http_server.url + path))
        for path in ("/file", "/chunked", "/missing")
    ]
    assert sizes == [len(http_server.content), 0, 0]


async def test_retries_come_from_the_settings_and_the_error_says_how_often(
    http_server: BadHttpServer, tmp_path: Path
) -> None:
    request = FetchRequest(Execution(), source(f"{http_server.url}/missing"), tmp_path)
    with pytest.raises(NetworkFailure, match=r"/missing answered 404 Not Found \(tried 2 times\)") as caught:
        await make(tmp_path, MaxRetryCount=1).fetch(request)
    assert caught.value.details == {"HTTPStatus": "404"}
    assert len(http_server.requests) == 2
    assert names(tmp_path) == []


@pytest.mark.parametrize("url", ["http://host", "ftp://host/x", "", None, ["http://host/"]])
async def test_urls_that_cannot_be_fetched_are_rejected_at_bid_time(url: object, tmp_path: Path) -> None:
    bid = await make(tmp_path).bid(Execution(), source(url))
    assert not bid.accepted
    assert bid.reason.startswith("this node can't bring an input: the URL")
    with pytest.raises(BadRequest):
        await make(tmp_path).fetch(FetchRequest(Execution(), source(url), tmp_path))


@pytest.mark.parametrize(
    ("value", "available"),
    [
        (None, True),
        ("5m0s", True),
        ("1h2m3.5s", True),
        (300, True),
        (0.5, True),
        (timedelta(minutes=5), True),
        ("5 minutes", False),
        (0, False),
        ("-5m", False),
        ([], False),
    ],
)
async def test_a_wrong_time_out_makes_the_source_unavailable_with_a_reason(
    value: object, available: bool, tmp_path: Path
) -> None:
    probe = await make(tmp_path, ReadTimeout=value).probe()
    assert probe.available is available
    assert ("InputSources.ReadTimeout is not a duration" in probe.problem) is not available


async def test_a_negative_retry_count_makes_the_source_unavailable(tmp_path: Path) -> None:
    assert "MaxRetryCount is not a count: -1" in (await make(tmp_path, MaxRetryCount=-1).probe()).problem


# ---- shared between executions


async def test_a_strong_etag_makes_an_identity_and_what_is_fetched_has_the_same(
    http_server: BadHttpServer, tmp_path: Path
) -> None:
    origin, url = make(tmp_path), source(f"{http_server.url}/file/a.csv?key=1")
    identity = await identity_of(origin, Execution(), url)
    assert identity is not None
    assert identity == await identity_of(origin, Execution(), url)
    assert identity != await identity_of(origin, Execution(), source(f"{http_server.url}/file/b.csv?key=1"))
    assert (await origin.fetch(FetchRequest(Execution(), url, tmp_path))).identity == identity


@pytest.mark.parametrize(
    "headers", [{}, {"ETag": 'W/"1"'}, {"ETag": '"1"', "Cache-Control": "private, no-store"}, {"ETag": "1"}]
)
async def test_without_a_strong_etag_nothing_is_shared(tmp_path: Path, headers: dict[str, str]) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=b"x", headers=headers)

    app = web.Application()
    app.router.add_get("/x", answer)
    async with TestServer(app) as server:
        assert await identity_of(make(tmp_path), Execution(), source(str(server.make_url("/x")))) is None


async def test_a_server_that_refuses_head_or_is_not_there_has_no_identity(
    http_server: BadHttpServer, tmp_path: Path, unused_tcp_port: int
) -> None:
    for url in (f"{http_server.url}/missing", f"http://127.0.0.1:{unused_tcp_port}/x"):
        assert await identity_of(make(tmp_path), Execution(), source(url)) is None


async def test_a_file_whose_connection_is_cut_at_half_comes_whole_and_is_counted_once(
    http_server: BadHttpServer, tmp_path: Path
) -> None:
    seen: list[Reading] = []
    request = FetchRequest(Execution(), source(f"{http_server.url}/cut/1"), tmp_path, seen.append)
    mount = await make(tmp_path).fetch(request)
    assert (mount.path / "1").read_bytes() == http_server.content
    assert [method for method, *_ in http_server.requests] == ["GET", "GET"]
    whole = len(http_server.content)
    assert seen[-1] == Reading("downloading", whole, whole, 1, 1)
    assert (seen[0].files, seen[0].files_total) == (0, 1)


async def test_a_server_that_always_breaks_off_fails_in_a_sentence_and_leaves_nothing(
    http_server: BadHttpServer, tmp_path: Path
) -> None:
    request = FetchRequest(Execution(), source(f"{http_server.url}/truncated"), tmp_path)
    with pytest.raises(NetworkFailure, match=r"/truncated broke off before all of its 131072 bytes had come"):
        await make(tmp_path, MaxRetryCount=1).fetch(request)
    assert names(tmp_path) == []
