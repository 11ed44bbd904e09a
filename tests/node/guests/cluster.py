"""A cluster of ours with official nodes in it, and jobs for them."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bacalhau_jupyter import Client
from bacalhau_jupyter.models.jobs.job import JobStateType
from bacalhau_jupyter.models.records.execution import Execution
from tests.services.common import wait_until
from tests.services.node import ServedNode
from tests.services.node_fixtures import NodeFactory, factory
from tests.services.official_compute import Guests, guests_of
from tests.services.ports import free_port

TIMEOUT_S = 120.0
QUICK = ("-c", "Orchestrator.NodeManager.DisconnectTimeout=8s")
OVER = (JobStateType.COMPLETED, JobStateType.FAILED, JobStateType.STOPPED)


@dataclass
class Cluster:
    """An orchestrator of ours in a process of its own, which runs no jobs, and what starts official nodes for it."""

    orchestrator: ServedNode
    link_port: int
    token: str
    guests: Guests
    start_node: NodeFactory
    options: Sequence[str]

    @property
    def link(self) -> str:
        """Where its nodes dial."""
        return f"nats://127.0.0.1:{self.link_port}"

    def restart(self, *options: str) -> None:
        """Start the orchestrator again, with what it kept, at the same ports; ``options`` come last."""
        self.orchestrator = self.start_node(
            *self.options,
            *options,
            data_dir=self.orchestrator.repo.path,
            port=self.orchestrator.port,
            roles=["--orchestrator"],
            env=self.environment(),
        )

    def environment(self) -> dict[str, str]:
        """Return the variables of the orchestrator."""
        return {"BACALHAU_ORCHESTRATOR_AUTH_TOKEN": self.token}

    def client(self) -> Client:
        """Return a client; the caller closes it."""
        return Client(self.orchestrator.url)

    def connections(self) -> dict[str, str]:
        """Return how each node is connected."""
        with self.client() as client:
            return {each.info.node_id: each.connection.value for each in client.nodes()}

    def wait_connected(self, *names: str, connection: str = "CONNECTED") -> None:
        """Wait until these nodes are connected (or whatever is named)."""

        def are_so() -> bool:
            now = self.connections()
            return all(now.get(name) == connection for name in names)

        assert wait_until(are_so, timeout_s=TIMEOUT_S, interval_s=0.3), self.connections()

    def run(self, job: dict[str, Any], *states: JobStateType) -> str:
        """Submit a job, wait until it is over (or in one of the states); return its ID."""
        with self.client() as client:
            identifier = client.submit(job).id
        self.wait_for(identifier, *(states or OVER))
        return identifier

    def wait_for(self, job: str, *states: JobStateType) -> JobStateType:
        """Wait until a job is in one of some states; return that."""
        with self.client() as client:

            def state() -> JobStateType:
                return client.job(job).state

            reached = wait_until(lambda: state() in states, timeout_s=TIMEOUT_S, interval_s=0.3)
            assert reached, (state(), [_line(each) for each in client.job(job).executions()])
            return state()

    def executions(self, job: str) -> list[Execution]:
        """Return the executions of a job."""
        with self.client() as client:
            return list(client.job(job).executions())


def _line(execution: Execution) -> str:
    state = execution.compute_state
    return f"{execution.node_id} {state.state_type.value} {state.message}"


@contextmanager
def guest_cluster(directory: Path, *options: str, env: Mapping[str, str] | None = None) -> Iterator[Cluster]:
    """Run an orchestrator of ours at a port of its own; everything that is started for it ends with it."""
    token, port = secrets.token_hex(16), free_port()
    words = ("-c", f"Orchestrator.Port={port}", *QUICK, *options)
    with factory(directory) as start_node:
        orchestrator = start_node(
            *words,
            name="orchestrator",
            roles=["--orchestrator"],
            env={"BACALHAU_ORCHESTRATOR_AUTH_TOKEN": token, **(env or {})},
        )
        with guests_of(directory, f"nats://127.0.0.1:{port}", token) as guests:
            yield Cluster(orchestrator, port, token, guests, start_node, words)


def image(name: str, script: str, kind: str = "batch", **task: Any) -> dict[str, Any]:
    """Return a job that runs a script in an image."""
    params = {"Image": name, "Entrypoint": ["/bin/sh"], "Parameters": ["-c", script]}
    return _job({"Type": "docker", "Params": params}, kind, task)


def module(code: bytes, kind: str = "batch", **task: Any) -> dict[str, Any]:
    """Return a job that runs a WebAssembly module, which it carries along."""
    url = "data:application/wasm;base64," + base64.b64encode(code).decode()
    source = {"Source": {"Type": "inline", "Params": {"URL": url}}, "Target": "/main.wasm"}
    engine = {"Type": "wasm", "Params": {"EntryModule": "/main.wasm", "Entrypoint": "_start"}}
    return _job(engine, kind, {"InputSources": [source], **task})


def _job(engine: dict[str, Any], kind: str, task: dict[str, Any]) -> dict[str, Any]:
    outer: dict[str, Any] = {
        name: task.pop(name) for name in ("Count", "Constraints", "Name") if name in task
    }
    return {"Type": kind, "Count": 1, **outer, "Tasks": [{"Name": "main", "Engine": engine, **task}]}
