"""What keeps a Jupyter server from being ended for idleness: people and running jobs; never an open panel."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.server.handlers.base import PERSON
from tests.server.conftest import TOKEN, Jupyter, kill_nodes_of
from tests.server.test_app import noop

JOBS = "/bacalhau/api/v1/orchestrator/jobs"
IDLE_S = 15
# Jupyter looks once a minute whether anybody is there; here, once a second.
LOOK_OFTEN = """
from jupyter_server import serverapp

class Often(serverapp.ioloop.PeriodicCallback):
    def __init__(self, callback, every_ms, *more, **named):
        looks = getattr(callback, "__name__", "") == "shutdown_no_activity"
        super().__init__(callback, 1000 if looks else every_ms, *more, **named)

serverapp.ioloop.PeriodicCallback = Often
"""
AS_USER = {"Authorization": f"token {TOKEN}"}


@pytest.mark.parametrize(
    ("method", "path", "more", "counts"),
    [
        ("GET", "/api/v1/orchestrator/jobs?limit=100", {}, False),
        ("GET", "/api/v1/orchestrator/jobs?limit=100", {PERSON: "1"}, True),
        ("GET", "/api/v1/orchestrator/jobs?limit=100&no_track_activity=1", {PERSON: "1"}, False),
        ("GET", "/status", {}, False),
        ("GET", "/connections", {}, False),
        ("PUT", "/api/v1/orchestrator/jobs", {}, True),
        ("DELETE", "/api/v1/orchestrator/jobs/j-1", {}, True),
    ],
)
async def test_only_changes_and_what_a_person_asks_is_activity(
    jupyter: Jupyter, method: str, path: str, more: dict[str, str], counts: bool
) -> None:
    settings = jupyter.app.web_app.settings
    settings.pop("api_last_activity", None)
    body: Any = {} if method != "GET" else None
    async with jupyter.request(method, path, headers=more, json=body) as answer:
        assert answer.status == 200
    assert ("api_last_activity" in settings) is counts


async def test_an_open_stream_does_not_count_as_activity(jupyter: Jupyter) -> None:
    settings = jupyter.app.web_app.settings
    settings.pop("api_last_activity", None)
    async with jupyter.ws("/api/v1/orchestrator/events") as events:
        with contextlib.suppress(TimeoutError):
            await events.receive(0.5)
    assert "api_last_activity" not in settings


@asynccontextmanager
async def jupyter_process(directory: Path, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a Jupyter server that ends itself when nobody uses it, with a node of its own."""
    repo = Repo(directory / "repo")
    (directory / "config").mkdir()
    (directory / "config/jupyter_server_config.py").write_text(LOOK_OFTEN)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BACALHAU_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "jupyter",
        "server",
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        f"--port={port}",
        "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={TOKEN}",
        f"--ServerApp.shutdown_no_activity_timeout={IDLE_S}",
        "--ServerApp.jpserver_extensions=bacalhau_jupyter=True",
        f"--ServerApp.root_dir={directory}",
        "--BacalhauApp.node_options=--config=API.Port=0",
        "--BacalhauApp.grace_period=1s",
        env={
            **environment,
            "BACALHAU_DIR": str(repo.path),
            "JUPYTER_CONFIG_DIR": str(directory / "config"),
            "JUPYTER_RUNTIME_DIR": str(directory / "runtime"),
        },
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            await asyncio.wait_for(process.wait(), 60)
        kill_nodes_of(repo)
        shutil.rmtree(repo.path, ignore_errors=True)


class Panel:
    """What an open panel does by itself: it reads the jobs again and again, and holds the event stream open."""

    def __init__(self, session: aiohttp.ClientSession, port: int, more: dict[str, str] | None = None) -> None:
        self._session = session
        self._url = f"http://127.0.0.1:{port}"
        self._headers = {**AS_USER, **(more or {})}

    async def keep_busy(self, ready: asyncio.Event) -> None:
        """Ask as a person, who keeps a server from ending while others still start; say when it answers."""
        headers = {**self._headers, PERSON: "1"}
        while True:
            with contextlib.suppress(aiohttp.ClientError):
                async with self._session.get(self._url + JOBS, headers=headers) as answer:
                    if answer.status == 200:
                        ready.set()
            await asyncio.sleep(0.2)

    async def submit(self, body: dict[str, Any]) -> None:
        async with self._session.put(self._url + JOBS, json=body, headers=self._headers) as answer:
            assert answer.status == 200

    async def stay_open(self) -> None:
        with contextlib.suppress(aiohttp.ClientError, ConnectionError):
            events = self._url + "/bacalhau/api/v1/orchestrator/events"
            async with self._session.ws_connect(events, headers=self._headers):
                while True:
                    async with self._session.get(
                        self._url + JOBS + "?limit=100", headers=self._headers
                    ) as answer:
                        await answer.read()
                    await asyncio.sleep(2)


@pytest.mark.slow
@pytest.mark.timeout(480)
async def test_a_real_server_with_an_idle_panel_ends_itself_and_one_at_work_or_in_use_does_not(
    tmp_path: Path, unused_tcp_port_factory: Any
) -> None:
    names = ("idle", "at work", "in use")
    ports = {name: unused_tcp_port_factory() for name in names}
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        servers, open_panels = {}, []
        for name in names:
            directory = tmp_path / name.replace(" ", "-")
            directory.mkdir()
            servers[name] = await stack.enter_async_context(jupyter_process(directory, ports[name]))
        panels = {
            name: Panel(session, ports[name], {PERSON: "1"} if name == "in use" else {}) for name in names
        }
        ready = {name: asyncio.Event() for name in names}
        busy = [asyncio.create_task(panels[name].keep_busy(ready[name])) for name in names]
        # Three servers and their nodes, which start at the same time, need half a minute of processor time.
        async with asyncio.timeout(150):
            await asyncio.gather(*(event.wait() for event in ready.values()))
        for name, panel in panels.items():
            if name == "at work":
                await panel.submit(noop("long", 600))
            open_panels.append(asyncio.create_task(panel.stay_open()))
        for asking in busy:
            asking.cancel()
        await asyncio.gather(*busy, return_exceptions=True)
        assert await asyncio.wait_for(servers["idle"].wait(), 150) == 0
        # The others have been looked at as often by then, and are so for as long again.
        others = [asyncio.create_task(servers[name].wait()) for name in ("at work", "in use")]
        ended, _ = await asyncio.wait(others, timeout=IDLE_S)
        assert not ended
        waiting = [*open_panels, *others]
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
