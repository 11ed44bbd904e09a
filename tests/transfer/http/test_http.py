"""Downloads: whole or not at all, whatever the server does."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from bacalhau_jupyter.models.errors import BadRequest, IOFailure, NetworkFailure, TimedOut
from bacalhau_jupyter.models.records.progress import Reading
from bacalhau_jupyter.transfer.core.addresses import parse_http_url, proxy_for, refuse_inward, shown_url
from bacalhau_jupyter.transfer.core.resolver import Names
from bacalhau_jupyter.transfer.http.download import content_length, download
from tests.services.http_server import BadHttpServer
from tests.services.waiting import until
from tests.transfer.conftest import Serve
from tests.transfer.helpers import names, small_disk

# A cut costs what aiohttp has buffered, so halves are larger than its buffers.
CONTENT = os.urandom(8_000_000)
PIECE = 2_000_000


async def no_wait(seconds: float) -> None:
    assert seconds <= 1.0


async def test_a_file_arrives_with_its_name_size_etag_and_progress(
    http_server: BadHttpServer, tmp_path: Path
) -> None:
    seen: list[Reading] = []
    result = await download(f"{http_server.url}/file/data.bin?key=1", tmp_path / "x", progress=seen.append)
    assert result.path.read_bytes() == http_server.content
    assert (result.filename, result.bytes) == ("data.bin", len(http_server.content))
    assert result.etag.startswith('"')
    assert seen[-1] == Reading("downloading", len(http_server.content), len(http_server.content))
    assert result.path.stat().st_mode & 0o777 == 0o600
    assert names(tmp_path) == ["x"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/redirect", "report 2026.csv"),  # the header counts after a redirect
        ("/hostile-name", "hostile-name"),  # and not without one
        ("/chunked", "chunked"),
        ("/flaky/once", "once"),
        ("/cut/file.bin", "file.bin"),
        ("/file/a%20b%2Fc.csv", "c.csv"),
    ],
)
async def test_servers_that_behave_oddly_still_deliver(
    http_server: BadHttpServer, tmp_path: Path, path: str, name: str
) -> None:
    result = await download(http_server.url + path, tmp_path / "x", sleep=no_wait)
    assert result.path.read_bytes() == http_server.content
    assert result.filename == name


async def test_a_file_that_changed_between_two_halves_is_fetched_anew(serve: Serve, tmp_path: Path) -> None:
    new = CONTENT[::-1] + b"new"
    asked: list[str | None] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        asked.append(request.headers.get("Range"))
        if len(asked) == 1:
            answer = web.StreamResponse(headers={"ETag": '"old"', "Content-Length": str(len(CONTENT))})
            await answer.prepare(request)
            await answer.write(CONTENT[:PIECE])
            assert request.transport is not None
            request.transport.close()
            return answer
        assert request.headers["If-Range"] == '"old"'
        return web.Response(body=new, headers={"ETag": '"new"'})

    result = await download(f"{await serve(handler)}/f", tmp_path / "x", sleep=no_wait)
    assert asked[0] is None
    assert asked[1] is not None
    assert result.path.read_bytes() == new
    assert result.etag == '"new"'


async def test_without_a_validator_a_cut_download_starts_again(serve: Serve, tmp_path: Path) -> None:
    ranges: list[str | None] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        ranges.append(request.headers.get("Range"))
        answer = web.StreamResponse(headers={"Content-Length": str(len(CONTENT)), "ETag": 'W/"weak"'})
        await answer.prepare(request)
        await answer.write(CONTENT if len(ranges) > 1 else CONTENT[:1000])
        if len(ranges) == 1:
            assert request.transport is not None
            request.transport.close()
        return answer

    result = await download(f"{await serve(handler)}/f", tmp_path / "x", sleep=no_wait)
    assert result.path.read_bytes() == CONTENT
    assert ranges == [None, None]


async def test_a_cut_download_asks_only_for_the_rest_as_long_as_bytes_come(
    serve: Serve, tmp_path: Path
) -> None:
    starts: list[int] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        first = int(request.headers.get("Range", "bytes=0-")[6:-1])
        starts.append(first)
        assert request.headers.get("If-Range") == ('"e"' if first else None)
        headers = {"ETag": '"e"', "Content-Length": str(len(CONTENT) - first)}
        if first:
            headers["Content-Range"] = f"bytes {first}-{len(CONTENT) - 1}/{len(CONTENT)}"
        answer = web.StreamResponse(status=206 if first else 200, headers=headers)
        await answer.prepare(request)
        await answer.write(CONTENT[first : first + PIECE])
        if first + PIECE < len(CONTENT):
            assert request.transport is not None
            request.transport.close()
        return answer

    # More cuts than the one retry allowed in a row.
    result = await download(f"{await serve(handler)}/f", tmp_path / "x", max_retries=1, sleep=no_wait)
    assert result.path.read_bytes() == CONTENT
    assert len(starts) >= 4
    assert all(later > earlier + PIECE // 2 for earlier, later in itertools.pairwise(starts))


@pytest.mark.parametrize(
    ("path", "retries", "kind", "words"),
    [
        ("/missing", 3, NetworkFailure, "answered 404 Not Found (tried 4 times)"),
        ("/missing", 0, NetworkFailure, "answered 404 Not Found"),
        (
            "/truncated",
            2,
            NetworkFailure,
            "broke off before all of its 131072 bytes had come",
        ),
        ("/redirect-loop", 3, NetworkFailure, "redirected more than 10 times"),
        ("/slow", 0, TimedOut, "sent nothing for 0.2 s"),
    ],
)
async def test_a_failed_input_is_an_error_of_one_sentence_and_leaves_nothing(
    http_server: BadHttpServer, tmp_path: Path, path: str, retries: int, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind) as caught:
        await download(
            f"{http_server.url}{path}?token=secret",
            tmp_path / "x",
            max_retries=retries,
            # Nothing but silence is given up so soon: an answer may take its time on a busy machine.
            read_timeout_s=0.2 if path == "/slow" else 60,
            sleep=no_wait,
        )
    assert words in str(caught.value)
    assert path in str(caught.value)
    assert "secret" not in str(caught.value)
    assert names(tmp_path) == []


async def test_a_server_that_is_not_there_is_reported(tmp_path: Path, unused_tcp_port: int) -> None:
    with pytest.raises(NetworkFailure, match="failed: Cannot connect"):
        await download(f"http://127.0.0.1:{unused_tcp_port}/x", tmp_path / "x", sleep=no_wait)
    assert names(tmp_path) == []


async def test_an_empty_file_is_a_file(serve: Serve, tmp_path: Path) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"")

    result = await download(f"{await serve(handler)}/", tmp_path / "x")
    assert (result.path.read_bytes(), result.filename) == (b"", "download")


async def test_contents_are_saved_as_sent_even_when_marked_as_compressed(
    serve: Serve, tmp_path: Path
) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        assert request.headers["Accept-Encoding"] == "identity"
        return web.Response(body=b"\x1f\x8bnot really", headers={"Content-Encoding": "gzip"})

    async with aiohttp.ClientSession() as session:
        result = await download(f"{await serve(handler)}/a.tar.gz", tmp_path / "x", session=session)
    assert result.path.read_bytes() == b"\x1f\x8bnot really"


async def test_a_file_above_the_limit_is_refused_with_and_without_a_length(
    http_server: BadHttpServer, tmp_path: Path
) -> None:
    for path in ("/file", "/chunked"):
        with pytest.raises(IOFailure, match=r"larger than the limit of 1\.0 kB"):
            await download(http_server.url + path, tmp_path / "x", max_bytes=1000)
    assert names(tmp_path) == []


async def test_a_full_disk_is_reported_with_path_and_room_and_leaves_nothing(
    http_server: BadHttpServer, serve: Serve, tmp_path: Path
) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        while True:
            await answer.write(bytes(100_000))

    with small_disk(tmp_path / "disk") as disk:
        with pytest.raises(IOFailure, match=r"disk is full.*/disk/x \(50 MB needed, 2\.1 MB free\)"):
            await download(f"{http_server.url}/big/50000000", disk / "x")
        with pytest.raises(IOFailure, match=r"disk is full.*/disk/x"):
            await download(f"{await serve(endless)}/f", disk / "x")
        assert names(disk) == []


async def test_a_download_that_is_cancelled_as_its_file_is_made_leaves_nothing(
    http_server: BadHttpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_made, may_end = threading.Event(), threading.Event()
    make = tempfile.mkstemp

    def slow(prefix: str, suffix: str, dir: Path) -> tuple[int, str]:
        made = make(prefix=prefix, suffix=suffix, dir=dir)
        is_made.set()
        assert may_end.wait(60)
        return made

    monkeypatch.setattr(tempfile, "mkstemp", slow)
    task = asyncio.create_task(download(f"{http_server.url}/file/x", tmp_path / "x"))
    await until(is_made.is_set)
    task.cancel()
    asyncio.get_running_loop().call_later(0.05, may_end.set)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert names(tmp_path) == []


async def test_a_cancelled_download_leaves_nothing(
    no_leaks: None, http_server: BadHttpServer, tmp_path: Path
) -> None:
    started = asyncio.Event()
    task = asyncio.create_task(
        download(f"{http_server.url}/big/500000000", tmp_path / "x", progress=lambda *_: started.set())
    )
    await asyncio.wait_for(started.wait(), 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert names(tmp_path) == []


async def test_memory_stays_small_while_200_mb_arrive(http_server: BadHttpServer, tmp_path: Path) -> None:
    before = resident()
    peak = 0

    def progress(_: Reading) -> None:
        nonlocal peak
        peak = max(peak, resident())

    result = await download(f"{http_server.url}/big/200000000", tmp_path / "x", progress=progress)
    assert result.bytes == result.path.stat().st_size == 200_000_000
    assert peak - before < 30_000_000


def resident() -> int:
    """Bytes of this process in memory (the server, in this process too, holds 1 MB)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_own_headers_go_to_the_urls_own_origin_only(serve: Serve, tmp_path: Path) -> None:
    seen: list[str | None] = []

    async def end(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers.get("Authorization"))
        return web.Response(body=b"x")

    target = await serve(end)

    async def start(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers.get("Authorization"))
        raise web.HTTPFound(f"{target}/there" if request.path == "/away" else "/end")

    origin = await serve(start)
    await download(f"{origin}/away", tmp_path / "x", headers={"Authorization": "Bearer k"})
    assert seen == ["Bearer k", None]


async def test_a_redirect_to_another_scheme_is_not_followed(serve: Serve, tmp_path: Path) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": "file:///etc/passwd"})

    with pytest.raises(NetworkFailure, match="not an http or https URL"):
        await download(f"{await serve(handler)}/x", tmp_path / "x")


@pytest.mark.parametrize(
    ("origin", "target", "allowed"),
    [
        ("http://192.0.2.1/", "http://127.0.0.1:1234/api/v1/agent/config", False),
        ("http://192.0.2.1/", "http://[::ffff:127.0.0.1]/", False),
        ("http://192.0.2.1/", "http://169.254.169.254/latest/meta-data", False),
        ("http://192.0.2.1/", "http://0.0.0.0/", False),
        ("http://192.0.2.1/", "http://[64:ff9b::7f00:1]/", False),
        ("http://192.0.2.1/", "http://192.0.2.2/", True),
        ("http://127.0.0.1:1/", "http://127.0.0.1:2/", True),
    ],
)
async def test_a_strangers_redirect_may_not_lead_to_this_machine(
    origin: str, target: str, allowed: bool
) -> None:
    if allowed:
        await refuse_inward(URL(origin), URL(target), "Test")
    else:
        with pytest.raises(NetworkFailure, match="address of this machine"):
            await refuse_inward(URL(origin), URL(target), "Test")


async def test_a_stranger_with_an_address_of_this_machine_among_its_own_may_not_redirect_to_it() -> None:
    def lookup(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        addresses = ["192.0.2.1", "127.0.0.1"] if host == "stranger.example" else [host]
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, port)) for address in addresses]

    with pytest.raises(NetworkFailure, match="address of this machine"):
        await refuse_inward(
            URL("http://stranger.example/"), URL("http://127.0.0.1/"), "Test", names=Names(lookup)
        )


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/file", 131072), ("/chunked", None), ("/missing", None), ("/redirect", 131072)],
)
async def test_head_returns_a_size_or_nothing(
    http_server: BadHttpServer, path: str, expected: int | None
) -> None:
    assert await content_length(http_server.url + path) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ftp://host/x", "does not start with http"),
        ("", "does not start with http"),
        (None, "does not start with http"),
        ("http://host", "has no path"),
        ("http://host?q=1", "has no path"),
        ("http:///x", "names no host"),
        ("http://host:port/x", "broken"),
        ("http://127.0.0.1\\@example.org/x", "broken"),
        ("http://a..b/x", "broken"),
        ("http://xn--a/x", "broken"),
        ("http://\u3002/x", "broken"),
        ("http://\u202eevil/x", "broken"),
        ("http://[::1]x/x", "broken"),
        ("http://a b/x", "no host has such a name"),
        ("http://a\0b/x", "no host has such a name"),
    ],
)
def test_urls_that_cannot_be_fetched_are_refused_with_a_reason(text: object, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        parse_http_url(text)


def test_quotes_and_spaces_around_a_url_are_dropped() -> None:
    assert parse_http_url(' "http://host/a b" ') == "http://host/a b"


def test_messages_never_show_passwords_or_queries() -> None:
    assert shown_url("https://me:pw@host:1/a/b?signature=s#f") == "https://host:1/a/b?…"


def test_the_environments_proxy_is_used_but_never_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "proxy.example:3128")
    monkeypatch.setenv("no_proxy", "inside.example")
    assert proxy_for(URL("http://host.example/")) == "http://proxy.example:3128"
    assert proxy_for(URL("http://a.inside.example/")) is None
    assert proxy_for(URL("http://127.0.0.1:1234/")) is None
    assert proxy_for(URL("http://localhost/")) is None


def test_a_kernel_that_imports_transfers_loads_no_network_library() -> None:
    modules = ("archive.tar_gz", "archive.data_urls", "http.download", "core.layout", "core.signing")
    imports = "; ".join(f"import bacalhau_jupyter.transfer.{module}" for module in modules)
    code = f"import sys; {imports}; print('aiohttp' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "False\n"


async def test_names_that_nobody_answers_for_hold_up_no_other_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = threading.Event()

    def hang(*_args: object, **_options: object) -> list[object]:
        answered.wait(120)
        raise socket.gaierror("nobody says")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    waiting = [
        asyncio.create_task(download("http://hangs.test/x", tmp_path / str(number), max_retries=0))
        for number in range(50)
    ]
    try:
        await asyncio.wait(waiting, timeout=0.5)
        async with asyncio.timeout(60):
            assert await asyncio.to_thread(lambda: "free") == "free"
    finally:
        answered.set()
        ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(each, NetworkFailure) for each in ended)
