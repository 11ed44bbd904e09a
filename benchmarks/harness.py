"""What the measurements share: the node, the yardstick, the load generator, the table."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import psutil

from benchmarks.api.load import Load
from tests.services import docker_engine, images
from tests.services.common import ServiceUnavailableError
from tests.services.node import ServedNode, start_node

JOBS = "/api/v1/orchestrator/jobs"
ROOT = Path(__file__).parents[1]
TERMINAL = ("Completed", "Failed", "Stopped")


@dataclass(frozen=True)
class Row:
    """One figure: ours beside the raw thing, and what was promised.

    ``better`` says in which direction: "less" or "more". A row without a target informs only.
    """

    name: str
    ours: float
    unit: str
    raw: float | None = None
    raw_name: str = ""
    target: float | None = None
    better: str = "less"
    target_is_ratio: bool = False

    @property
    def ratio(self) -> float | None:
        """Ours divided by the raw thing."""
        return self.ours / self.raw if self.raw else None

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        value = self.ratio if self.target_is_ratio else self.ours
        if self.target is None or value is None:
            return None
        return value <= self.target if self.better == "less" else value >= self.target


def session_report(module: str, *arguments: str, timeout_s: float) -> dict[str, Any]:
    """Run a module that measures cells in an IPython of its own, with a node of its own; return what it reports.

    Raises
    ------
    RuntimeError
        It ended without a report.
    """
    with tempfile.TemporaryDirectory(prefix="bacalhau-bench-") as directory:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("BACALHAU_")}
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env={
                **environment,
                "BACALHAU_DIR": f"{directory}/repo",
                "BACALHAU_NODE_GRACEPERIOD": "0s",
                "IPYTHONDIR": f"{directory}/ipython",
            },
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise RuntimeError(f"the cells failed: {done.stdout[-1500:]} {done.stderr[-1500:]}")
    report: dict[str, Any] = json.loads(lines[0].removeprefix("RESULT "))
    return report


class Unavailable(Exception):
    """A measurement can't be made here; the message says why."""


@contextmanager
def needing_services() -> Iterator[None]:
    """Begin what a measurement needs, such as a registry.

    Raises
    ------
    Unavailable
        One of them can't be had here.
    """
    try:
        yield
    except ServiceUnavailableError as error:
        raise Unavailable(str(error)) from error


def docker_url() -> str:
    """Return the URL of this machine's Docker Engine.

    Raises
    ------
    Unavailable
        None answers.
    """
    url = docker_engine.find()
    if url is None:
        raise Unavailable("no Docker Engine answers")
    return url


def busybox() -> tuple[str, str]:
    """Return the URL of this machine's Docker Engine, and the name that the image busybox has there.

    Raises
    ------
    Unavailable
        None answers, or the image can't be had.
    """
    url = docker_url()
    with needing_services():
        return url, images.ensure_busybox(url)


def show(rows: Sequence[Row]) -> None:
    """Print the table."""
    print(f"{'measurement':<58} {'ours':>12} {'raw':>12} {'ratio':>6}  {'target':>12}")
    for row in rows:
        raw = f"{row.raw:.2f}" if row.raw is not None else "-"
        ratio = f"{row.ratio:.2f}" if row.ratio is not None else "-"
        sign = "≤" if row.better == "less" else "≥"
        unit = "×" if row.target_is_ratio else row.unit
        target = f"{sign} {row.target:g} {unit}" if row.target is not None else "-"
        verdict = {True: "met", False: "MISSED", None: ""}[row.met]
        ours = f"{row.ours:.2f} {row.unit}"
        print(f"{row.name:<58} {ours:>12} {raw:>12} {ratio:>6}  {target:>12} {verdict} {row.raw_name}")


@contextmanager
def node(*options: str, roles: Sequence[str] = ("--orchestrator", "--compute")) -> Iterator[ServedNode]:
    """A node process for the duration."""
    with tempfile.TemporaryDirectory(prefix="bacalhau-bench-") as directory:
        served = start_node(Path(directory) / "node", "-c", "Logging.Level=warn", *options, roles=roles)
        try:
            yield served
        finally:
            served.stop()


@contextmanager
def bare() -> Iterator[int]:
    """The yardstick server for the duration; gives its port."""
    with tempfile.TemporaryDirectory(prefix="bacalhau-bench-") as directory:
        port_file = Path(directory) / "port"
        command = [sys.executable, "-m", "benchmarks.api.bare", str(port_file), str(Path(directory) / "db")]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
            deadline = time.monotonic() + 20
            while not (port_file.exists() and port_file.read_text()) and time.monotonic() < deadline:
                time.sleep(0.02)
            yield int(port_file.read_text())
            assert process.stdin is not None
            process.stdin.close()
            process.wait(20)


def load(
    port: int,
    method: str,
    path: str,
    clients: int,
    requests: int,
    body: str = "",
    *,
    authorization: str = "",
) -> dict[str, Any]:
    """Drive a server from a process of its own; raises RuntimeError when answers were not 200."""
    plan = Load(port, method, path, clients, requests, body, authorization=authorization)
    command = [sys.executable, "-m", "benchmarks.api.load", json.dumps(asdict(plan))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=True)
    report: dict[str, Any] = json.loads(done.stdout)
    if report["failures"]:
        raise RuntimeError(f"{method} {path}: {report['failures']} failures: {report['first_failure']}")
    return report


def settle(served: ServedNode, timeout_s: float = 60) -> None:
    """Wait until the node has nothing left to do, so that one figure does not pay for the one before it."""
    process = psutil.Process(served.process.pid)
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and process.cpu_percent(0.3) > 3:
        pass


def job(engine: str, params: dict[str, Any], **task: Any) -> dict[str, Any]:
    """Return the body of a submission."""
    spec = {"Name": "main", "Engine": {"Type": engine, "Params": params}, **task}
    return {"Job": {"Type": "batch", "Count": 1, "Tasks": [spec]}}


class Session:
    """A client on the API that learns of the end of its jobs by the event stream."""

    def __init__(self, http: aiohttp.ClientSession, events: aiohttp.ClientWebSocketResponse) -> None:
        self.http = http
        self._events = events
        self._arrived: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()

    async def submit(self, body: dict[str, Any]) -> str:
        """Submit; return the job's ID."""
        async with self.http.put(JOBS, json=body) as answer:
            submitted = await answer.json()
            if answer.status != 200:
                raise RuntimeError(f"refused: {submitted}")
            return str(submitted["JobID"])

    async def next_event(self) -> dict[str, Any]:
        """Wait for the next event of any job."""
        event = await self._arrived.get()
        if event is None:
            raise RuntimeError("the node has ended the stream of events")
        return event

    async def listen(self) -> None:
        """Take events as they come, until the stream ends: a listener that is busy otherwise must answer pings."""
        async for message in self._events:
            self._arrived.put_nowait(json.loads(message.data))
        self._arrived.put_nowait(None)

    async def ended(self, job_id: str, timeout_s: float = 120) -> str:
        """Wait until the job is over; return its state."""
        async with asyncio.timeout(timeout_s):
            while True:
                event = await self.next_event()
                if event["job"] == job_id and event.get("state") in TERMINAL:
                    return str(event["state"])

    async def run(self, body: dict[str, Any]) -> float:
        """Submit and wait for the end; return the seconds. Raises RuntimeError when the job did not complete."""
        started = time.perf_counter()
        job_id = await self.submit(body)
        state = await self.ended(job_id)
        took = time.perf_counter() - started
        if state != "Completed":
            async with self.http.get(f"{JOBS}/{job_id}") as answer:
                raise RuntimeError(f"the job ended as {state}: {(await answer.json())['Job']['State']}")
        return took


class HasAPI(Protocol):
    """Something with an API."""

    @property
    def url(self) -> str:
        """Where it listens."""
        ...


@asynccontextmanager
async def session(served: HasAPI) -> AsyncIterator[Session]:
    """A `Session` with a node."""
    async with (
        aiohttp.ClientSession(served.url) as http,
        http.ws_connect("/api/v1/orchestrator/events") as events,
    ):
        # The stream starts a moment after the upgrade; a first job shows that it does.
        opened = Session(http, events)
        listening = asyncio.create_task(opened.listen())
        await asyncio.sleep(0.1)
        try:
            yield opened
        finally:
            listening.cancel()
