"""Noop jobs on three nodes of ours: each a process that joins over NATS, beside all in one process over memory."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.engines.many import ENGINES, NOOP, Ends
from benchmarks.harness import Row, Session, job, node, session
from benchmarks.swarm.orchestrators import Measured, cpu_s, free_port, ours
from tests.services.devstack import start_devstack

COMPUTES = 3
AT_ONCE = 20
BLOCKS = 10
JOIN_TIMEOUT_S = 60.0
RATE_RATIO = 0.9
EXTRA_MS = 5.0
"""Milliseconds that one job may take longer over NATS."""


@dataclass(frozen=True)
class Address:
    """Where an API listens."""

    url: str


def measure(quick: bool) -> list[Row]:
    """Both stacks take turns, so that they see the same load of the machine."""
    block = 50 if quick else 1000
    with over_memory() as (memory, whole), over_nats() as (nats, parts):
        return asyncio.run(_measure(memory, nats, block, [whole, *parts]))


async def _measure(memory: str, nats: str, block: int, processes: list[psutil.Process]) -> list[Row]:
    single: dict[str, list[float]] = {memory: [], nats: []}
    rates: dict[str, list[float]] = {memory: [], nats: []}
    async with session(Address(memory)) as near, session(Address(nats)) as far:
        clients = {memory: near, nats: far}
        followed = {url: Ends(client) for url, client in clients.items()}
        following = [asyncio.create_task(ends.follow()) for ends in followed.values()]
        for url, client in clients.items():
            await _rate(client, followed[url], block // 5)
        for _ in range(100):
            for url, client in clients.items():
                single[url].append(await _one(client, followed[url]))
        before = [cpu_s(each) for each in processes]
        for number in range(BLOCKS):
            for url in (memory, nats) if number % 2 else (nats, memory):
                rates[url].append(await _rate(clients[url], followed[url], block))
        spent_ms = [
            (cpu_s(each) - at) / (BLOCKS * block) * 1e3 for each, at in zip(processes, before, strict=True)
        ]
        for task in following:
            task.cancel()
    in_memory = statistics.median(rates[memory])
    one, one_in_memory = statistics.median(single[nats]), statistics.median(single[memory])
    return [
        Row(
            f"{BLOCKS * block} noop jobs on {COMPUTES} nodes over NATS",
            statistics.median(rates[nats]),
            "jobs/s",
            raw=in_memory,
            raw_name="the same in one process",
            target=RATE_RATIO,
            better="more",
            target_is_ratio=True,
        ),
        Row(
            "noop job over NATS, submit → Completed, p50",
            one * 1e3,
            "ms",
            raw=one_in_memory * 1e3,
            raw_name="the same in one process",
            target=one_in_memory * 1e3 + EXTRA_MS,
        ),
        Row(
            "CPU time of a noop job, orchestrator over NATS",
            spent_ms[1],
            "ms",
            raw=spent_ms[0],
            raw_name="orchestrator and nodes in one process",
        ),
        Row("CPU time of a noop job, NATS server", spent_ms[2], "ms"),
        Row("CPU time of a noop job, compute node over NATS", sum(spent_ms[3:]), "ms"),
    ]


async def _one(client: Session, ends: Ends) -> float:
    started = time.perf_counter()
    job_id = await client.submit(job("noop", {}, **NOOP))
    if (state := await ends.of(job_id)) != "Completed":
        raise RuntimeError(f"a job ended as {state}")
    return time.perf_counter() - started


async def _rate(client: Session, ends: Ends, count: int) -> float:
    """Return how many jobs a second ended."""
    numbers = iter(range(count))

    async def worker() -> None:
        for _ in numbers:
            await _one(client, ends)

    started = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    return count / (time.perf_counter() - started)


@contextlib.contextmanager
def over_memory() -> Iterator[tuple[str, psutil.Process]]:
    """Run an orchestrator and its nodes in one process; gives the URL of the API, and the process."""
    with tempfile.TemporaryDirectory(prefix="bacalhau-bench-") as directory:
        place = Path(directory) / "tmp"
        place.mkdir()
        stack = start_devstack(place, "--computes", str(COMPUTES), "-c", "Logging.Level=warn")
        try:
            variables = stack.until_ready()
            url = f"http://{variables['BACALHAU_API_HOST']}:{variables['BACALHAU_API_PORT']}"
            yield url, psutil.Process(stack.process.pid)
        finally:
            stack.kill()


@contextlib.contextmanager
def over_nats() -> Iterator[tuple[str, list[psutil.Process]]]:
    """Run an orchestrator and its nodes as processes; gives the URL of the API, and orchestrator, server and nodes."""
    with contextlib.ExitStack() as stack:
        orchestrator = stack.enter_context(ours())
        nodes = [stack.enter_context(_compute(orchestrator)) for _ in range(COMPUTES)]
        deadline = time.monotonic() + JOIN_TIMEOUT_S
        while _connected(orchestrator) < COMPUTES:
            if time.monotonic() > deadline:
                raise RuntimeError("the compute nodes did not join")
            time.sleep(0.1)
        yield orchestrator.api, [orchestrator.process, *orchestrator.servers()[:1], *nodes]


@contextlib.contextmanager
def _compute(orchestrator: Measured) -> Iterator[psutil.Process]:
    options = [
        f"Compute.Orchestrators={orchestrator.nats}",
        f"Publishers.Types.Local.Port={free_port()}",
    ]
    flags = [word for option in options for word in ("-c", option)]
    with node(*ENGINES, *flags, roles=("--compute",)) as served:
        yield psutil.Process(served.process.pid)


def _connected(orchestrator: Measured) -> int:
    nodes = orchestrator.get("/api/v1/orchestrator/nodes")["Nodes"]
    return sum(each["Connection"] == "CONNECTED" and each["Info"]["NodeType"] == "Compute" for each in nodes)
