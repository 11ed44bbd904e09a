"""An orchestrator elsewhere that wants more of this machine than to run jobs: its files, variables and services."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.node.joining.official_jobs import joined, shell
from tests.services.node_fixtures import NodeFactory
from tests.services.official_orchestrator import OfficialOrchestrator, needs_official

pytestmark = needs_official


class Service:
    """A service of this machine that trusts each caller; it notes that one came."""

    def __init__(self, listening: socket.socket) -> None:
        self.port = int(listening.getsockname()[1])
        self.is_reached = threading.Event()
        self._listening = listening
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection:
                self.is_reached.set()
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nsecret")


@contextmanager
def running() -> Iterator[Service]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield Service(listening)


def wanting(name: str, kind: str, **params: str) -> dict[str, Any]:
    source = {"Source": {"Type": kind, "Params": params}, "Target": "/inputs/x"}
    return shell(name, "true", InputSources=[source])


@pytest.mark.parametrize("is_allowed", [False, True])
def test_it_gets_nothing_that_the_node_does_not_share(
    node_factory: NodeFactory, official_orchestrator: OfficialOrchestrator, is_allowed: bool
) -> None:
    with running() as service:
        address = f"127.0.0.1:{service.port}"
        allowed = address if is_allowed else "192.0.2.1"
        node = joined(node_factory, official_orchestrator, "-c", f"Compute.AllowListedAddresses={allowed}")
        official_orchestrator.wait_connected(node.repo.node_name())
        if is_allowed:
            # The control: it is the list that keeps the service from being reached.
            job = official_orchestrator.submit(wanting("url", "urlDownload", URL=f"http://{address}/x"))
            assert official_orchestrator.wait_for(job, "Completed", "Failed") == "Completed"
            assert service.is_reached.is_set()
            return
        bucket = {"Type": "s3", "Params": {"Bucket": "b", "Key": "k", "Endpoint": f"http://{address}"}}
        jobs = [
            wanting("url", "urlDownload", URL=f"http://{address}/x"),
            wanting("name", "urlDownload", URL=f"http://localhost:{service.port}/x"),
            wanting("number", "urlDownload", URL=f"http://2130706433:{service.port}/x"),
            wanting("mapped", "urlDownload", URL=f"http://[::ffff:127.0.0.1]:{service.port}/x"),
            wanting("s3", "s3", Bucket="b", Key="k", Endpoint=f"http://{address}"),
            wanting("file", "localDirectory", SourcePath=str(node.repo.path)),
            shell("bucket", "true", Publisher=bucket),
            shell("variable", "true", Env={"X": "env:HOME"}),
        ]
        identifiers = [official_orchestrator.submit(job) for job in jobs]
        states = [official_orchestrator.wait_for(each, "Completed", "Failed") for each in identifiers]
        assert states == ["Failed"] * len(jobs)
        assert not service.is_reached.is_set()
