"""The bridge of a link: no session begins after it was closed."""

from __future__ import annotations

import asyncio
import shutil
import socket
from pathlib import Path

import pytest

from bacalhau_jupyter.engines.docker.link.ssh.bridge import Bridge
from tests.services.waiting import lasts


@pytest.mark.parametrize("steps", [3, 4])
async def test_a_connection_that_comes_as_it_is_closed_starts_no_session(
    steps: int, runtime_dir: Path
) -> None:
    begun: list[str] = []
    is_closed = False

    def command(remote: str) -> list[str]:
        if is_closed:
            begun.append(remote)
        return [shutil.which("true") or "/bin/true"]

    bridge = Bridge(runtime_dir / "s", "/engine", through=command, direct=command, env={})
    await bridge.start()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(runtime_dir / "s"))
        # Steps of the event loop: it is accepted and has a transport, and is about to be served.
        for _ in range(steps):
            await asyncio.sleep(0)
        await bridge.close()
        is_closed = True
        await lasts(0.05)
    assert begun == []
