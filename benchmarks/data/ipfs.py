"""IPFS inputs and results beside `ipfs get` and `ipfs add`: the same data on one node (Kubo) of this machine."""

from __future__ import annotations

import asyncio
import os
import resource
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.spec import InputSource, SpecConfig, Task
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.plugins.options import PluginOptions
from bacalhau_jupyter.plugins.publisher import PublishRequest
from bacalhau_jupyter.plugins.source import FetchRequest
from bacalhau_jupyter.publishers.ipfs import IpfsPublisher
from bacalhau_jupyter.sources.ipfs import IpfsSource
from benchmarks.harness import Row, needing_services
from tests.services.kubo import KuboNode

CASES = [("IPFS: 1 file of 1 GB", 1, 1_000_000_000), ("IPFS: 2 000 × 10 kB", 2_000, 10_000)]
TARGET = 1.1
ROUNDS = 5


def measure(quick: bool) -> list[Row]:
    """Wall time of the node's own source and publisher, best of some rounds, in turns with the official command."""
    with tempfile.TemporaryDirectory(prefix="bench-ipfs-") as scratch:
        root = Path(scratch)
        with needing_services():
            kubo = KuboNode(root)
        try:
            return [row for case in CASES for row in _case(kubo, root, 1 if quick else ROUNDS, *case)]
        finally:
            kubo.close()


def _case(kubo: KuboNode, root: Path, rounds: int, name: str, count: int, size: int) -> list[Row]:
    data = _fill(root / f"data-{count}", count, size)
    settings = {f"{kind}.Types.IPFS.Endpoint": kubo.endpoint for kind in ("InputSources", "Publishers")}
    options = PluginOptions(node_id="n-bench", data_dir=root, settings=settings.get)
    # Both find the blocks in the repository and the files in memory.
    cid = kubo.add(data)
    add, raw_add, add_cpu, raw_add_cpu = _in_turns(
        rounds, root, lambda _: asyncio.run(_publish(IpfsPublisher(options), data)), lambda _: kubo.add(data)
    )
    get, raw_get, get_cpu, raw_get_cpu = _in_turns(
        rounds,
        root,
        partial(_fetch, IpfsSource(options), cid),
        lambda directory: kubo.run("get", "--progress=false", "-o", str(directory / "out"), cid),
    )
    return [
        Row(f"{name}, publish", add, "s", raw_add, "ipfs add", target=TARGET, target_is_ratio=True),
        Row(f"{name}, publish, CPU", add_cpu, "s", raw_add_cpu, "ipfs add"),
        Row(f"{name}, fetch", get, "s", raw_get, "ipfs get", target=TARGET, target_is_ratio=True),
        Row(f"{name}, fetch, CPU", get_cpu, "s", raw_get_cpu, "ipfs get"),
    ]


def _in_turns(
    rounds: int, root: Path, ours: Callable[[Path], object], theirs: Callable[[Path], object]
) -> tuple[float, float, float, float]:
    """Return the least wall time of each, then the least CPU time (the node's left out), in seconds.

    A busy moment of the machine meets both; on a busy machine only CPU time says much.
    """
    walls, cpus = [float("inf")] * 2, [float("inf")] * 2
    sides = ((ours, resource.RUSAGE_SELF), (theirs, resource.RUSAGE_CHILDREN))
    for _ in range(rounds):
        for index, (work, who) in enumerate(sides):
            with tempfile.TemporaryDirectory(dir=root) as directory:
                before, started = resource.getrusage(who), time.perf_counter()
                work(Path(directory))
                walls[index] = min(walls[index], time.perf_counter() - started)
                after = resource.getrusage(who)
                spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                cpus[index] = min(cpus[index], spent)
    return walls[0], walls[1], cpus[0], cpus[1]


def _fill(directory: Path, count: int, size: int) -> Path:
    directory.mkdir()
    for number in range(count):
        with (directory / f"{number:05d}").open("wb") as file:
            for start in range(0, size, 1_000_000):
                file.write(os.urandom(min(1_000_000, size - start)))
    return directory


def _fetch(source: IpfsSource, cid: str, directory: Path) -> None:
    item = InputSource(source=SpecConfig(type="ipfs", params={"CID": cid}), target="/inputs")
    asyncio.run(source.fetch(FetchRequest(Execution(id="e-bench", job=Job(count=1)), item, directory)))


async def _publish(publisher: IpfsPublisher, directory: Path) -> SpecConfig:
    job = Job(count=1, tasks=[Task(publisher=SpecConfig(type="ipfs"))])
    return await publisher.publish(PublishRequest(Execution(id="e-bench", job=job), directory))
