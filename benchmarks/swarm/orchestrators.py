"""Orchestrators to measure, each a process of its own: ours, and the official one where there is a program of it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.harness import ROOT, Unavailable, node
from benchmarks.swarm.herd import Herd

STOCK = "BACALHAU_STOCK_BINARY"
START_TIMEOUT_S = 60.0
HTTP_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Measured:
    """An orchestrator that runs.

    Attributes
    ----------
    name
        "ours" or "official".
    api, nats
        Where its API and its NATS server listen.
    process
        The orchestrator; the NATS server is a child of ours, and inside the official one.
    """

    name: str
    api: str
    nats: str
    process: psutil.Process

    def servers(self) -> list[psutil.Process]:
        """Return the NATS servers beside it."""
        return [each for each in self.process.children(recursive=True) if "nats" in each.name()]

    def cpu_s(self) -> dict[str, float]:
        """Return the CPU seconds so far, of the orchestrator and of the NATS server beside it."""
        return {
            "orchestrator": cpu_s(self.process),
            "server": sum(cpu_s(each) for each in self.servers()),
        }

    def memory_mb(self) -> dict[str, float]:
        """Return the resident memory of both."""
        return {
            "orchestrator": self.process.memory_info().rss / 1e6,
            "server": sum(each.memory_info().rss for each in self.servers()) / 1e6,
        }

    def get(self, path: str) -> Any:
        """GET a document of the API."""
        with urllib.request.urlopen(self.api + path, timeout=HTTP_TIMEOUT_S) as answer:
            return json.load(answer)


def cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


@contextlib.contextmanager
def ours(*options: str) -> Iterator[Measured]:
    """Run an orchestrator of ours, without a compute role, with a NATS server on a free port."""
    port = free_port()
    with node(
        *("-c", f"Orchestrator.Port={port}", "-c", "Orchestrator.Link=on"),
        *options,
        roles=("--orchestrator",),
    ) as served:
        yield Measured("ours", served.url, f"nats://127.0.0.1:{port}", psutil.Process(served.process.pid))


@contextlib.contextmanager
def official(settings: Mapping[str, str] | None = None) -> Iterator[Measured]:
    """Run the official orchestrator.

    Raises
    ------
    Unavailable
        There is no program of it, or it does not start.
    """
    binary = os.environ.get(STOCK, "")
    if not binary:
        raise Unavailable(f"{STOCK} does not name the program of the official node")
    api, nats = free_port(), free_port()
    full = {
        "API.Host": "127.0.0.1",
        "API.Port": str(api),
        "Orchestrator.Host": "127.0.0.1",
        "Orchestrator.Port": str(nats),
        "Compute.Orchestrators": f"nats://127.0.0.1:{nats}",
        "WebUI.Enabled": "false",
        "DisableAnalytics": "true",
        "UpdateConfig.Interval": "0",
        "Logging.Level": "error",
        **(settings or {}),
    }
    with tempfile.TemporaryDirectory(prefix="bacalhau-bench-") as directory:
        command = [binary, "serve", "--orchestrator", "--data-dir", f"{directory}/repo"]
        for key, value in full.items():
            command += ["-c", f"{key}={value}"]
        log = Path(directory) / "log"
        environment = {key: value for key, value in os.environ.items() if not key.startswith("BACALHAU_")}
        with (
            log.open("wb") as sink,
            subprocess.Popen(
                command, stdout=sink, stderr=sink, env={**environment, "HOME": directory}
            ) as process,
        ):
            measured = Measured(
                "official",
                f"http://127.0.0.1:{api}",
                f"nats://127.0.0.1:{nats}",
                psutil.Process(process.pid),
            )
            try:
                _until_it_answers(measured, log)
                yield measured
            finally:
                process.terminate()
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()


def _until_it_answers(measured: Measured, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and measured.process.is_running():
        with contextlib.suppress(OSError, urllib.error.URLError, ValueError):
            measured.get("/api/v1/agent/alive")
            return
        time.sleep(0.1)
    raise Unavailable(f"the official node does not start: {log.read_text(errors='replace')[-300:]}")


class Herding:
    """A herd in a process of its own; made by `herding`.

    Attributes
    ----------
    joined
        Its first report.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.joined = self._next()

    def report(self) -> dict[str, Any]:
        """Return what happened since the last report."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._next()

    def cpu_s(self) -> float:
        """Return the CPU seconds of the herd itself."""
        return cpu_s(psutil.Process(self._process.pid))

    def _next(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the herd has ended")
        report: dict[str, Any] = json.loads(line)
        return report


@contextlib.contextmanager
def herding(herd: Herd) -> Iterator[Herding]:
    """Run a herd for the duration; it has joined when this returns."""
    command = [sys.executable, "-m", "benchmarks.swarm.herd", json.dumps(asdict(herd))]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Herding(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def free_port() -> int:
    """Return a port on which nothing listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
