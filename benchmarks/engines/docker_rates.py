"""No-op docker jobs per network, one and eight at a time, beside the raw engine and the official node.

The official node takes part where ``BACALHAU_STOCK_BINARY`` names its program. All take turns, so that they see the
same load; with few CPUs, ratios say more than times.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.engines.official import AT_ONCE, one, pushed_busybox, rate, stock_node, stock_session
from benchmarks.engines.whole_jobs import FREE
from benchmarks.harness import Row, docker_url, job, node, session
from tests.services import docker_engine

RATIO_OF_RUN = {"None": 0.6, "Bridge": 1.0}
RATIO_OF_RATE = 0.85

Timed = Callable[[], Awaitable[float]]
"""Runs something; returns seconds (of one job) or jobs per second (of many)."""


def measure(quick: bool) -> list[Row]:
    """Measure each network."""
    url = docker_url()
    with (
        tempfile.TemporaryDirectory(prefix="bacalhau-bench-") as directory,
        node() as served,
        pushed_busybox(url, Path(directory)) as image,
        stock_node(Path(directory)) as stock_url,
    ):
        return asyncio.run(_measure(quick, url, image, served, stock_url))


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
