"""An official compute node comes to our NATS server: as far as its handshake."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from nats.aio.msg import Msg

from bacalhau_jupyter.transport.nats import subjects
from tests.services.common import end_process
from tests.services.ports import free_port
from tests.services.waiting import until
from tests.transport.server.conftest import TOKEN, Servers

BINARY = os.environ.get("BACALHAU_STOCK_BINARY", "")
PATIENCE_S = 90

pytestmark = [
    pytest.mark.skipif(not BINARY, reason="BACALHAU_STOCK_BINARY names no official node"),
    pytest.mark.slow,
]


@contextmanager
def official_node(directory: Path, url: str, token: str) -> Iterator[Path]:
    """Run an official compute node; yields the file of its log."""
    log = directory / "official.log"
    settings = {
        "API.Port": free_port(),
        "Compute.Enabled": "true",
        "Compute.Orchestrators": url,
        "Compute.Auth.Token": token,
        "DisableAnalytics": "true",
        "NameProvider": "uuid",
        "Publishers.Types.Local.Port": free_port(),
        "UpdateConfig.Interval": 0,
    }
    command = [BINARY, "serve", "--data-dir", str(directory / "official")]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        yield log
    finally:
        end_process(process, timeout_s=30)


async def test_an_official_node_with_the_token_asks_for_its_handshake(
    servers: Servers, tmp_path: Path
) -> None:
    server = await servers.started()
    access = server.access
    listener = await servers.client(server.url, user=access.user, password=access.password)
    asked: asyncio.Queue[Msg] = asyncio.Queue()
    await listener.subscribe(subjects.CONTROL, cb=asked.put)
    await listener.settle()
    with official_node(tmp_path, server.url, TOKEN):
        async with asyncio.timeout(PATIENCE_S):
            request = await asked.get()
    assert b"transport.HandshakeRequest" in request.data
    assert subjects.sender(request.subject).encode() in request.data


async def test_an_official_node_with_a_wrong_token_is_refused_and_told_of(
    servers: Servers, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = await servers.started()
    with official_node(tmp_path, server.url, "a wrong token") as log:
        await until(lambda: "is refused: its token is wrong" in caplog.text, PATIENCE_S)
        await until(lambda: "Authorization Violation" in log.read_text(), PATIENCE_S)
