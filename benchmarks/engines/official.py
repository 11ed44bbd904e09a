"""The official node beside ours: it takes part where ``BACALHAU_STOCK_BINARY`` names its program."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.harness import JOBS, TERMINAL, Session, Unavailable
from tests.services import docker_engine, images
from tests.services.common import ServiceUnavailableError
from tests.services.registry import Registry

STOCK = "BACALHAU_STOCK_BINARY"
AT_ONCE = 8
POLL_S = 0.01


@contextlib.contextmanager
def pushed_busybox(url: str, directory: Path) -> Iterator[str]:
    """Give busybox with a registry's digest: the official node refuses local images without one.

    Raises
    ------
    Unavailable
        There is no registry, or no image.
    """
    try:
        busybox = images.ensure_busybox(url)
        registry = Registry(directory, url)
    except ServiceUnavailableError as error:
        raise Unavailable(str(error)) from error
    engine = docker_engine.client(url)
    try:
        image = registry.push(busybox, "bench/busybox:1").tagged
        engine.images.pull(image)
        yield image
        engine.images.remove(image)
    finally:
        engine.close()
        registry.close()


class StockSession:
    """A client of the official node, which has no stream of events: asks until a job is over."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http
        self._waiting: set[str] = set()

    async def submit(self, body: dict[str, Any]) -> str:
        """Submit; return the job's ID."""
        # The same name would be an update of the same job.
        named = {"Job": {**body["Job"], "Name": f"bench-{time.monotonic_ns()}"}}
        async with self._http.put(JOBS, json=named) as answer:
            submitted = await answer.json()
            if answer.status != 200:
                raise RuntimeError(f"refused: {submitted}")
            self._waiting.add(submitted["JobID"])
            return str(submitted["JobID"])

    async def next_ended(self) -> tuple[str, str]:
        """Return a job that is over, and its state."""
        while True:
            for job_id in list(self._waiting):
                async with self._http.get(f"{JOBS}/{job_id}") as answer:
                    state = str((await answer.json())["Job"]["State"]["StateType"])
                if state in TERMINAL:
                    self._waiting.discard(job_id)
                    return job_id, state
            await asyncio.sleep(POLL_S)


async def _next_ended(client: Session | StockSession) -> tuple[str, str]:
    if isinstance(client, StockSession):
        return await client.next_ended()
    while True:
        event = await client.next_event()
        if event.get("state") in TERMINAL and event.get("job") and not event.get("execution"):
            return str(event["job"]), str(event["state"])


async def one(client: Session | StockSession, body: dict[str, Any]) -> float:
    """Run one job; return its seconds."""
    return 1 / await rate(client, body, 1)


async def rate(client: Session | StockSession, body: dict[str, Any], jobs: int) -> float:
    """Run jobs, a few at a time; return how many a second ended."""
    started = time.perf_counter()
    submitted, running, over = 0, set[str](), dict[str, str]()
    async with asyncio.timeout(300):
        while submitted < jobs or running:
            while submitted < jobs and len(running) < AT_ONCE:
                running.add(await client.submit(body))
                submitted += 1
            if not running & over.keys():
                job_id, state = await _next_ended(client)
                over[job_id] = state
            for job_id in running & over.keys():
                if over[job_id] != "Completed":
                    raise RuntimeError(f"job {job_id} ended as {over[job_id]}")
                running.discard(job_id)
    return jobs / (time.perf_counter() - started)


@contextlib.contextmanager
def stock_node(directory: Path) -> Iterator[str]:
    """Run the official node for the duration; gives its URL, empty where there is no program of it."""
    binary = os.environ.get(STOCK, "")
    if not binary:
        print(f"without the official node: {STOCK} does not name its program", flush=True)
        yield ""
        return
    port, settings = (
        _free_port(),
        {
            "API.Host": "127.0.0.1",
            "Orchestrator.Host": "127.0.0.1",
            "Orchestrator.Port": str(_free_port()),
            "Publishers.Disabled": "local",
            "WebUI.Enabled": "false",
            "DisableAnalytics": "true",
            "UpdateConfig.Interval": "0",
            "Logging.Level": "warn",
        },
    )
    settings |= {
        "API.Port": str(port),
        "Compute.Orchestrators": f"nats://127.0.0.1:{settings['Orchestrator.Port']}",
    }
    command = [binary, "serve", "--orchestrator", "--compute"]
    for key, value in settings.items():
        command += ["-c", f"{key}={value}"]
    env = {**os.environ, "BACALHAU_DIR": str(directory / "stock"), "HOME": str(directory)}
    with (
        (directory / "stock.log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log, env=env) as process,
    ):
        try:
            asyncio.run(_until_it_has_a_node(f"http://127.0.0.1:{port}", directory / "stock.log"))
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


async def _until_it_has_a_node(url: str, log: Path) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(60), aiohttp.ClientSession(url) as http:
            while True:
                with contextlib.suppress(aiohttp.ClientError, json.JSONDecodeError):
                    async with http.get("/api/v1/orchestrator/nodes") as answer:
                        nodes = (await answer.json(content_type=None)).get("Nodes") or []
                    if any(
                        "docker" in (each["Info"].get("ComputeNodeInfo") or {}).get("ExecutionEngines", ())
                        for each in nodes
                    ):
                        return
                await asyncio.sleep(0.2)
    raise Unavailable(f"the official node does not start: {log.read_text(errors='replace')[-300:]}")


@contextlib.asynccontextmanager
async def stock_session(url: str) -> AsyncIterator[StockSession | None]:
    """A client of the official node; None where there is none."""
    if not url:
        yield None
        return
    async with aiohttp.ClientSession(url) as http:
        yield StockSession(http)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
