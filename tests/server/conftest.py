"""A real Jupyter server with our extension, and a real HTTP server behind it that can misbehave."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
import pytest_asyncio
from aiohttp import web
from jupyter_server.serverapp import ServerApp
from pytest_jupyter.jupyter_core import (
    echo_kernel_spec,
    jp_config_dir,
    jp_data_dir,
    jp_env_config_path,
    jp_env_jupyter_path,
    jp_environ,
    jp_home_dir,
    jp_kernel_dir,
    jp_runtime_dir,
    jp_system_config_path,
    jp_system_jupyter_path,
)
from pytest_jupyter.jupyter_server import (
    jp_argv,
    jp_configurable_serverapp,
    jp_http_port,
    jp_logging_stream,
    jp_nbconvert_templates,
    jp_root_dir,
    jp_server_config,
)
from pytest_jupyter.pytest_tornasync import http_server_port
from tornado.httpserver import HTTPServer
from traitlets.config import Config

from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.server.app import BacalhauApp
from bacalhau_jupyter.server.handlers.base import SETTING, Gateway
from tests.services.node_fixtures import node_factory

__all__ = [
    "echo_kernel_spec",
    "http_server_port",
    "jp_argv",
    "jp_config_dir",
    "jp_configurable_serverapp",
    "jp_data_dir",
    "jp_env_config_path",
    "jp_env_jupyter_path",
    "jp_environ",
    "jp_home_dir",
    "jp_http_port",
    "jp_kernel_dir",
    "jp_logging_stream",
    "jp_nbconvert_templates",
    "jp_root_dir",
    "jp_runtime_dir",
    "jp_server_config",
    "jp_system_config_path",
    "jp_system_jupyter_path",
    "node_factory",
]

KEY = "the-clusters-own-key"
TOKEN = "the-jupyter-token"
VARIABLES = ("HOST", "PORT", "KEY", "USERNAME", "PASSWORD")

START_S = 100.0
"""A node needs seconds of processor time to start, of which a busy machine has few."""
ANSWER_S = 60.0

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Cluster:
    """An HTTP server in the place of a cluster; `answers` maps paths to what they do, `requests` keeps what arrived."""

    url: str = ""
    port: int = 0
    answers: dict[str, Answer] = field(default_factory=dict)
    requests: list[web.Request] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        answer = self.answers.get(request.path)
        if answer is not None:
            return await answer(request)
        self.bodies.append(await request.read())
        return web.json_response({"path": request.raw_path, "method": request.method})

    @property
    def last(self) -> web.Request:
        return self.requests[-1]

    def has_seen(self, path: str) -> bool:
        return any(request.path == path for request in self.requests)


@pytest_asyncio.fixture
async def cluster() -> AsyncIterator[Cluster]:
    """The cluster behind the gateway, on a free loopback port."""
    fake = Cluster()
    app = web.Application(client_max_size=10 * 1024 * 1024)
    app.router.add_route("*", "/{rest:.*}", fake.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    fake.port = runner.addresses[0][1]
    fake.url = f"http://127.0.0.1:{fake.port}"
    yield fake
    await runner.cleanup()


@dataclass
class Jupyter:
    """A running Jupyter server and a client of it."""

    app: ServerApp
    port: int
    base_url: str
    session: aiohttp.ClientSession
    token: str = TOKEN

    @property
    def extension(self) -> BacalhauApp:
        extension = next(iter(self.app.extension_manager.extension_apps["bacalhau_jupyter"]))
        assert isinstance(extension, BacalhauApp)
        return extension

    @property
    def gateway(self) -> Gateway:
        gateway = self.app.web_app.settings[SETTING]
        assert isinstance(gateway, Gateway)
        return gateway

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{self.base_url}bacalhau{path}"

    def request(self, method: str, path: str, *, auth: bool = True, **kwargs: Any) -> Any:
        from yarl import URL

        own_headers = kwargs.pop("headers", {})
        headers = {"Authorization": f"token {self.token}", **own_headers} if auth else own_headers
        return self.session.request(method, URL(self.url(path), encoded=True), headers=headers, **kwargs)

    def get(self, path: str, **kwargs: Any) -> Any:
        return self.request("GET", path, **kwargs)

    def ws(self, path: str, **kwargs: Any) -> Any:
        headers = kwargs.pop("headers", {"Authorization": f"token {self.token}"})
        return self.session.ws_connect(self.url(path), headers=headers, **kwargs)


class Starter:
    """Starts Jupyter servers in this process, one at a time."""

    def __init__(self, configurable: Callable[..., ServerApp]) -> None:
        self._configurable = configurable
        self._stack = contextlib.AsyncExitStack()

    async def __call__(self, base_url: str = "/user/x/", **config: Any) -> Jupyter:
        return await self._stack.enter_async_context(self._running(base_url, config))

    @contextlib.asynccontextmanager
    async def _running(self, base_url: str, config: dict[str, Any]) -> AsyncIterator[Jupyter]:
        settings = Config(config)
        settings.ServerApp.jpserver_extensions = {"bacalhau_jupyter": True}
        settings.ServerApp.allow_unauthenticated_access = False
        settings.IdentityProvider.token = TOKEN
        # Jupyter starts without its node after half a minute, and tests look at the node at once.
        settings.BacalhauApp.setdefault("start_timeout", START_S)
        app = self._configurable(config=settings, base_url=base_url)
        server = HTTPServer(app.web_app)
        server.listen(0, "127.0.0.1")
        port = next(iter(server._sockets.values())).getsockname()[1]
        await app.extension_manager.start_all_extensions()
        try:
            async with aiohttp.ClientSession(auto_decompress=False) as session:
                yield Jupyter(app, port, base_url, session)
        finally:
            server.stop()
            async with asyncio.timeout(30):
                await app._cleanup()
                await server.close_all_connections()
            app.kernel_manager.context.destroy()
            ServerApp.clear_instance()

    async def close(self) -> None:
        await self._stack.aclose()


@pytest.fixture
def jp_base_url() -> str:
    """Replaced by the argument of `Starter`."""
    return "/"


@pytest_asyncio.fixture
async def jp_asyncio_loop() -> asyncio.AbstractEventLoop:
    """The loop of the test, for pytest-jupyter's fixtures."""
    return asyncio.get_running_loop()


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Any:
    """Nothing of Bacalhau's in the environment but a fresh repo directory, which is returned."""
    for name in VARIABLES:
        monkeypatch.delenv(f"BACALHAU_API_{name}", raising=False)
    for name in ("BACALHAU_JUPYTER_NODE", "BACALHAU_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    repo = tmp_path / "repo"
    monkeypatch.setenv("BACALHAU_DIR", str(repo))
    return repo


@pytest_asyncio.fixture
async def start_jupyter(
    clean_environment: Any,
    jp_configurable_serverapp: Callable[..., ServerApp],
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Starter]:
    """Start a Jupyter server: ``await start_jupyter(base_url, BacalhauApp={...})``."""
    # A cluster that is slow to answer is none, for people; here it is one of a busy machine.
    monkeypatch.setattr("bacalhau_jupyter.server.handlers.status.TIMEOUT_S", ANSWER_S)
    monkeypatch.setattr("bacalhau_jupyter.server.handlers.connections.TEST_TIMEOUT_S", ANSWER_S)
    starter = Starter(jp_configurable_serverapp)
    yield starter
    await starter.close()


@pytest_asyncio.fixture
async def jupyter(
    start_jupyter: Starter, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Jupyter]:
    """A Jupyter server whose user has named `cluster` as the cluster."""
    monkeypatch.setenv("BACALHAU_API_HOST", "127.0.0.1")
    monkeypatch.setenv("BACALHAU_API_PORT", str(cluster.port))
    monkeypatch.setenv("BACALHAU_API_KEY", KEY)
    yield await start_jupyter()


@pytest.fixture
def own_node(clean_environment: Path) -> Iterator[Repo]:
    """The repo directory of a node that the test starts by whatever way; the node is gone afterwards."""
    repo = Repo(clean_environment)
    yield repo
    kill_nodes_of(repo)


def kill_nodes_of(repo: Repo) -> None:
    """End the node processes of a repo directory."""
    for process in nodes_of(repo):
        # Without its users a node ends by itself, perhaps at this very moment.
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
            process.wait(60)


def nodes_of(repo: Repo) -> list[psutil.Process]:
    """Return the living node processes of a repo directory."""
    processes = {}
    for process in psutil.process_iter(["cmdline", "ppid", "status"]):
        words = process.info["cmdline"] or []
        if "serve" in words and str(repo.path) in words and process.info["status"] != psutil.STATUS_ZOMBIE:
            processes[process.pid] = process
    # A program that a node starts has the node's command line for the moment before it has its own.
    return [process for process in processes.values() if process.info["ppid"] not in processes]
