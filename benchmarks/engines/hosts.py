"""The way to a Docker host over ssh: calls beside those over a socket that plain ssh forwards, start, and return."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import psutil

from bacalhau_jupyter.engines.docker.link.ssh import SshLink
from bacalhau_jupyter.engines.docker.link.step import examine
from bacalhau_jupyter.engines.docker.link.target import SshTarget
from bacalhau_jupyter.lib.clock import SystemClock
from bacalhau_jupyter.models.records.hosts import HostState
from benchmarks.harness import Row, needing_services
from tests.services.common import wait_until
from tests.services.far_host import FarHost
from tests.services.far_users import Way

CALL_RATIO = 1.2
ADD_TARGET_S = 2.0
_TIMEOUT_S = 60.0


def measure(quick: bool) -> list[Row]:
    """Measure on a second machine in namespaces of this one; both ways go to the same engine, call by call in turn."""
    with needing_services():
        far_host = FarHost()
    try:
        with tempfile.TemporaryDirectory(prefix="bj-") as directory:
            return asyncio.run(_measure(far_host, Path(directory), 100 if quick else 1000))
    finally:
        far_host.close()


async def _measure(far_host: FarHost, directory: Path, calls: int) -> list[Row]:
    config = far_host.users.config(directory / "ssh_config", gpu1=Way())
    target, clock = SshTarget("gpu1", config=config), SystemClock()
    begun = time.perf_counter()
    steps = [step async for step in examine("gpu1", target, runtime_dir=directory, clock=clock)]
    examined_s = time.perf_counter() - begun
    if not all(step.ok for step in steps):
        raise RuntimeError(f"the host can't be used: {steps[-1].sentence}")
    link = SshLink("gpu1", target, runtime_dir=directory, clock=clock)
    begun = time.perf_counter()
    await link.start()
    await link.ready()
    ready_s = time.perf_counter() - begun
    try:
        with plain_forward(config, directory / "plain.sock") as url:
            ours, raw = await asyncio.to_thread(_calls, link.endpoint.url, url, calls)
        back_s = statistics.median([await _back_after_kill(link, directory) for _ in range(3)])
    finally:
        await link.close()
    return [
        Row(
            "call to a Docker host over ssh, p50",
            ours,
            "ms",
            raw,
            "ssh -L",
            target=CALL_RATIO,
            target_is_ratio=True,
        ),
        Row("a Docker host is ready after", ready_s, "s", target=ADD_TARGET_S),
        Row("a Docker host is tried step by step in", examined_s, "s", target=ADD_TARGET_S),
        Row("a killed ssh is replaced after", back_s, "s"),
    ]


def _calls(ours: str, raw: str, calls: int) -> tuple[float, float]:
    """Return the usual time of a call over each way, milliseconds."""
    clients: list[Any] = [docker.APIClient(base_url=url, timeout=int(_TIMEOUT_S)) for url in (ours, raw)]
    times: list[list[float]] = [[], []]
    try:
        for _ in range(calls):
            for client, taken in zip(clients, times, strict=True):
                begun = time.perf_counter()
                client.ping()
                taken.append((time.perf_counter() - begun) * 1000)
    finally:
        for client in clients:
            client.close()
    return statistics.median(times[0]), statistics.median(times[1])


@contextmanager
def plain_forward(config: Path, socket: Path) -> Iterator[str]:
    """Give the URL of the second machine's Docker Engine through a socket that plain ssh forwards."""
    command = ["ssh", "-F", str(config), "-N", "-T", "-n", "-L", f"{socket}:/var/run/docker.sock", "gpu1"]
    with subprocess.Popen(command) as process:
        try:
            if not wait_until(socket.exists, timeout_s=_TIMEOUT_S):
                raise RuntimeError("ssh -L forwards nothing")
            yield f"unix://{socket}"
        finally:
            process.terminate()


async def _back_after_kill(link: SshLink, directory: Path) -> float:
    is_back = asyncio.Event()
    end = link.watch(lambda status: is_back.set() if status.state is HostState.READY else None)
    (pid,) = (
        child.pid
        for child in psutil.Process().children()
        if child.name() == "ssh" and "-M" in child.cmdline() and str(directory) in " ".join(child.cmdline())
    )
    begun = time.perf_counter()
    os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(_TIMEOUT_S):
        await is_back.wait()
    end()
    return time.perf_counter() - begun
