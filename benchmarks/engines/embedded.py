"""Jobs that do nothing, through a node, by each engine that needs no Docker Engine; beside ``docker run``."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bacalhau_jupyter.engines.wasm.trial import MODULE
from benchmarks.engines.wasm_jobs import body as module_job
from benchmarks.engines.whole_jobs import FREE, runtime_of
from benchmarks.harness import Row, Session, busybox, job, session
from tests.services.node import ServedNode, start_node

TARGETS_MS = {"process": 40.0, "docker": 60.0, "wasm": 80.0}
NAMES = {"process": "process", "docker": "image, no Docker Engine,", "wasm": "wasm, warm,"}


def measure(quick: bool) -> list[Row]:
    """Measure all three by one node, in turn with ``docker run`` of the image that the second one runs."""
    url, image = busybox()
    # Not below /tmp, which may be a file system that no overlay can write to.
    with tempfile.TemporaryDirectory(prefix="bj-", dir="/var/tmp") as place:
        archive = Path(place) / "image.tar"
        save = ["docker", "-H", url, "save", "-o", str(archive), image]
        subprocess.run(save, check=True, capture_output=True, timeout=120)
        options = ("-c", "Logging.Level=warn", "-c", "Engines.Docker.Runtimes=bubblewrap")
        served = start_node(Path(place) / "node", *options)
        try:
            for engine in TARGETS_MS:
                runtime_of(served, engine)
            load = ["-m", "bacalhau_jupyter", "image", "load", str(archive)]
            subprocess.run(
                [sys.executable, *load], env=served.client_env(), check=True, capture_output=True, timeout=120
            )
            raw = ["docker", "-H", url, "run", "--rm", image, "true"]
            taken = asyncio.run(_rounds(served, image, raw, 5 if quick else 30))
        finally:
            served.stop()
    raw_ms = taken.pop("")
    rows = [
        Row(
            f"no-op {NAMES[engine]} submit → Completed",
            ms,
            "ms",
            raw_ms,
            "docker run --rm",
            TARGETS_MS[engine],
        )
        for engine, ms in taken.items()
    ]
    return rows


async def _rounds(served: ServedNode, image: str, raw: list[str], rounds: int) -> dict[str, float]:
    """Return the medians in milliseconds by engine, and that of ``raw`` under the empty name."""
    jobs: dict[str, dict[str, Any]] = {
        "process": job("process", {"Command": ["/bin/true"]}, Resources=FREE),
        "docker": job("docker", {"Image": image, "Entrypoint": ["/bin/true"]}, Resources=FREE),
        "wasm": module_job(MODULE),
    }
    taken: dict[str, list[float]] = {name: [] for name in (*jobs, "")}
    async with session(served) as opened:
        for body in jobs.values():
            await opened.run(body)
        for _ in range(rounds):
            for name, body in jobs.items():
                taken[name].append(await _settled(opened, body))
            started = time.perf_counter()
            await asyncio.to_thread(subprocess.run, raw, capture_output=True, check=True, timeout=60)
            taken[""].append(time.perf_counter() - started)
    return {name: statistics.median(times) * 1e3 for name, times in taken.items()}


async def _settled(opened: Session, body: dict[str, Any]) -> float:
    took = await opened.run(body)
    # What a job leaves is removed after it is Completed: the next one is not to pay for that.
    await asyncio.sleep(0.1)
    return took
