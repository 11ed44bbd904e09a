"""The engine's connection: found once, however many wait for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bacalhau_jupyter.engines.docker.connection import Connection
from bacalhau_jupyter.engines.docker.daemon import Daemon
from bacalhau_jupyter.engines.docker.endpoints import Endpoint
from bacalhau_jupyter.engines.docker.files.placement import Placement
from bacalhau_jupyter.models.records.hosts import HostState
from bacalhau_jupyter.plugins.link import HostStatus
from bacalhau_jupyter.plugins.options import PluginOptions

ENDPOINT = Endpoint("unix:///nowhere", "host gpu1", shown="host gpu1")


class ReadyLink:
    """A link that is ready and stays so."""

    name, endpoint, status = "gpu1", ENDPOINT, HostStatus(HostState.READY)

    def watch(self, listener: Callable[[HostStatus], None]) -> Callable[[], None]:
        return lambda: None

    async def start(self) -> None:
        pass

    async def ready(self) -> None:
        pass

    def broke(self, reason: str) -> None:
        pass

    def again(self) -> None:
        pass

    async def run(self, script: str, timeout_s: float) -> str:
        return ""

    async def close(self) -> None:
        pass


class Api:
    """The SDK's client, as far as it is closed."""

    api_version, is_closed = "1.47", False

    def close(self) -> None:
        self.is_closed = True


async def test_jobs_that_wait_for_an_engine_elsewhere_share_what_is_known_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = Connection(PluginOptions("n-1", tmp_path), {}, tmp_path, None, link=ReadyLink())
    made: list[Any] = []
    all_look = threading.Barrier(3)

    def connect() -> tuple[Daemon, Placement]:
        all_look.wait(60)
        api = Api()
        made.append(api)
        return Daemon(api, ENDPOINT, {}), Placement.ARCHIVE

    monkeypatch.setattr(connection, "_connect", connect)
    used: list[tuple[object, object]] = []

    async def job() -> None:
        await connection.found()
        used.append((connection.daemon, connection.kept))

    await asyncio.gather(*(job() for _ in range(3)))
    assert len({(id(daemon), id(kept)) for daemon, kept in used}) == 1
    assert sorted(api.is_closed for api in made) == [False, True, True]
    connection.close()
