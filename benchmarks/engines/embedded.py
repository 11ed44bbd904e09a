"""Jobs that do nothing, through a node, by each engine that needs no Docker Engine.

Beside ``docker run``, and beside the official node where ``BACALHAU_STOCK_BINARY`` names its program.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.engines.official import one, pushed_busybox, stock_node, stock_session
from benchmarks.engines.wasm_jobs import body as module_job
from benchmarks.engines.whole_jobs import FREE, runtime_of
from benchmarks.harness import Row, Session, docker_url, job, session
from tests.services.node import ServedNode, start_node

TARGETS_MS = {"process": 40.0, "docker": 60.0, "wasm": 80.0}
RAW = "docker run --rm"
OFFICIAL = "{} job of the official node,"
NAMES = {"process": "process", "docker": "image, no Docker Engine,", "wasm": "wasm, warm,"}

MODULE = bytes.fromhex(
    "0061736d 01000000 01040160 00000302 01000503 01000107 1302066d 656d6f72 79020006 5f737461 72740000"
    "0a040102 000b"
    "000d046e 616d6500 06056e6f 2d6f70"
)
"""``(module $no-op (memory (export "memory") 1) (func (export "_start")))``: with its name, which the official node
demands."""


def measure(quick: bool) -> list[Row]:
    """Measure all three by one node, in turn with ``docker run`` of the image that the second one runs."""
    url = docker_url()
    # Not below /tmp, which may be a file system that no overlay can write to.
    with (
        tempfile.TemporaryDirectory(prefix="bj-", dir="/var/tmp") as place,
        pushed_busybox(url, Path(place)) as image,
        stock_node(Path(place)) as stock_url,
    ):
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
            taken = asyncio.run(_rounds(served, stock_url, image, raw, 5 if quick else 30))
        finally:
            served.stop()
    raw_ms = taken.pop(RAW)
    return [Row(_title(name), ms, "ms", raw_ms, RAW, TARGETS_MS.get(name)) for name, ms in taken.items()]


def _title(name: str) -> str:
    return f"no-op {NAMES.get(name, name)} submit → Completed"


async def _rounds(
    served: ServedNode, stock_url: str, image: str, raw: list[str], rounds: int
) -> dict[str, float]:
    """Return the medians in milliseconds by engine, and those of what is compared."""
    jobs: dict[str, dict[str, Any]] = {
        "process": job("process", {"Command": ["/bin/true"]}, Resources=FREE),
        "docker": job("docker", {"Image": image, "Entrypoint": ["/bin/true"]}, Resources=FREE),
        "wasm": module_job(MODULE),
    }
    compared = {OFFICIAL.format(name): jobs[name] for name in ("docker", "wasm")}
    taken: dict[str, list[float]] = {name: [] for name in (*jobs, RAW, *compared)}
    async with session(served) as opened, stock_session(stock_url) as stock:
        for body in jobs.values():
            await opened.run(body)
        for _ in range(rounds):
            for name, body in jobs.items():
                taken[name].append(await _settled(opened, body))
            started = time.perf_counter()
            await asyncio.to_thread(subprocess.run, raw, capture_output=True, check=True, timeout=60)
            taken[RAW].append(time.perf_counter() - started)
            if stock is not None:
                for name, body in compared.items():
                    taken[name].append(await one(stock, body))
                    await asyncio.sleep(0.1)
    return {name: statistics.median(times) * 1e3 for name, times in taken.items() if times}


async def _settled(opened: Session, body: dict[str, Any]) -> float:
    took = await opened.run(body)
    # What a job leaves is removed after it is Completed: the next one is not to pay for that.
    await asyncio.sleep(0.1)
    return took
