"""What survives a node: its repo, the side effects of its jobs, and what engines hold; all looked at from outside."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import re
import shutil
import sqlite3
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from bacalhau_jupyter.client.jobs.build import docker, local_path, process
from bacalhau_jupyter.compute.execution.record import Phase
from bacalhau_jupyter.engines.docker.params import LABEL_NODE
from bacalhau_jupyter.models.codec import encode
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.spec import InputSource
from bacalhau_jupyter.models.records.execution import ExecutionStateType
from bacalhau_jupyter.transfer.archive.held import open_archive
from tests.services import docker_engine as engines
from tests.services.common import wait_until
from tests.services.node import ServedNode, start_node

JOBS = "/api/v1/orchestrator/jobs"
HTTP_TIMEOUT_S = 60.0
OVER = frozenset({"Completed", "Failed", "Stopped"})
ENGINES = ("docker", "process")

PRELUDE = """
in=${BACALHAU_INPUTS:-/inputs}; out=${BACALHAU_OUTPUTS:-/outputs}
mark() { echo "$1 $BACALHAU_JOB_ID $BACALHAU_EXECUTION_ID $BACALHAU_PARTITION_INDEX" >> "$in/counter/log"; }
mark START
"""


@dataclass(frozen=True)
class Mark:
    """One line of the side-effect counter, in the order in which jobs wrote them."""

    kind: str
    job: str
    execution: str
    partition: str


class World:
    """A repo directory, the node on it (as often as it is started), and what its jobs leave behind.

    Parameters
    ----------
    directory
        Holds everything; others must be able to reach what lies in it.
    engine_url, image
        The Docker Engine and an image with a shell in it.
    """

    def __init__(self, directory: Path, engine_url: str, image: str) -> None:
        self.directory = directory
        self.data_dir = directory / "repo"
        self.counter = directory / "counter"
        self.counter.mkdir()
        self.counter.chmod(0o777)
        self.log = self.counter / "log"
        self.log.touch()
        self.log.chmod(0o666)
        self.engine_url, self.image = engine_url, image
        self.options: list[str] = []
        self.allow(f"{self.counter}:rw")
        self.node: ServedNode | None = None
        self._with_docker: ServedNode | None = None
        self.node_id = ""

    # ---- the node

    def allow(self, *entries: str) -> None:
        """Set the paths that jobs may mount."""
        self.options = [item for item in self.options if not item.startswith("Compute.AllowListedLocalPaths")]
        self.options.append("Compute.AllowListedLocalPaths=" + ",".join(entries))

    def start(self, **arguments: Any) -> ServedNode:
        """Start a node on the repo and wait until it listens."""
        self.node = start_node(
            self.data_dir, *self.flags(), env={"DOCKER_HOST": self.engine_url}, **arguments
        )
        self.node_id = str(self.get("/api/v1/agent/node")["NodeID"])
        return self.node

    def flags(self) -> list[str]:
        """Return the command-line options of the node."""
        return [word for option in self.options for word in ("-c", option)]

    def kill_at_birth(self, after: float) -> None:
        """Start a node and kill it ``after`` seconds, ready or not."""
        with contextlib.suppress(AssertionError):
            started = start_node(
                self.data_dir,
                *self.flags(),
                env={"DOCKER_HOST": self.engine_url},
                timeout_s=after,
                awaits_engines=False,
            )
            started.kill()

    @property
    def running(self) -> ServedNode:
        """The node."""
        assert self.node is not None
        return self.node

    def wait_for_line(self, pattern: str, timeout_s: float = 60.0) -> str:
        """Wait until the node has printed a line that holds a match for ``pattern``."""
        matches: list[str] = []
        regex = re.compile(pattern)

        def look() -> bool:
            match = regex.search(self.running.output.read_text(errors="replace"))
            matches.extend([match[0]] if match else [])
            return bool(match)

        if not wait_until(look, timeout_s=timeout_s, interval_s=0.005):
            raise AssertionError(f"the node never said {pattern!r}; it said: {self.running.tail(30)}")
        return matches[0]

    # ---- its API

    def get(self, path: str) -> Any:
        """GET a document."""
        with urllib.request.urlopen(self.running.url + path, timeout=HTTP_TIMEOUT_S) as answer:
            return json.load(answer)

    def submit(self, job: Job, url: str | None = None) -> str:
        """Submit a job; returns its ID when it is acknowledged.

        Raises
        ------
        OSError
            It was not.
        """
        if job.task.engine.type == "docker":
            self.wait_for_docker()
        body = json.dumps({"Job": json.loads(encode(job))}).encode()
        request = urllib.request.Request(
            (url or self.running.url) + JOBS,
            data=body,
            method="PUT",
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=HTTP_TIMEOUT_S) as answer:
            return str(json.load(answer)["JobID"])

    def wait_for_docker(self) -> None:
        """Wait until the node offers Docker: its start waits for the answer of an engine for two seconds only."""
        node = self.running
        if node is not self._with_docker:
            offered = wait_until(lambda: self.offers_docker(self.node_id), timeout_s=60, interval_s=0.05)
            assert offered, node.tail()
            self._with_docker = node

    def offers_docker(self, node_id: str) -> bool:
        """Whether a compute node has said that it runs Docker jobs."""
        info = self.get(f"/api/v1/orchestrator/nodes/{node_id}")["Node"]["Info"]["ComputeNodeInfo"]
        return "docker" in (info["ExecutionEngines"] or ())

    def stop_job_unless_over(self, job_id: str) -> None:
        """Stop a job and wait until it is over."""
        if self.state(job_id)[0] not in OVER:
            with contextlib.suppress(urllib.error.HTTPError):
                self.stop_job(job_id)
        self.wait_for([job_id])

    def stop_job(self, job_id: str) -> None:
        """Stop a job."""
        request = urllib.request.Request(f"{self.running.url}{JOBS}/{job_id}", method="DELETE")
        urllib.request.urlopen(request, timeout=HTTP_TIMEOUT_S).close()

    def state(self, job_id: str) -> tuple[str, str]:
        """Return a job's state and its message."""
        state = self.get(f"{JOBS}/{job_id}")["Job"]["State"]
        return str(state["StateType"]), str(state.get("Message", ""))

    def jobs(self) -> dict[str, str]:
        """Return the state of every job."""
        states: dict[str, str] = {}
        token = ""
        while True:
            page = self.get(f"{JOBS}?limit=500&next_token={token}")
            states |= {job["ID"]: job["State"]["StateType"] for job in page["Items"]}
            token = page.get("NextToken") or ""
            if not token:
                return states

    def executions(self, job_id: str) -> list[dict[str, Any]]:
        """Return a job's executions, oldest first."""
        items = self.get(f"{JOBS}/{job_id}/executions")["Items"] or []
        return sorted(items, key=lambda item: item["CreateTime"])

    def execution(self, job_id: str, timeout_s: float = 60.0) -> str:
        """Wait for a job's first execution; return its ID."""
        executions: list[dict[str, Any]] = []

        def look() -> bool:
            executions[:] = self.executions(job_id)
            return bool(executions)

        if not wait_until(look, timeout_s=timeout_s, interval_s=0.01):
            raise AssertionError(
                f"{job_id} was never placed: {self.history(job_id)}\n{self.running.tail(40)}"
            )
        return str(executions[-1]["ID"])

    def wait_for_end_of_first_execution(self, job_id: str, timeout_s: float = 60.0) -> dict[str, Any]:
        """Wait until a job's first execution is over; return it."""
        ended = {ExecutionStateType.COMPLETED.value, ExecutionStateType.FAILED.value}

        def over() -> bool:
            return self.executions(job_id)[0]["ComputeState"]["StateType"] in ended

        assert wait_until(over, timeout_s=timeout_s), self.history(job_id)
        return self.executions(job_id)[0]

    def history(self, job_id: str) -> str:
        """Return the messages of a job's history, joined."""
        items = self.get(f"{JOBS}/{job_id}/history")["Items"]
        return " | ".join(item["Event"]["Message"] for item in items if item.get("Event"))

    def wait_for(self, job_ids: Iterable[str], timeout_s: float = 60.0) -> dict[str, str]:
        """Wait until jobs are over; return their states."""
        awaited_ids = set(job_ids)
        states: dict[str, str] = {}

        def over() -> bool:
            states.update(self.jobs())
            return all(states.get(job_id) in OVER for job_id in awaited_ids)

        if not wait_until(over, timeout_s=timeout_s, interval_s=0.1):
            stuck = {
                job_id: (states.get(job_id), self.history(job_id))
                for job_id in awaited_ids
                if states.get(job_id) not in OVER
            }
            raise AssertionError(
                f"jobs that did not end in {timeout_s:.0f} s: {stuck}\n{self.running.tail(30)}"
            )
        return {job_id: states[job_id] for job_id in awaited_ids}

    def failures(self, states: dict[str, str]) -> dict[str, str]:
        """Return the history of every job that did not complete."""
        return {job_id: self.history(job_id) for job_id, state in states.items() if state != "Completed"}

    # ---- jobs

    def job(self, engine: str, script: str, *, inputs: Sequence[InputSource] = (), **options: Any) -> Job:
        """Build a job that marks its start and its end in the counter."""
        body = f"{PRELUDE}{script}\nmark END\n"
        mounts = [local_path(self.counter, "/inputs/counter", read_write=True), *inputs]
        options = {"cpu": "0.1", "memory": "64mb", **options}
        if engine == "docker":
            return docker(self.image, body, inputs=mounts, **options)
        return process(body, inputs=mounts, **options)

    # ---- what is left behind

    def marks(self) -> list[Mark]:
        """Return the lines of the counter."""
        return [Mark(*line.split()) for line in self.log.read_text().splitlines()]

    def count(self, kind: str) -> Counter[str]:
        """Return how many marks of a kind each job has."""
        return Counter(mark.job for mark in self.marks() if mark.kind == kind)

    def wait_for_marks(self, kind: str, job_id: str, timeout_s: float = 60.0) -> None:
        """Wait until a job has made a mark."""
        assert wait_until(lambda: self.count(kind)[job_id] > 0, timeout_s=timeout_s), (
            f"no {kind} of {job_id}: {self.history(job_id)}"
        )

    def phases(self) -> dict[str, Phase]:
        """Return the phase of every live execution as a dead node has stored it."""
        with tempfile.TemporaryDirectory() as copy:
            for file in (self.data_dir / "compute").glob("state.sqlite*"):
                shutil.copy(file, copy)
            connection = sqlite3.connect(Path(copy) / "state.sqlite")
            try:
                rows = connection.execute("SELECT id, phase FROM executions WHERE live = 1").fetchall()
            finally:
                connection.close()
        return {identifier: Phase(phase) for identifier, phase in rows}

    def containers(self, *, running: bool = False) -> list[str]:
        """Return the names of this node's containers, in any state or of those that run."""
        with self.docker_api() as api:
            containers = api.containers(all=not running, filters={"label": [f"{LABEL_NODE}={self.node_id}"]})
        return [str(item["Names"][0]).lstrip("/") for item in containers]

    def container(self, execution_id: str) -> str:
        """Return the name of an execution's container."""
        return next(name for name in self.containers() if execution_id in name)

    def processes(self) -> list[str]:
        """Return the supervisors of this repo and the programs of any of its executions."""
        processes = []
        engine_dirs = [str(path) for path in self.engine_directories()]
        own = self.node.process.pid if self.node else 0
        executions = {mark.execution for mark in self.marks()}
        for each in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                command = " ".join(each.cmdline())
                ours = (
                    any(path in command for path in engine_dirs)
                    or each.environ().get("BACALHAU_EXECUTION_ID") in executions
                )
                if ours and each.pid != own and each.status() != psutil.STATUS_ZOMBIE:
                    processes.append(f"{each.pid}: {command[:200]}")
        return processes

    def supervisor(self, execution_id: str) -> int:
        """Return the pid of an execution's supervisor."""
        pid_file = self.data_dir / "compute" / "process" / execution_id / "pid"
        assert wait_until(pid_file.exists, timeout_s=60)
        return int(pid_file.read_text().split()[0])

    def engine_directories(self) -> list[Path]:
        """Return where process engines keep what they run."""
        return [self.data_dir / "compute" / "process"]

    def kept(self) -> list[str]:
        """Return the executions that the process engine keeps anything of."""
        entries = [entry for path in self.engine_directories() for entry in path.iterdir()]
        return [entry.name for entry in entries if entry.is_dir() and entry.name[0] != "."]

    def leftovers(self) -> list[str]:
        """Return everything of an execution that engines still hold."""
        return [
            *(f"container {name}" for name in self.containers()),
            *(f"process {line}" for line in self.processes()),
            *(f"state of {name}" for name in self.kept()),
        ]

    def assert_nothing_left(self, timeout_s: float = 60.0) -> None:
        """Wait until no engine holds anything."""
        left: list[str] = []

        def clean() -> bool:
            left[:] = self.leftovers()
            return not left

        assert wait_until(clean, timeout_s=timeout_s, interval_s=0.1), "left behind:\n  " + "\n  ".join(left)

    def archive(self, execution_id: str) -> Path:
        """Return where an execution's results are published."""
        return self.data_dir / "compute" / "results" / "local-publisher" / f"{execution_id}.tar.gz"

    def published(self, execution_id: str) -> dict[str, bytes]:
        """Return the files of an execution's published results."""
        return archived_files(self.archive(execution_id))

    def close(self) -> None:
        """Stop the node, and remove what a failed test has left in the engines."""
        try:
            if self.node is not None:
                self.node.stop()
        finally:
            if self.node_id:
                with self.docker_api() as api:
                    for name in self.containers():
                        api.remove_container(name, force=True)
            for line in self.processes():
                with contextlib.suppress(psutil.Error):
                    psutil.Process(int(line.partition(":")[0])).kill()

    @contextlib.contextmanager
    def docker_api(self) -> Iterator[Any]:
        """Open the SDK's low-level client."""
        engine: Any = engines.client(self.engine_url)
        try:
            yield engine.api
        finally:
            engine.close()


def soon(condition: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
    """Wait for a condition, or fail saying what did not happen."""
    assert wait_until(condition, timeout_s=timeout_s, interval_s=0.05), what


def pause(seconds: float) -> None:
    """Let a seeded moment pass: the instant of a kill is the one thing here that is meant to be arbitrary."""
    time.sleep(seconds)


def archived_files(path: Path) -> dict[str, bytes]:
    """Return the files of an archive of published results."""
    with tarfile.open(fileobj=io.BytesIO(asyncio.run(_whole(path)))) as archive:
        return {
            member.name.removeprefix("./"): archive.extractfile(member).read()  # type: ignore[union-attr]
            for member in archive
            if member.isfile()
        }


async def _whole(path: Path) -> bytes:
    """Return an archive as a client downloads it, whatever form it has on the disk."""
    ranges = open_archive(path)
    try:
        return b"".join([chunk async for chunk in ranges.read(0, await ranges.size())])
    finally:
        await ranges.close()
