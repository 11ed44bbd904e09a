"""What goes to a Docker host: an image beside ``docker save | ssh docker load``, and an input, the second time."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

from bacalhau_jupyter.engines.docker import DockerEngine
from bacalhau_jupyter.engines.docker.link.ssh import SshLink
from bacalhau_jupyter.engines.docker.link.target import SshTarget
from bacalhau_jupyter.lib.clock import SystemClock
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import NetworkConfig, NetworkType, SpecConfig, Task
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.plugins.contract import InputMount
from bacalhau_jupyter.plugins.engine import RunRequest
from bacalhau_jupyter.plugins.options import PluginOptions
from benchmarks.harness import Row, docker_url, needing_services
from tests.engines.docker.carrying.conftest import add_layer
from tests.services import docker_engine, images
from tests.services.far_host import FarHost
from tests.services.far_users import Way

MB = 1_000_000
TOP_LAYER = 2 * MB
COPY_RATIO = 1.1
NODE = "n-bench"


def measure(quick: bool) -> list[Row]:
    """Measure on a second machine in namespaces of this one."""
    url = docker_url()
    with needing_services():
        far_host = FarHost()
    try:
        with tempfile.TemporaryDirectory(prefix="bj-") as directory:
            return asyncio.run(_measure(far_host, url, Path(directory), 20 * MB if quick else 250 * MB))
    finally:
        far_host.close()


async def _measure(far_host: FarHost, url: str, directory: Path, size: int) -> list[Row]:
    config = far_host.users.config(directory / "ssh_config", gpu1=Way())
    link = SshLink(
        "gpu1", SshTarget("gpu1", config=config), runtime_dir=directory / "run", clock=SystemClock()
    )
    await link.start()
    await link.ready()
    engine = DockerEngine(PluginOptions(NODE, directory), env={"DOCKER_HOST": url}, link=link)
    near, far = docker_engine.client(url), docker_engine.client(far_host.engine_url)
    base, top = (f"bacalhau-jupyter-bench/{name}-{uuid.uuid4().hex[:8]}:1" for name in ("base", "top"))
    try:
        if not (await engine.probe()).available:
            raise RuntimeError("the host can't be used")
        busybox = images.ensure_busybox(url)
        far_host.busybox_image()
        await asyncio.to_thread(add_layer, near.api, busybox, base, size)
        await asyncio.to_thread(add_layer, near.api, base, top, TOP_LAYER)
        command = f"docker -H {url} save {base} | ssh -F {config} gpu1 docker load"
        raw_s = await asyncio.to_thread(_shell, command)
        far.api.remove_image(base)
        ours_s = await _timed(engine.push(base))
        top_s = await _timed(engine.push(top))
        first_s, second_s = await _inputs(engine, busybox, directory, size)
    finally:
        for client, names in ((near, (top, base)), (far, ())):
            for name in names:
                client.api.remove_image(name, force=True)
            client.close()
        await engine.close()
        await link.close()
    return [
        Row(
            f"image of {size // MB} MB to a Docker host",
            ours_s,
            "s",
            raw_s,
            "docker save | ssh docker load",
            COPY_RATIO,
            target_is_ratio=True,
        ),
        Row(f"one more layer of {TOP_LAYER // MB} MB to a Docker host", top_s, "s", raw_s, "the whole image"),
        Row(f"start with {size // MB} MB of input, again", second_s, "s", first_s, "the first time"),
    ]


async def _inputs(engine: DockerEngine, image: str, directory: Path, size: int) -> tuple[float, float]:
    """Return the seconds of two starts with the same input."""
    data = directory / "data"
    data.mkdir()
    (data / "file").write_bytes(os.urandom(size))
    times = []
    for _ in range(2):
        request = _request(image, directory, InputMount(data, "/in"))
        times.append(await _timed(engine.start(request)))
        await engine.wait(request.execution.id)
        await engine.clean(request.execution.id)
        shutil.rmtree(request.directory)
    return times[0], times[1]


def _request(image: str, directory: Path, mount: InputMount) -> RunRequest:
    params = {"Image": image, "Parameters": ["true"]}
    task = Task(
        name="main",
        engine=SpecConfig(type="docker", params=params),
        network=NetworkConfig(type=NetworkType.NONE),
    )
    identifier = f"e-{uuid.uuid4()}"
    own = directory / identifier
    own.mkdir()
    job = Job(id="j-bench", name="bench", tasks=[task])
    execution = Execution(id=identifier, job_id=job.id, job=job)
    return RunRequest(
        execution=execution,
        node_id=NODE,
        env={},
        resources=Resources(),
        inputs=[mount],
        outputs=[],
        directory=own,
        log_path=own / "log",
    )


async def _timed(work: Any) -> float:
    begun = time.perf_counter()
    await work
    return time.perf_counter() - begun


def _shell(command: str) -> float:
    begun = time.perf_counter()
    subprocess.run(["sh", "-c", command], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun
