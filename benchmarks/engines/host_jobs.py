"""Whole jobs on a Docker host beside ``docker -H ssh://``: their lines, their data, and what an absent host costs."""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bacalhau_jupyter.models.records.hosts import PATH as HOSTS
from benchmarks.engines.hosts import plain_forward
from benchmarks.engines.whole_jobs import FREE
from benchmarks.harness import JOBS, Row, Session, job, needing_services, session
from tests.services import docker_engine
from tests.services.far_host import FarHost
from tests.services.far_users import Way
from tests.services.node import ServedNode, start_node

MB = 1_000_000
COPIES = 3
"""How often data goes each way: how fast a disk takes it differs by half from one time to the next."""
NOWHERE = "192.0.2.1"
"""An address that is nobody's (RFC 5737)."""
LINES = "i=0; while [ $i -lt {lines} ]; do i=$((i+1)); echo line $i; sleep 0.05; done"


def measure(quick: bool) -> list[Row]:
    """Measure on a second machine in namespaces of this one."""
    with needing_services():
        far_host = FarHost()
    try:
        with tempfile.TemporaryDirectory(prefix="bj-") as directory, _node(Path(directory) / "n") as served:
            rows = asyncio.run(_jobs(far_host, served, Path(directory), quick))
    finally:
        far_host.close()
    return rows + _away(3 if quick else 9)


async def _jobs(far_host: FarHost, served: ServedNode, directory: Path, quick: bool) -> list[Row]:
    rounds, lines, size = (5, 40, 50 * MB) if quick else (15, 200, 1000 * MB)
    image = far_host.busybox_image()
    config = far_host.users.config(directory / "ssh_config", gpu1=Way())
    raw = _Docker(config, directory)
    async with session(served) as opened:
        await _add(opened, far_host)
        noop = _on_host({"Image": image, "Entrypoint": ["true"]})
        await opened.run(noop)
        ours, theirs = [], []
        for _ in range(rounds):
            ours.append(await opened.run(noop))
            theirs.append(await asyncio.to_thread(raw.timed, "run", "--rm", image, "true"))
        first_s, behind = await _lines(opened, far_host, image, lines)
        data = directory / "data"
        data.mkdir()
        with plain_forward(config, directory / "plain.sock") as url, raw.container(url, image) as container:
            inward, outward = await _data(opened, container, image, data / "file", size)
    return [
        Row(
            "no-op job on a Docker host, submit → Completed, median",
            statistics.median(ours) * 1e3,
            "ms",
            statistics.median(theirs) * 1e3,
            "docker -H ssh:// run --rm",
            0.5,
            target_is_ratio=True,
        ),
        Row("first line of a job on a Docker host after", first_s, "s", target=0.8),
        Row("line at a follower, later than at the host's own engine, p50", behind, "ms", target=5),
        _beside_copy(f"{size // MB} MB into a job", inward),
        _beside_copy(f"{size // MB} MB out of a job", outward),
    ]


def _beside_copy(name: str, rates: list[tuple[float, float]]) -> Row:
    ours, raw = zip(*rates, strict=True)
    return Row(
        name,
        statistics.median(ours),
        "MB/s",
        raw=statistics.median(raw),
        raw_name="docker cp",
        target=0.9,
        better="more",
        target_is_ratio=True,
    )


def _on_host(params: dict[str, Any], **task: Any) -> dict[str, Any]:
    body = job("docker", params, Resources=FREE, Network={"Type": "None"}, **task)
    body["Job"]["Constraints"] = [{"Key": "host", "Operator": "=", "Values": ["gpu1"]}]
    return body


async def _add(opened: Session, far_host: FarHost) -> None:
    order = {
        "Name": "gpu1",
        "URL": f"ssh://alice@{far_host.address}",
        "SSH": {"Options": {"IdentityFile": str(far_host.users.key), "IdentitiesOnly": "yes"}},
        "Trust": far_host.users.fingerprint,
    }
    async with opened.http.post(HOSTS, json=order) as answer:
        if answer.status != 200:
            raise RuntimeError(f"the host was refused: {await answer.text()}")


async def _lines(opened: Session, far_host: FarHost, image: str, lines: int) -> tuple[float, float]:
    """Return the seconds to the first line, and by how many milliseconds lines come later than at the engine there."""
    body = _on_host({"Image": image, "Entrypoint": ["sh", "-c", LINES.format(lines=lines)]})
    begun = time.time()
    job_id = await opened.submit(body)
    near: list[float] = []
    there = _There(far_host, job_id)
    async with opened.http.ws_connect(f"{JOBS}/{job_id}/logs?follow=true") as stream, asyncio.timeout(120):
        async for message in stream:
            now = time.time()
            frame = json.loads(message.data)
            if frame.get("error"):
                raise RuntimeError(frame["error"])
            near += [now] * frame["value"]["Line"].count("\n")
            if len(near) == 1:
                there.start()
    far = await asyncio.to_thread(there.arrivals)
    # What was there before the second reader is not compared.
    behind = [here - other for here, other in list(zip(near[-len(far) :], far, strict=True))[len(far) // 2 :]]
    return near[0] - begun, statistics.median(behind) * 1e3


class _There(threading.Thread):
    """Reads the log of a job at the engine of the host, through no link."""

    def __init__(self, far_host: FarHost, job_id: str) -> None:
        super().__init__(daemon=True)
        self._api = docker_engine.client(far_host.engine_url).api
        self._job_id = job_id
        self._arrived: list[float] = []

    def run(self) -> None:
        (container,) = (
            each["Id"] for each in self._api.containers() if self._job_id in str(each["Labels"].values())
        )
        for chunk in self._api.logs(container, stream=True, follow=True):
            self._arrived += [time.time()] * chunk.count(b"\n")

    def arrivals(self) -> list[float]:
        self.join()
        self._api.close()
        return self._arrived


async def _data(
    opened: Session, container: _Container, image: str, file: Path, size: int
) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Return MB/s into a job and out of it, less what a job takes without it, each beside ``docker cp`` in turn."""
    source = {
        "Target": "/in",
        "Source": {"Type": "localDirectory", "Params": {"SourcePath": str(file.parent), "ReadWrite": False}},
    }
    nothing = _on_host({"Image": image, "Entrypoint": ["true"]})
    into = _on_host({"Image": image, "Entrypoint": ["true"]}, InputSources=[source])
    write = f"dd if=/dev/zero of=/outputs/file bs=1M count={size >> 20} 2>/dev/null"
    params = {"Image": image, "Entrypoint": ["sh", "-c", write]}
    discarded = _on_host(params | {"Entrypoint": ["sh", "-c", write.replace("/outputs/file", "/tmp/file")]})
    out = _on_host(params, ResultPaths=[{"Name": "outputs", "Path": "/outputs"}], Publisher={"Type": "local"})

    def rate(seconds: float) -> float:
        return size / MB / max(seconds, 1e-3)

    inward, outward = [], []
    for number in range(COPIES):
        # Of another size each time: one that may be there already is compared first.
        file.write_bytes(bytes(size + number))
        into_s = await opened.run(into) - await opened.run(nothing)
        inward.append((rate(into_s), rate(await asyncio.to_thread(container.copy_in, file))))
        out_s = await opened.run(out) - await opened.run(discarded)
        outward.append((rate(out_s), rate(await asyncio.to_thread(container.copy_out, file))))
    return inward, outward


class _Docker:
    """The ``docker`` program with ssh's configuration of the second machine."""

    def __init__(self, config: Path, directory: Path) -> None:
        programs = directory / "bin"
        programs.mkdir()
        script = programs / "ssh"
        script.write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {config} "$@"\n')
        script.chmod(0o755)
        self._env = {"PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin", "HOME": str(directory)}

    def timed(self, *words: str, host: str = "ssh://gpu1") -> float:
        """Run it; return the seconds."""
        begun = time.perf_counter()
        subprocess.run(
            ["docker", "-H", host, *words], env=self._env, check=True, capture_output=True, timeout=600
        )
        return time.perf_counter() - begun

    @contextmanager
    def container(self, url: str, image: str) -> Iterator[_Container]:
        """Make a container to copy to and from, at the engine with this URL."""
        self.timed("create", "--name", "copied", image, "true", host=url)
        try:
            yield _Container(self, url)
        finally:
            self.timed("rm", "-f", "copied", host=url)


class _Container:
    """A container that ``docker cp`` copies to and from."""

    def __init__(self, docker: _Docker, url: str) -> None:
        self._docker = docker
        self._url = url

    def copy_in(self, file: Path) -> float:
        """Return the seconds that it takes."""
        return self._docker.timed("cp", str(file), "copied:/file", host=self._url)

    def copy_out(self, file: Path) -> float:
        """Return the seconds that it takes to copy what was copied in to a place beside ``file``'s directory."""
        back = file.parent.with_name("back")
        taken_s = self._docker.timed("cp", "copied:/file", str(back), host=self._url)
        back.unlink()
        return taken_s


@contextmanager
def _node(directory: Path) -> Iterator[ServedNode]:
    allowed = f"Compute.AllowListedLocalPaths={directory.parent}/data"
    served = start_node(directory, "-c", "Logging.Level=warn", "-c", allowed)
    try:
        yield served
    finally:
        served.stop()


def _away(rounds: int) -> list[Row]:
    """A host at an address that is nobody's: how long a node starts, and lists its nodes."""
    starts: tuple[list[float], list[float]] = ([], [])
    lists: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for number, hosts in enumerate(("", f"hosts:\n  gone: ssh://alice@{NOWHERE}\n")):
            with tempfile.TemporaryDirectory(prefix="bj-") as directory:
                home = Path(directory) / "n"
                home.mkdir(mode=0o700)
                if hosts:
                    (home / "hosts.yaml").write_text(hosts)
                    (home / "hosts.yaml").chmod(0o600)
                begun = time.perf_counter()
                with _node(home) as served:
                    starts[number].append(time.perf_counter() - begun)
                    lists[number].append(asyncio.run(_list(served)))
    named = (("start of a node with a host that is away", starts), ("node list with it", lists))
    return [
        Row(
            name,
            statistics.median(times[1]) * 1e3,
            "ms",
            statistics.median(times[0]) * 1e3,
            "without a host",
            1.05,
            target_is_ratio=True,
        )
        for name, times in named
    ]


async def _list(served: ServedNode) -> float:
    async with session(served) as opened:
        times = []
        for _ in range(100):
            begun = time.perf_counter()
            async with opened.http.get("/api/v1/orchestrator/nodes") as answer:
                await answer.read()
            times.append(time.perf_counter() - begun)
    return statistics.median(times)
