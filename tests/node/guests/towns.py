"""Clusters of two nodes, of one kind or of both, under an orchestrator of either kind, behind one face."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.conformance.sequences import Engine, Image, Noop
from tests.node.guests.cluster import guest_cluster
from tests.node.joining.official_jobs import joined
from tests.services.common import wait_until
from tests.services.devstack import start_devstack
from tests.services.docker_engine import client
from tests.services.node_fixtures import factory
from tests.services.official_compute import OfficialCompute
from tests.services.official_orchestrator import OfficialOrchestrator

TIMEOUT_S = 150.0
CORES = "1"
"""What each node gives away."""
COMPLETED = 9
GUEST = "n-guest"
"""ID of the official node."""
_EXECUTOR = f"bacalhau-{GUEST}"
"""What it calls itself in the labels of its containers."""
_EXECUTION = "bacalhau-executionID"
LIVE = (1, 3, 5, 6)
"""States of executions that may run; official orchestrators leave one that runs at an earlier state."""
_WANTED = 1
_CAPACITY = {
    "Compute.AllocatedCapacity.CPU": CORES,
    "Compute.AllocatedCapacity.Memory": "1gb",
    "Compute.AllocatedCapacity.Disk": "5gb",
}
_PATIENCE = {"Orchestrator.Scheduler.HousekeepingInterval": "1s"}


@dataclass
class Town:
    """A cluster of two nodes.

    Attributes
    ----------
    url
        Of the orchestrator's API.
    is_official
        Whether the orchestrator is the official program.
    engine
        Writes jobs that both nodes run.
    guest
        The official node; None where both are of ours.
    docker_url
        Where the official node's containers are.
    jobs
        All that were submitted.
    """

    url: str
    is_official: bool
    engine: Engine
    guest: OfficialCompute | None = None
    docker_url: str = ""
    jobs: set[str] = field(default_factory=set)

    def ask(self, path: str, body: Any = None, method: str = "") -> Any:
        """Ask the API below ``/api/v1/orchestrator/``; an error's answer is an answer."""
        request = urllib.request.Request(
            f"{self.url}/api/v1/orchestrator/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            method=method or ("GET" if body is None else "PUT"),
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return json.load(error)

    def submit(self, kind: str = "batch", sleep: float = 0, cores: str = "0.05", **members: Any) -> str:
        """Submit a job; return its ID, or what is wrong with it."""
        task = {
            "Name": "main",
            "Engine": self.engine.spec({"Sleep": sleep}),
            "Resources": {"CPU": cores, "Memory": "20Mb"},
            "Timeouts": members.pop("timeouts", {}),
        }
        answer = self.ask("jobs", {"Job": {"Type": kind, "Tasks": [task], **members}})
        if "JobID" in answer:
            self.jobs.add(answer["JobID"])
        return str(answer.get("JobID") or answer["Message"])

    def job(self, job: str) -> dict[str, Any]:
        """Return a job as it is now."""
        job_now: dict[str, Any] = self.ask(f"jobs/{job}")["Job"]
        return job_now

    def state(self, job: str) -> str:
        """Return the state of a job."""
        return str(self.job(job)["State"]["StateType"])

    def executions(self, job: str) -> list[dict[str, Any]]:
        """Return the executions of a job, of all versions."""
        return list(self.ask(f"jobs/{job}/executions?all_versions=true&limit=100")["Items"] or [])

    def live(self, job: str) -> list[dict[str, Any]]:
        """Return those that run, or are about to."""
        return [
            each
            for each in self.executions(job)
            if each["ComputeState"]["StateType"] in LIVE and each["DesiredState"]["StateType"] == _WANTED
        ]

    def done(self, job: str) -> list[dict[str, Any]]:
        """Return those that completed."""
        return [each for each in self.executions(job) if each["ComputeState"]["StateType"] == COMPLETED]

    def wait_for(self, job: str, *states: str) -> str:
        """Wait until a job is in one of some states; return that."""
        reached = wait_until(lambda: self.state(job) in states, timeout_s=TIMEOUT_S, interval_s=0.2)
        assert reached, (self.job(job)["State"], self.executions(job))
        return self.state(job)

    def wait_live(self, job: str, versions: list[int]) -> None:
        """Wait until these versions of a job run, each as often as it is named.

        An official node forgets a cancellation that comes while it makes the container: that then runs to its end, and
        holds its capacity. So what it has is waited for, too.
        """

        def are_so() -> bool:
            live = self.live(job)
            there = {str(each["ID"]) for each in live if each["NodeID"] == GUEST}
            is_each_there = self.guest is None or there <= self.containers()
            return is_each_there and sorted(int(each["JobVersion"]) for each in live) == versions

        reached = wait_until(are_so, timeout_s=TIMEOUT_S, interval_s=0.2)
        assert reached, (versions, self.job(job)["State"], self.executions(job))

    def stop(self, *jobs: str) -> None:
        """Stop jobs, and wait until none of their executions is wanted any more."""
        for job in jobs:
            self.ask(f"jobs/{job}", {"reason": "enough"}, "DELETE")
        for job in jobs:
            self.wait_for(job, "Stopped", "Completed", "Failed")
            self.wait_live(job, [])

    def containers(self) -> set[str]:
        """Return the executions that have a running container of the official node."""
        engine = client(self.docker_url)
        try:
            running = engine.api.containers(filters={"label": f"bacalhau-executor={_EXECUTOR}"})
            return {str(each["Labels"][_EXECUTION]).removeprefix(_EXECUTOR) for each in running}
        finally:
            engine.close()

    def clear(self) -> None:
        """Remove the containers of the official node that its jobs have left."""
        from docker.errors import NotFound

        engine = client(self.docker_url)
        try:
            for execution in [each for job in self.jobs for each in self.executions(job)]:
                label = f"{_EXECUTION}={_EXECUTOR}{execution['ID']}"
                for container in engine.api.containers(all=True, filters={"label": label}):
                    with suppress(NotFound):
                        engine.api.remove_container(container["Id"], force=True)
        finally:
            engine.close()

    def connected(self) -> int:
        """Return how many nodes that run jobs are connected."""
        return sum(
            each["Info"]["NodeType"] == "Compute"
            and (each.get("Connection") or each["ConnectionState"]["Status"]) == "CONNECTED"
            for each in self.ask("nodes")["Nodes"] or []
        )

    def wait_connected(self, count: int = 2) -> None:
        """Wait until so many nodes are connected."""
        assert wait_until(lambda: self.connected() == count, timeout_s=TIMEOUT_S, interval_s=0.2)


@contextmanager
def all_ours(directory: Path) -> Iterator[Town]:
    """Run a devstack with two nodes that joined over NATS."""
    settings = {**_CAPACITY, **_PATIENCE}
    words = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
    stack = start_devstack(
        directory, "--nats", "--computes", "2", *words, env={"IGNORE_PID_AND_PORT_FILES": "1"}
    )
    try:
        yield Town(f"http://127.0.0.1:{stack.until_ready()['BACALHAU_API_PORT']}", False, Noop())
    finally:
        stack.kill()


@contextmanager
def ours_with_guest(directory: Path, image: str, docker_url: str) -> Iterator[Town]:
    """Run an orchestrator of ours with a node of each kind."""
    words = [word for key, value in _PATIENCE.items() for word in ("-c", f"{key}={value}")]
    with guest_cluster(directory, *words) as cluster:
        guest = cluster.guests(GUEST, **{key.replace(".", "__"): value for key, value in _CAPACITY.items()})
        cluster.start_node(
            "-c",
            f"Compute.Orchestrators={cluster.link}",
            *_node_words(),
            name="ours",
            roles=["--compute"],
            env={"BACALHAU_COMPUTE_AUTH_TOKEN": cluster.token},
        )
        town = Town(cluster.orchestrator.url, False, Image(image), guest, docker_url)
        try:
            yield town
        finally:
            town.clear()


@contextmanager
def theirs_with_ours(directory: Path, image: str, docker_url: str) -> Iterator[Town]:
    """Run an official orchestrator with a node of each kind."""
    place = directory / "official"
    place.mkdir()
    orchestrator = OfficialOrchestrator(
        place, {"Orchestrator.NodeManager.DisconnectTimeout": "8s", **_PATIENCE}
    )
    try:
        guest = OfficialCompute(directory / "guest", orchestrator.link, orchestrator.token, GUEST, _CAPACITY)
        try:
            with factory(directory) as start_node:
                joined(start_node, orchestrator, *_node_words(), name="ours")
                url = f"http://127.0.0.1:{orchestrator.api_port}"
                town = Town(url, True, Image(image), guest, docker_url)
                try:
                    yield town
                finally:
                    town.clear()
        finally:
            guest.close()
    finally:
        orchestrator.close()


def _node_words() -> list[str]:
    settings = {**_CAPACITY, "Engines.Disabled": "process", "Compute.Heartbeat.Interval": "2s"}
    return [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
