from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from bacalhau_jupyter.models.jobs.spec import SpecConfig
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.plugins.publisher import PublishRequest
from bacalhau_jupyter.transfer.archive.held import write_archive
from bacalhau_jupyter.transfer.archive.keeping import MIN_SIZE, pack_result
from tests.api.conftest import Api
from tests.api.recorder import Links

URL = "/api/v1/compute/results/e-1.tar.gz"
ANONYMOUS = {"Authorization": ""}


async def test_references_become_urls_under_the_name_the_caller_used(api: Api) -> None:
    async with api.client.get(
        "/api/v1/orchestrator/jobs/j-1/results", headers={"Host": f"localhost:{api.port}"}
    ) as answer:
        text = await answer.text()
        (item,) = (await answer.json())["Items"]
    assert item["Type"] == "urlDownload"
    assert item["Params"]["URL"] == f"http://localhost:{api.port}{URL}?expires=9&signature=good"
    assert "\\u0026" not in text


@pytest.mark.parametrize("query", ["", "?local=true"])
@pytest.mark.parametrize("name", ["File", "file", "FILE"])
async def test_a_file_that_a_node_reports_is_not_passed_to_readers(
    api: Api, monkeypatch: pytest.MonkeyPatch, query: str, name: str
) -> None:
    reported = SpecConfig(type="urlDownload", params={"URL": "http://192.0.2.1/x", name: "/etc/passwd"})
    monkeypatch.setattr(Links, "sign", lambda self, reference, base_url: reported)
    monkeypatch.setattr(Links, "file", lambda self, reference: None)
    async with api.client.get(f"/api/v1/orchestrator/jobs/j-1/results{query}") as answer:
        (item,) = (await answer.json())["Items"]
    assert item["Params"] == {"URL": "http://192.0.2.1/x"}


async def test_an_archive_downloads_without_a_credential_as_an_attachment(api: Api) -> None:
    (api.results / "e-1.tar.gz").write_bytes(b"0123456789")
    async with api.client.get(f"{URL}?expires=9&signature=good", headers=ANONYMOUS) as answer:
        assert answer.status == 200
        assert await answer.read() == b"0123456789"
        headers = answer.headers
    assert headers["Content-Type"] == "application/gzip"
    assert "Content-Encoding" not in headers
    assert headers["Content-Disposition"] == 'attachment; filename="e-1.tar.gz"'
    assert headers["X-Content-Type-Options"] == "nosniff"
    async with api.client.get(
        f"{URL}?expires=9&signature=good", headers={**ANONYMOUS, "Range": "bytes=3-5"}
    ) as answer:
        assert (answer.status, await answer.read()) == (206, b"345")


@pytest.mark.parametrize(
    ("query", "status"),
    [("", 403), ("?expires=9", 403), ("?expires=9&signature=bad", 403), ("?expires=9&signature=good", 404)],
)
async def test_without_the_right_signature_there_is_nothing(api: Api, query: str, status: int) -> None:
    async with api.client.get(URL + query, headers=ANONYMOUS) as answer:
        assert answer.status == status
        assert (await answer.json())["Status"] == status


@pytest.mark.parametrize("name", ["..%2F..%2Fetc%2Fpasswd", "%2e%2e", ".."])
async def test_a_path_is_not_a_name(api: Api, name: str) -> None:
    async with api.client.get(f"/api/v1/compute/results/{name}?expires=9&signature=good") as answer:
        assert answer.status in (401, 403, 404)


async def test_an_archive_that_is_made_while_it_is_sent_downloads_like_a_file(
    api: Api, tmp_path: Path
) -> None:
    results = tmp_path / "left"
    results.mkdir()
    (results / "a.bin").write_bytes(os.urandom(MIN_SIZE + 5))
    gathering = PublishRequest(Execution(id="e-1"), results).gathering("test")
    assert not pack_result(gathering, api.results / "e-1.tar.gz")
    write_archive(api.results / "e-1.tar.gz", tmp_path / "whole.tar.gz")
    whole = await asyncio.to_thread((tmp_path / "whole.tar.gz").read_bytes)
    size = len(whole)
    url = f"{URL}?expires=9&signature=good"
    async with api.client.get(url, headers=ANONYMOUS) as answer:
        assert (answer.status, await answer.read() == whole) == (200, True)
        headers = answer.headers
    assert headers["Content-Type"] == "application/gzip" and "Content-Encoding" not in headers
    assert headers["Content-Length"] == str(size)
    assert headers["Accept-Ranges"] == "bytes"
    ranges = {
        "bytes=3-5": whole[3:6],
        "bytes=-7": whole[-7:],
        f"bytes=-{size + 1}": whole,
        f"bytes={size - 2}-{size + 9}": whole[-2:],
        f"bytes=3000000-{5_000_000}": whole[3_000_000:5_000_001],
        "bytes=0-": whole,
    }
    for asked, part in ranges.items():
        async with api.client.get(url, headers={**ANONYMOUS, "Range": asked}) as answer:
            assert (answer.status, await answer.read() == part) == (206, True), asked
            assert answer.headers["Content-Range"].endswith(f"/{size}")
            assert answer.headers["ETag"] == headers["ETag"]
    for asked in (f"bytes={size}-", "bytes=a-b"):
        async with api.client.get(url, headers={**ANONYMOUS, "Range": asked}) as answer:
            assert (answer.status, answer.headers["Content-Range"]) == (416, f"bytes */{size}")
    conditions = {
        ("If-None-Match", headers["ETag"]): 304,
        ("If-Match", '"another"'): 412,
        ("If-Modified-Since", headers["Last-Modified"]): 304,
        ("If-Unmodified-Since", "Mon, 01 Jan 2001 00:00:00 GMT"): 412,
    }
    for (name, value), status in conditions.items():
        async with api.client.get(url, headers={**ANONYMOUS, name: value}) as answer:
            assert (answer.status, await answer.read()) == (status, b""), name
