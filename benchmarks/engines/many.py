"""Many noop jobs, jobs of many parts, and a database full of jobs: nothing may grow faster than they do."""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from benchmarks.harness import JOBS, TERMINAL, Row, Session, job, load, node, session, settle
from tests.services.node import ServedNode, start_node

AT_ONCE = 10
NOOP: Mapping[str, Any] = {"Resources": {"CPU": "10m", "Memory": "1mb"}}
ENGINES = ("-c", "Engines.Disabled=docker,process,wasm")


def measure(quick: bool) -> list[Row]:
    """All three."""
    return [
        *many_jobs(300 if quick else 10_000),
        *many_parts((50, 200) if quick else (1000, 10_000)),
        *full_database((100, 400) if quick else (1000, 100_000), requests=50 if quick else 500),
    ]


def many_jobs(count: int) -> list[Row]:
    """Run jobs, ten at a time: how long one takes, and what the node's memory does meanwhile."""
    with node(*ENGINES) as served:
        process = psutil.Process(served.process.pid)
        took, early, late = asyncio.run(_many_jobs(served, process, count))
    return [
        Row(f"{count} noop jobs, {AT_ONCE} at a time, mean", statistics.mean(took) * 1e3, "ms", target=100),
        Row(f"memory after {count} of them", late, "MB", early, "after a fifth", 1.25, target_is_ratio=True),
    ]


async def _many_jobs(
    served: ServedNode, process: psutil.Process, count: int
) -> tuple[list[float], float, float]:
    took: list[float] = []
    memory: list[float] = []
    async with session(served) as client:
        ends = Ends(client)
        following = asyncio.create_task(ends.follow())
        numbers = iter(range(count))

        async def worker() -> None:
            for number in numbers:
                started = time.perf_counter()
                job_id = await client.submit(job("noop", {}, **NOOP))
                if (state := await ends.of(job_id)) != "Completed":
                    raise RuntimeError(f"a job ended as {state}")
                took.append(time.perf_counter() - started)
                if number in (count // 5, count - 1):
                    memory.append(process.memory_info().rss / 1e6)

        await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
        following.cancel()
    return took, memory[0], memory[-1]


class Ends:
    """How jobs ended, by the one event stream of a session."""

    def __init__(self, client: Session) -> None:
        self._client = client
        self._ends: dict[str, asyncio.Future[str]] = {}

    def _end(self, job_id: str) -> asyncio.Future[str]:
        return self._ends.setdefault(job_id, asyncio.get_running_loop().create_future())

    async def follow(self) -> None:
        """Take events; they may be earlier than the answer to the submission."""
        while True:
            event = await self._client.next_event()
            if event.get("state") in TERMINAL and not (end := self._end(event["job"])).done():
                end.set_result(event["state"])

    async def of(self, job_id: str) -> str:
        """Wait for a job's end."""
        async with asyncio.timeout(120):
            state = await self._end(job_id)
        del self._ends[job_id]
        return state


def many_parts(counts: Sequence[int]) -> list[Row]:
    """Run jobs of few and of many parts: the time per part must stay."""
    with node(*ENGINES) as served:
        each = [asyncio.run(_parts_s(served, count)) / count * 1e3 for count in counts]
    few, many = counts
    return [
        Row(f"one part of {many}", each[1], "ms", each[0], f"one of {few}", target=1.5, target_is_ratio=True)
    ]


async def _parts_s(served: ServedNode, count: int) -> float:
    async with session(served) as client:
        body = job("noop", {}, **NOOP)
        body["Job"]["Count"] = count
        started = time.perf_counter()
        job_id = await client.submit(body)
        if (state := await client.ended(job_id, timeout_s=900)) != "Completed":
            raise RuntimeError(f"the job of {count} parts ended as {state}")
        return time.perf_counter() - started


def full_database(counts: Sequence[int], requests: int) -> list[Row]:
    """Ask a node with few, then with many finished jobs for a list, a job and its history."""
    figures: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory(prefix="bacalhau-bench-") as directory:
        place = Path(directory) / "node"
        served = start_node(place, "-c", "Logging.Level=warn", *ENGINES)
        job_id = asyncio.run(_one(served))
        served.stop()
        for count in counts:
            multiply(place / "orchestrator" / "state.sqlite", job_id, count)
            served = start_node(place, "-c", "Logging.Level=warn", *ENGINES)
            try:
                settle(served)
                paths = {
                    "list the newest 50": f"{JOBS}?limit=50",
                    "get": f"{JOBS}/{job_id}",
                    "history": f"{JOBS}/{job_id}/history",
                }
                figures.append(
                    {
                        name: load(served.port, "GET", path, 1, requests)["p50_ms"]
                        for name, path in paths.items()
                    }
                )
            finally:
                served.stop()
    few, many = figures
    return [
        Row(
            f"{name}, {counts[1]} jobs, p50",
            many[name],
            "ms",
            few[name],
            f"{counts[0]} jobs",
            2.0,
            target_is_ratio=True,
        )
        for name in few
    ]


async def _one(served: ServedNode) -> str:
    async with session(served) as client:
        job_id = await client.submit(job("noop", {}, **NOOP))
        await client.ended(job_id)
        return job_id


_COPIES: Mapping[str, Mapping[str, str]] = {
    "jobs": {
        "id": "replace(id, :old, :new)",
        "name": "replace(name, :old, :new)",
        "create_time": "create_time + :number",
        "modify_time": "modify_time + :number",
    },
    "job_versions": {
        "job_id": "replace(job_id, :old, :new)",
        "spec": "cast(replace(spec, :old, :new) as blob)",
    },
    "executions": {"id": "id || :number", "job_id": "replace(job_id, :old, :new)"},
    "history": {"seq": "NULL", "job_id": "replace(job_id, :old, :new)"},
}
"""What is not copied as it is, by table and column."""


def multiply(database: Path, job_id: str, count: int) -> None:
    """Copy a finished job in the database of a stopped node until there are ``count``."""
    connection = sqlite3.connect(database)
    with connection:
        (there,) = connection.execute("SELECT count(*) FROM jobs").fetchone()
        columns = {
            table: [name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")]
            for table in _COPIES
        }
        for number in range(there, count):
            words = {"old": job_id, "new": f"{job_id[:-8]}{number:08d}", "number": number}
            for table, changed in _COPIES.items():
                values = ", ".join(changed.get(name, name) for name in columns[table])
                key = "id" if table == "jobs" else "job_id"
                connection.execute(
                    f"INSERT INTO {table} SELECT {values} FROM {table} WHERE {key} = :old", words
                )
    connection.close()
