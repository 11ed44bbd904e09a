from __future__ import annotations

import pytest

from tests.api.conftest import Api

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
async def test_a_path_is_no_name(api: Api, name: str) -> None:
    async with api.client.get(f"/api/v1/compute/results/{name}?expires=9&signature=good") as answer:
        assert answer.status in (401, 403, 404)
