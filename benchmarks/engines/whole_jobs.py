"""Whole jobs, beside what runs them: ``docker run`` and a plain process."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from typing import Any

from bacalhau_jupyter.models.records.environments import PATH as ENVIRONMENTS
from benchmarks.harness import Row, Session, Unavailable, busybox, job, node, session
from tests.services.node import ServedNode

FREE = {"CPU": "100m", "Memory": "128mb"}


def measure_docker(quick: bool) -> list[Row]:
    """A no-op container by us and by ``docker run``, in turn."""
    _, image = busybox()
    body = job("docker", {"Image": image, "Entrypoint": ["true"]}, Resources=FREE)
    raw = ["docker", "run", "--rm", image, "true"]
    ours_s, raw_s, _ = compare(body, raw, 5 if quick else 15)
    return [
        Row(
            "no-op docker job, submit → Completed, median",
            ours_s * 1e3,
            "ms",
            raw_s * 1e3,
            "docker run --rm",
            1.0,
            target_is_ratio=True,
        ),
    ]


def measure_process(quick: bool) -> list[Row]:
    """A confined Python program by us and as a plain child process, in turn."""
    program = ["-I", "-c", "print(1)"]
    body = job("process", {"Command": [sys.executable, *program], "Python": own_python()}, Resources=FREE)
    ours_s, raw_s, runtime = compare(body, [sys.executable, *program], 5 if quick else 20)
    return [
        Row(
            f"confined process job ({runtime}), submit → Completed",
            ours_s * 1e3,
            "ms",
            raw_s * 1e3,
            "plain child process",
            150,
        ),
    ]


def own_python() -> dict[str, Any]:
    """Our interpreter as the process engine wants it described."""
    return {
        "Executable": sys.executable,
        "Prefixes": sorted({sys.prefix, sys.base_prefix}),
        "Paths": [],
    }


async def register_python(opened: Session, body: dict[str, Any]) -> None:
    """Name the Python that a process job needs by its hash, as the magics do."""
    params = body["Job"]["Tasks"][0]["Engine"]["Params"]
    if "Python" not in params:
        return
    async with opened.http.post(ENVIRONMENTS, json=params["Python"]) as answer:
        params["Python"] = {"Environment": (await answer.json())["Environment"]}


def compare(body: dict[str, Any], raw: list[str], rounds: int) -> tuple[float, float, str]:
    """Return the medians of both, in seconds, and what ran ours; the two take turns, so that both see the same load."""
    with node() as served:
        engine = body["Job"]["Tasks"][0]["Engine"]["Type"]
        runtime = runtime_of(served, engine)
        ours, theirs = asyncio.run(_rounds(served, body, raw, rounds))
    return statistics.median(ours), statistics.median(theirs), runtime


async def _rounds(
    served: ServedNode, body: dict[str, Any], raw: list[str], rounds: int
) -> tuple[list[float], list[float]]:
    ours, theirs = [], []
    async with session(served) as opened:
        await register_python(opened, body)
        await opened.run(body)
        for _ in range(rounds):
            ours.append(await opened.run(body))
            started = time.perf_counter()
            await asyncio.to_thread(subprocess.run, raw, capture_output=True, check=True, timeout=60)
            theirs.append(time.perf_counter() - started)
    return ours, theirs


def runtime_of(served: ServedNode, engine: str) -> str:
    """Return what runs an engine on a node; raises Unavailable with the node's own reason."""

    async def ask() -> dict[str, Any]:
        async with session(served) as opened, opened.http.get("/api/v1/agent/node") as answer:
            info: dict[str, Any] = (await answer.json())["ComputeNodeInfo"]
            return info

    info = asyncio.run(ask())
    runtime = info.get("EngineRuntimes", {}).get(engine)
    if runtime is None:
        raise Unavailable(info.get("EngineProblems", {}).get(engine, f"the node has no {engine} engine"))
    return str(runtime)
