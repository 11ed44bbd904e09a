"""Publishing 1 GB that does not shrink beside ``tar | gzip -1``, and reading one file of it beside fetching it all."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import tempfile
import time
from pathlib import Path

from bacalhau_jupyter.client.client import Client
from bacalhau_jupyter.client.jobs.build import process
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.plugins.options import PluginOptions
from bacalhau_jupyter.plugins.publisher import PublishRequest
from bacalhau_jupyter.publishers.local import LocalPublisher
from benchmarks.harness import Row, node

SIZE = 1_000_000_000
QUICK_SIZE = 200_000_000
FILES = 10
TARGET_S = 6
SMALL_TARGET_S = 0.5


def measure(quick: bool) -> list[Row]:
    """Wall time and our own CPU time: on a busy machine only the latter says much."""
    size = QUICK_SIZE if quick else SIZE
    return [*_publish(size), *_read(size)]


def _publish(size: int) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="bench-results-") as scratch:
        root = Path(scratch)
        results = root / "results"
        results.mkdir()
        for number in range(FILES):
            with (results / f"{number}.bin").open("wb") as file:
                for _ in range(size // FILES // 1_000_000):
                    file.write(os.urandom(1_000_000))
        publisher = LocalPublisher(PluginOptions(node_id="n-bench", data_dir=root / "node"))
        (root / "node").mkdir()
        started, cpu = time.perf_counter(), time.process_time()
        asyncio.run(publisher.publish(PublishRequest(Execution(id="e-bench"), results)))
        taken, cpu = time.perf_counter() - started, time.process_time() - cpu
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        command = 'tar cf - -C "$0" . | gzip -1 > "$1" && sync "$1"'
        subprocess.run(["sh", "-c", command, results, root / "raw.tar.gz"], check=True, timeout=300)
        raw = time.perf_counter() - started
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        raw_cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    name = f"results: publish {size // 1_000_000} MB locally, incompressible"
    return [
        Row(name, taken, "s", raw=raw, raw_name="tar | gzip -1", target=TARGET_S),
        Row(f"{name}, CPU", cpu, "s", raw=raw_cpu, raw_name="tar | gzip -1"),
    ]


def _read(size: int) -> list[Row]:
    script = (
        f"for i in 0 1 2 3 4 5 6 7 8 9; do head -c {size // FILES} /dev/urandom > outputs/$i.bin; done; "
        "head -c 100000 /dev/urandom > outputs/small.bin"
    )
    with (
        node() as served,
        Client(served.url, api_key=served.repo.api_key()) as client,
        tempfile.TemporaryDirectory(prefix="bench-results-") as scratch,
    ):
        job = client.submit(process(script))
        job.result()
        started = time.perf_counter()
        assert len(job.outcome().bytes("outputs/small.bin")) == 100_000
        one = time.perf_counter() - started
        started = time.perf_counter()
        job.get(Path(scratch) / "all")
        whole = time.perf_counter() - started
    name = f"results: one file of 100 kB out of {size // 1_000_000} MB"
    return [Row(name, one, "s", raw=whole, raw_name="fetching it all", target=SMALL_TARGET_S)]
