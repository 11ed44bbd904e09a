"""What a piece of code left behind: threads, child processes, sockets, containers.

Take a `Snapshot` before, and `leftovers` after; the latter waits (bounded) for what is still on its way out. An engine
serves more than one process of tests, so only containers of nodes that this process has named with `owns` count.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psutil

from bacalhau_jupyter.engines.docker.params import LABEL_NODE
from tests.services import docker_engine
from tests.services.common import wait_until

# How long something may take to go after the code that owns it said that it is closed.
GRACE_S = 60.0
# The nodes whose containers are ours.
_NODES: set[str] = set()
# Processes whose descendants are not ours: a machine of its own.
_LEFT_OUT: set[int] = set()
# Started once per process by the standard library and kept on purpose.
KEPT_PROCESSES = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")


@dataclass(frozen=True)
class Snapshot:
    """Everything alive at one instant, each thing under a key that is not reused."""

    threads: dict[int, str]
    processes: dict[tuple[int, float], str]
    sockets: dict[tuple[int, str], str]
    containers: dict[str, str]

    @classmethod
    def take(cls, engine_url: str | None = None) -> Snapshot:
        """Look at this process and its children and, where `engine_url` is given, at our nodes' containers there."""
        return cls(_threads(), _processes(), _sockets(), _containers(engine_url) if engine_url else {})

    def newer_than(self, before: Snapshot) -> list[str]:
        """Return a line for each thing that is here and was not there."""
        return [
            *(f"thread {name}" for key, name in self.threads.items() if key not in before.threads),
            *(f"process {name}" for key, name in self.processes.items() if key not in before.processes),
            *(f"socket {name}" for key, name in self.sockets.items() if key not in before.sockets),
            *(f"container {name}" for key, name in self.containers.items() if key not in before.containers),
        ]


def owns(node_id: str) -> str:
    """Count the containers of this node as ours from now on; return the node's ID."""
    _NODES.add(node_id)
    return node_id


def leave_out(pid: int) -> None:
    """Count neither this process as left behind nor those below it."""
    _LEFT_OUT.add(pid)


def leftovers(before: Snapshot, engine_url: str | None = None, grace_s: float = GRACE_S) -> list[str]:
    """Return what is still there `grace` seconds after `before`'s successor should have gone; empty is good."""
    left: list[str] = []

    def clean() -> bool:
        left[:] = Snapshot.take(engine_url).newer_than(before)
        return not left

    wait_until(clean, timeout_s=grace_s)
    return left


def _threads() -> dict[int, str]:
    return {id(thread): thread.name for thread in threading.enumerate() if thread.is_alive()}


def _processes() -> dict[tuple[int, float], str]:
    processes = {}
    for child in _descendants(psutil.Process()):
        try:
            command = " ".join(child.cmdline()) or f"{child.name()} ({child.status()})"
            if not any(kept in command for kept in KEPT_PROCESSES):
                processes[child.pid, child.create_time()] = f"{child.pid}: {command[:200]}"
        except psutil.NoSuchProcess:
            continue
    return processes


def _descendants(process: psutil.Process) -> Iterator[psutil.Process]:
    if not _LEFT_OUT:
        yield from process.children(recursive=True)
        return
    try:
        children = process.children()
    except psutil.NoSuchProcess:
        return
    for child in children:
        if child.pid not in _LEFT_OUT:
            yield child
            yield from _descendants(child)


def _sockets() -> dict[tuple[int, str], str]:
    sockets = {}
    for connection in psutil.Process().net_connections(kind="inet"):
        # A pooled client connection whose other side has closed is on its way out, but still ours: it counts.
        local = ":".join(map(str, connection.laddr))
        remote = ":".join(map(str, connection.raddr)) or "-"
        sockets[connection.fd, local] = f"fd {connection.fd} {local} → {remote} {connection.status}"
    return sockets


def _containers(engine_url: str) -> dict[str, str]:
    engine: Any = docker_engine.client(engine_url)
    try:
        return {
            item["Id"]: f"{item['Id'][:12]} {item['Image']} {item['State']} {item['Labels']}"
            for item in engine.api.containers(all=True)
            if (item["Labels"] or {}).get(LABEL_NODE) in _NODES
        }
    finally:
        engine.close()


def is_ssh(words: list[str]) -> bool:
    """Whether a command line is one of ssh."""
    return bool(words) and words[0].rsplit("/", 1)[-1] == "ssh"


def command_line(process: psutil.Process) -> list[str]:
    """Return how a process was started; empty for one that has ended meanwhile."""
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []
