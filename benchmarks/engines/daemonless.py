"""A ``docker`` task that does nothing, without a Docker Engine and beside one, from its start to its end."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
import uuid
from pathlib import Path

from bacalhau_jupyter.engines.docker import DockerEngine
from bacalhau_jupyter.engines.images.contract import ImageConfig
from bacalhau_jupyter.plugins.options import PluginOptions
from benchmarks.harness import Row, Unavailable, busybox
from tests.engines.daemonless.bench import Bench, Trees, daemonless
from tests.engines.daemonless.conftest import unpack
from tests.services import images

TARGET_MS = 60.0


def measure(quick: bool) -> list[Row]:
    """Measure both engines with the image busybox, which is there."""
    url, name = busybox()
    # Not below /tmp, which may be a file system that no overlay can write to.
    with tempfile.TemporaryDirectory(prefix="bj-", dir="/var/tmp") as place:
        return asyncio.run(_measure(url, name, Path(place), 3 if quick else 15))


async def _measure(url: str, name: str, place: Path, times: int) -> list[Row]:
    archive = place / "archive.tar"
    archive.write_bytes(await asyncio.to_thread(images.busybox_archive))
    tree = await asyncio.to_thread(unpack, archive, place / "tree")
    trees = Trees()
    trees.add(name, tree, ImageConfig("amd64", "linux"))
    options = PluginOptions(f"n-{uuid.uuid4()}", place / "docker")
    options.data_dir.mkdir()
    ours = await _median_ms(daemonless(place, trees), name, times)
    beside = Bench(place, options, DockerEngine(options, env={"DOCKER_HOST": url}))
    theirs = await _median_ms(beside, name, times)
    raw_name = "a Docker Engine's"
    return [Row("no-op task on an image", ours, "ms", raw=theirs, raw_name=raw_name, target=TARGET_MS)]


async def _median_ms(bench: Bench, image: str, times: int) -> float:
    if problem := (await bench.engine.probe()).problem:
        raise Unavailable(problem)
    taken = []
    for _ in range(times):
        request = bench.request({"Image": image, "Entrypoint": ["/bin/true"]})
        started = time.monotonic()
        await bench.engine.start(request)
        await bench.engine.wait(request.execution.id)
        taken.append((time.monotonic() - started) * 1000)
        await bench.engine.clean(request.execution.id)
    await bench.engine.close()
    return statistics.median(taken)
