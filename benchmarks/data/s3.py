"""S3 inputs beside rclone, and publishing 1 GB, on one real server (versitygw) of this machine.

A long-lived source is measured, as in a node: its first fetch also loads boto3, the best of three does not.
"""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.spec import InputSource, SpecConfig, Task
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.plugins.options import PluginOptions
from bacalhau_jupyter.plugins.publisher import PublishRequest
from bacalhau_jupyter.plugins.source import FetchRequest
from bacalhau_jupyter.publishers.s3 import S3Publisher
from bacalhau_jupyter.sources.s3 import S3Source
from benchmarks.harness import Row, needing_services
from tests.services.s3 import ACCESS_KEY, SECRET_KEY, S3Server

CASES = [("S3: 1 object of 1 GB", 1, 1_000_000_000), ("S3: 2 000 × 10 kB", 2_000, 10_000)]
MANY = ("S3: 10 000 × 10 kB", 10_000, 10_000)
PUBLISH_TARGET_S = 6
ROUNDS = 4


def measure(quick: bool) -> list[Row]:
    """Wall time and our own CPU time: on a busy machine only the latter says much."""
    with tempfile.TemporaryDirectory(prefix="bench-s3-") as scratch:
        root = Path(scratch)
        with needing_services():
            server = S3Server(root / "server")
        os.environ.update(server.environment())
        try:
            rows = [
                row for case in (CASES if quick else [*CASES, MANY]) for row in _fetches(server, root, *case)
            ]
            return [*rows, *_publish(server, root)]
        finally:
            server.close()


def _settings(server: S3Server) -> Callable[[str], Any]:
    """Return the configuration of a node that gives its credentials to the server."""
    return {"S3.TrustedEndpoints": [server.url]}.get


def _fetches(server: S3Server, root: Path, name: str, count: int, size: int) -> list[Row]:
    bucket = _fill(server, root, count, size)
    source = S3Source(PluginOptions(node_id="n-bench", data_dir=root, settings=_settings(server)))
    fetches: list[tuple[Callable[[Path], None], int]] = [
        (partial(_fetch, source, server, bucket), resource.RUSAGE_SELF)
    ]
    if shutil.which("rclone") is not None:
        fetches.append((partial(_rclone, server, bucket), resource.RUSAGE_CHILDREN))
    # In turns, so that what else this machine does meets both.
    rounds = [[_timed(fetch, root, who) for fetch, who in fetches] for _ in range(ROUNDS)]
    asyncio.run(source.close())
    walls = [min(one[at][0] for one in rounds) for at in range(len(fetches))]
    cpus = [min(one[at][1] for one in rounds) for at in range(len(fetches))]
    if len(fetches) == 1:
        return [Row(name, walls[0], "s"), Row(f"{name}, CPU", cpus[0], "s")]
    return [
        Row(name, walls[0], "s", raw=walls[1], raw_name="rclone", target=1.1, target_is_ratio=True),
        Row(f"{name}, CPU", cpus[0], "s", raw=cpus[1], raw_name="rclone"),
    ]


def _timed(fetch: Callable[[Path], None], root: Path, who: int) -> tuple[float, float]:
    """Return wall time and CPU time of one fetch, in seconds."""
    with tempfile.TemporaryDirectory(dir=root) as directory:
        before, started = resource.getrusage(who), time.perf_counter()
        fetch(Path(directory))
        wall = time.perf_counter() - started
        after = resource.getrusage(who)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _fill(server: S3Server, root: Path, count: int, size: int) -> str:
    bucket = server.bucket()
    client = server.client()
    path = root / "object"
    with path.open("wb") as file:
        for _ in range(0, size, 1_000_000):
            file.write(os.urandom(min(size, 1_000_000)))

    def put(number: int) -> None:
        with path.open("rb") as body:
            client.put_object(Bucket=bucket, Key=f"data/{number:05d}", Body=body)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, range(count)))
    client.close()
    return bucket


def _fetch(source: S3Source, server: S3Server, bucket: str, directory: Path) -> None:
    params = {"Bucket": bucket, "Key": "data/", "Endpoint": server.url, "Region": "us-east-1"}
    item = InputSource(source=SpecConfig(type="s3", params=params), target="/inputs")
    asyncio.run(source.fetch(FetchRequest(Execution(id="e-bench", job=Job(count=1)), item, directory)))


def _rclone(server: S3Server, bucket: str, directory: Path) -> None:
    remote = (
        f":s3,provider=Other,access_key_id={ACCESS_KEY},secret_access_key={SECRET_KEY},"
        f"region=us-east-1,endpoint='{server.url}':{bucket}/data"
    )
    # Old ones do not start with a certificate bundle in the environment.
    env = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    command = ["rclone", "copy", "--config", "/dev/null", "--transfers", "8", remote, str(directory)]
    subprocess.run(command, check=True, env=env, timeout=300)


def _publish(server: S3Server, root: Path) -> list[Row]:
    results = root / "results"
    results.mkdir()
    (root / "object").unlink()
    with (results / "data").open("wb") as file:
        for _ in range(1000):
            file.write(os.urandom(1_000_000))
    params = {"Bucket": server.bucket(), "Key": "out", "Endpoint": server.url, "Region": "us-east-1"}
    job = Job(count=1, tasks=[Task(publisher=SpecConfig(type="s3", params=params))])
    publisher = S3Publisher(PluginOptions(node_id="n-bench", data_dir=root, settings=_settings(server)))
    started, cpu = time.perf_counter(), time.process_time()
    asyncio.run(publisher.publish(PublishRequest(Execution(id="e-bench", job=job), results)))
    taken, cpu = time.perf_counter() - started, time.process_time() - cpu
    asyncio.run(publisher.close())
    name = "S3: publish 1 GB, incompressible"
    return [Row(name, taken, "s", target=PUBLISH_TARGET_S), Row(f"{name}, CPU", cpu, "s")]
