"""No-op docker jobs per network, one and eight at a time, beside the raw engine and the official node.

The official node takes part where ``BACALHAU_STOCK_BINARY`` names its program. All take turns, so that they see the
same load; with few CPUs, ratios say more than times.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.engines.whole_jobs import FREE
from benchmarks.harness import JOBS, TERMINAL, Row, Session, Unavailable, docker_url, job, node, session
from tests.services import docker_engine, images
from tests.services.common import ServiceUnavailableError
from tests.services.registry import Registry

STOCK = "BACALHAU_STOCK_BINARY"
AT_ONCE = 8
POLL_S = 0.01
RATIO_OF_RUN = {"None": 0.6, "Bridge": 1.0}
RATIO_OF_RATE = 0.85

Timed = Callable[[], Awaitable[float]]
"""Runs something; returns seconds (of one job) or jobs per second (of many)."""


def measure(quick: bool) -> list[Row]:
    """Measure each network."""
    url = docker_url()
    with tempfile.TemporaryDirectory(prefix="bacalhau-bench-") as directory, node() as served:
        try:
            image, registry = _image(url, Path(directory))
        except ServiceUnavailableError as error:
            raise Unavailable(str(error)) from error
        try:
            with stock_node(Path(directory)) as stock_url:
                return asyncio.run(_measure(quick, url, image, served, stock_url))
        finally:
            registry.close()
            _forget(url, image)


def _forget(url: str, image: str) -> None:
    engine = docker_engine.client(url)
    try:
        engine.images.remove(image)
    finally:
        engine.close()


def _image(url: str, directory: Path) -> tuple[str, Registry]:
    """Return busybox with a registry's digest: the official node refuses local images without one."""
    busybox = images.ensure_busybox(url)
    registry = Registry(directory, url)
    pushed = registry.push(busybox, "bench/busybox:1")
    engine = docker_engine.client(url)
    try:
        engine.images.pull(pushed.tagged)
    finally:
        engine.close()
    return pushed.tagged, registry


async def _measure(quick: bool, url: str, image: str, served: Any, stock_url: str) -> list[Row]:
    rounds, batches, jobs = (3, 1, 16) if quick else (15, 3, 24)
    rows: list[Row] = []
    engine = docker_engine.client(url)
    async with session(served) as ours, stock_session(stock_url) as stock:
        try:
            for network in RATIO_OF_RUN:
                body = job(
                    "docker",
                    {"Image": image, "Entrypoint": ["true"]},
                    Resources=FREE,
                    Network={"Type": network},
                )
                await one(ours, body)
                singles: dict[str, Timed] = {
                    "ours": lambda body=body: one(ours, body),  # type: ignore[misc]
                    "docker run": lambda network=network: docker_run(image, network),  # type: ignore[misc]
                }
                rates: dict[str, Timed] = {
                    "ours": lambda body=body: rate(ours, body, jobs),  # type: ignore[misc]
                    "bare loop": lambda network=network: bare_rate(engine.api, image, network, jobs),  # type: ignore[misc]
                }
                if stock is not None:
                    singles["stock"] = lambda body=body: one(stock, body)  # type: ignore[misc]
                    rates["stock"] = lambda body=body: rate(stock, body, jobs)  # type: ignore[misc]
                took = await in_turn(singles, rounds)
                per_second = await in_turn(rates, batches)
                rows += _rows(network, took, per_second)
        finally:
            engine.close()
    return rows


def _rows(network: str, took: dict[str, float], per_second: dict[str, float]) -> list[Row]:
    run_ms, loop = took["docker run"] * 1e3, per_second["bare loop"]
    rows = [
        Row(
            f"no-op docker job, network {network}, submit → Completed",
            took["ours"] * 1e3,
            "ms",
            run_ms,
            "docker run --rm",
            RATIO_OF_RUN[network],
            target_is_ratio=True,
        ),
        Row(
            f"{AT_ONCE} no-op docker jobs at a time, network {network}",
            per_second["ours"],
            "jobs/s",
            loop,
            "bare loop over the engine's API",
            target=RATIO_OF_RATE,
            better="more",
            target_is_ratio=True,
        ),
    ]
    if "stock" in took:
        rows += [
            Row(
                f"official node, network {network}, submit → Completed",
                took["stock"] * 1e3,
                "ms",
                run_ms,
                "docker run",
            ),
            Row(
                f"official node, {AT_ONCE} at a time, network {network}",
                per_second["stock"],
                "jobs/s",
                loop,
                "bare loop",
            ),
        ]
    return rows


async def in_turn(measured: dict[str, Timed], rounds: int) -> dict[str, float]:
    """Return the medians."""
    rates: dict[str, list[float]] = {name: [] for name in measured}
    for number in range(rounds):
        names = list(measured)
        # Nobody always comes after the same one.
        for name in names[number % len(names) :] + names[: number % len(names)]:
            rates[name].append(await measured[name]())
    return {name: statistics.median(values) for name, values in rates.items()}


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


async def docker_run(image: str, network: str) -> float:
    """Run a container by the command line; return the seconds."""
    command = ["docker", "run", "--rm", *(["--network", "none"] if network == "None" else []), image, "true"]
    started = time.perf_counter()
    await asyncio.to_thread(subprocess.run, command, capture_output=True, check=True, timeout=60)
    return time.perf_counter() - started


async def bare_rate(api: Any, image: str, network: str, jobs: int) -> float:
    """Create, start, wait for and remove containers as fast as the engine does; return how many a second."""
    config = {
        "Image": image,
        "Entrypoint": ["true"],
        "NetworkDisabled": network == "None",
        "HostConfig": {"NetworkMode": network.lower()},
    }

    def whole(_: int) -> None:
        container = api.create_container_from_config(config)["Id"]
        api.start(container)
        api.wait(container)
        api.remove_container(container)

    def run() -> float:
        started = time.perf_counter()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(whole, range(jobs)))
        return jobs / (time.perf_counter() - started)

    return await asyncio.to_thread(run)


@contextlib.contextmanager
def stock_node(directory: Path) -> Iterator[str]:
    """Run the official node for the duration; gives its URL, empty where there is no program of it."""
    binary = os.environ.get(STOCK, "")
    if not binary:
        print(f"docker-rates: without the official node: {STOCK} does not name its program", flush=True)
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
