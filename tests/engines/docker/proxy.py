"""A way to the Docker Engine of the tests that can be cut, so that nobody has to stop it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest


class Proxy:
    """Passes a Docker Engine's socket on; `down` cuts every connection."""

    def __init__(self, path: Path, upstream: str) -> None:
        self.path, self._upstream = path, upstream
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.AbstractServer | None = None
        self._cuts = 0

    async def up(self) -> None:
        self._server = await asyncio.start_unix_server(partial(self._serve, self._cuts), self.path)

    async def down(self) -> None:
        assert self._server is not None
        self._server.close()
        self._cuts += 1
        for writer in list(self._writers):
            writer.transport.abort()
        self.path.unlink(missing_ok=True)
        await asyncio.sleep(0)

    async def _serve(self, cuts: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(self._upstream)
        self._writers |= {writer, back}
        if cuts != self._cuts:
            # It was let in just before a cut; by now, others may be let in again.
            writer.transport.abort()
            back.transport.abort()
        await asyncio.gather(_pump(reader, back), _pump(there, writer))
        self._writers -= {writer, back}


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(ConnectionError, OSError):
        writer.close()
        await writer.wait_closed()


@pytest.fixture
async def proxy(docker_engine: str, tmp_path: Path) -> AsyncIterator[Proxy]:
    proxy = Proxy(tmp_path / "proxy.sock", docker_engine.removeprefix("unix://"))
    await proxy.up()
    yield proxy
    await proxy.down()
