"""Results of a real node through the gateway of a real Jupyter server under a base URL: in ranges, by our client."""

from __future__ import annotations

import asyncio
import hashlib
import os
import urllib.request
from pathlib import Path

import pytest

from bacalhau_jupyter import Client
from bacalhau_jupyter.client.jobs.build import process
from bacalhau_jupyter.transfer.archive.ranges import TAIL
from tests.client.relay import Relay
from tests.server.conftest import TOKEN, Starter
from tests.services.node_fixtures import node, node_factory

__all__ = ["node", "node_factory"]

MB = 1 << 20


async def test_one_file_of_a_large_result_is_read_through_the_gateway_without_the_rest(
    start_jupyter: Starter, node_factory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    served = node_factory()
    monkeypatch.setenv("BACALHAU_API_HOST", "127.0.0.1")
    monkeypatch.setenv("BACALHAU_API_PORT", served.url.rpartition(":")[2])
    monkeypatch.setenv("BACALHAU_API_KEY", served.repo.api_key())
    jupyter = await start_jupyter("/user/x/")
    relay = Relay(f"http://127.0.0.1:{jupyter.port}")

    def look() -> None:
        with Client(f"{relay.url}/user/x/bacalhau", api_key=TOKEN) as client:
            script = (
                "for i in 1 2 3; do head -c 8388608 /dev/urandom > outputs/$i.bin; done; echo hi > outputs/z"
            )
            result = client.submit(process(script)).result()
            before = relay.received
            assert result.ls("outputs/*") == ["outputs/1.bin", "outputs/2.bin", "outputs/3.bin", "outputs/z"]
            assert relay.received - before < TAIL + 20_000
            assert result.text("z") == "hi\n"
            with result.open("2.bin") as file:
                file.seek(1000)
                bit = file.read(10)
            assert relay.received - before < 6 * MB
            assert result.get("2.bin", tmp_path).read_bytes()[1000:1010] == bit
            client.job(result.job.id).get(tmp_path / "all")
            assert (tmp_path / "all/outputs/3.bin").stat().st_size == 8 * MB

    try:
        await asyncio.to_thread(look)
    finally:
        await asyncio.to_thread(relay.close)


async def test_uploads_and_large_results_as_inputs_pass_the_gateway(
    start_jupyter: Starter, node_factory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    served = node_factory()
    monkeypatch.setenv("BACALHAU_API_HOST", "127.0.0.1")
    monkeypatch.setenv("BACALHAU_API_PORT", served.url.rpartition(":")[2])
    monkeypatch.setenv("BACALHAU_API_KEY", served.repo.api_key())
    monkeypatch.setattr("bacalhau_jupyter.client.jobs.sending.is_near", lambda url: False)
    monkeypatch.setattr("bacalhau_jupyter.client.jobs.sending.RANGE", 3 * MB)
    jupyter = await start_jupyter("/user/x/")
    (tmp_path / "big.bin").write_bytes(os.urandom(8 * MB))

    def run() -> tuple[str, str]:
        with Client(f"http://127.0.0.1:{jupyter.port}/user/x/bacalhau", api_key=TOKEN) as client:
            copy = process(
                "cp inputs/big.bin outputs; sha256sum < inputs/big.bin", inputs=[str(tmp_path / "big.bin")]
            )
            first = client.submit(copy).result()
            again = client.submit(process("sha256sum < inputs/big.bin", inputs=[first["outputs"]])).result()
            return first.stdout, again.stdout

    digest = hashlib.sha256((tmp_path / "big.bin").read_bytes()).hexdigest()
    printed = await asyncio.to_thread(run)
    assert [text.split()[0] for text in printed] == [digest, digest]


async def test_names_that_are_not_utf_8_are_downloaded_through_the_gateway(
    start_jupyter: Starter, node_factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = node_factory()
    monkeypatch.setenv("BACALHAU_API_HOST", "127.0.0.1")
    monkeypatch.setenv("BACALHAU_API_PORT", served.url.rpartition(":")[2])
    monkeypatch.setenv("BACALHAU_API_KEY", served.repo.api_key())
    jupyter = await start_jupyter("/user/x/")

    def look() -> None:
        gateway = f"http://127.0.0.1:{jupyter.port}/user/x/bacalhau"
        with Client(gateway, api_key=TOKEN) as client:
            body = "for n in (b'caf\\xe9', b'a\\nb', b'a%20b'):\n    open(b'outputs/' + n, 'wb').write(n)"
            job = client.submit(process(f'python3 -c "{body}"'))
            result = job.result()
            (execution,) = job.executions()
            assert "outputs/caf\udce9" in result.ls()
        base = f"{gateway}/api/v1/orchestrator/jobs/{job.id}/results/files/{execution.id}/outputs/"
        for form, content in (("caf%25E9", b"caf\xe9"), ("a%0Ab", b"a\nb"), ("a%2520b", b"a%20b")):
            request = urllib.request.Request(base + form, headers={"Authorization": f"token {TOKEN}"})
            with urllib.request.urlopen(request) as answer:
                assert answer.read() == content, form

    await asyncio.to_thread(look)
