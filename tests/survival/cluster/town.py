"""A cluster over NATS from real processes: an orchestrator with its server, compute nodes, and a link for each node."""

from __future__ import annotations

import contextlib
import signal
import urllib.error
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from bacalhau_jupyter import Client
from bacalhau_jupyter.engines.docker.params import LABEL_NODE
from tests.services.common import wait_until
from tests.services.cuttable import CuttableLink
from tests.services.node import ServedNode, start_node
from tests.services.ports import free_port
from tests.survival.cluster.plan import STATIONS
from tests.survival.world import World, archived_files

TOKEN = "the-token-of-this-town"
DISCONNECT_S = 8
HEARTBEAT_S = 2
START_TIMEOUT_S = 90.0


class Station:
    """A compute node, as often as it is started, and the link by which it reaches the NATS server."""

    def __init__(self, name: str, town: Town) -> None:
        self.name = name
        self.data_dir = town.directory / name
        self.link = CuttableLink(town.link_port)
        self.node: ServedNode | None = None
        self.node_id = ""
        self._town = town
        self._results_port = free_port()

    def start(self) -> None:
        """Start it on its repo."""
        options = [
            "Logging.Level=info",
            f"Compute.Orchestrators={self.link.url}",
            f"Compute.Auth.Token={TOKEN}",
            f"Compute.Heartbeat.Interval={HEARTBEAT_S}s",
            f"Compute.AllowListedLocalPaths={self._town.counter}:rw",
            "Compute.AllocatedCapacity.CPU=1.5",
            "Compute.AllocatedCapacity.Memory=1gb",
            f"Publishers.Types.Local.Port={self._results_port}",
        ]
        self.node = start_node(
            self.data_dir,
            *(word for option in options for word in ("-c", option)),
            roles=("--compute",),
            env={"DOCKER_HOST": self._town.engine_url},
            timeout_s=START_TIMEOUT_S,
        )
        self.node_id = self.node.repo.node_name()

    @property
    def running(self) -> ServedNode:
        """The node."""
        assert self.node is not None
        return self.node

    def close(self) -> None:
        """End the node and its link."""
        try:
            if self.node is not None:
                with contextlib.suppress(ProcessLookupError):
                    self.node.process.send_signal(signal.SIGCONT)
                self.node.stop()
        finally:
            self.link.close()


class Town(World):
    """A `World` whose jobs run on other nodes than the one that it asks.

    Parameters
    ----------
    directory, engine_url, image
        As there.
    """

    def __init__(self, directory: Path, engine_url: str, image: str) -> None:
        super().__init__(directory, engine_url, image)
        self.link_port = free_port()
        self.options = [
            "Logging.Level=info",
            "Orchestrator.Link=on",
            f"Orchestrator.Port={self.link_port}",
            f"Orchestrator.Auth.Token={TOKEN}",
            f"Orchestrator.NodeManager.DisconnectTimeout={DISCONNECT_S}s",
        ]
        self.stations = [Station(f"station-{number}", self) for number in range(STATIONS)]
        self._api_port = 0

    def start(self, **arguments: Any) -> ServedNode:
        """Start the orchestrator, at the port that it had before."""
        node = super().start(
            roles=("--orchestrator",), port=self._api_port, timeout_s=START_TIMEOUT_S, **arguments
        )
        self._api_port = node.port
        return node

    def open(self) -> None:
        """Start everything, and wait until all nodes have joined."""
        self.start()
        for station in self.stations:
            station.start()
        assert wait_until(lambda: self.connected() == len(self.stations), timeout_s=60, interval_s=0.2), (
            self.report()
        )
        for station in self.stations:
            assert wait_until(partial(self.offers_docker, station.node_id), timeout_s=60, interval_s=0.2), (
                self.report()
            )

    def wait_for_docker(self) -> None:
        """Wait for nothing: the node that is asked runs no jobs, and the others are lost on purpose."""

    def connected(self) -> int:
        """Return how many compute nodes the orchestrator hears."""
        nodes = self.get("/api/v1/orchestrator/nodes")["Nodes"]
        ids = {station.node_id for station in self.stations}
        return sum(each["Connection"] == "CONNECTED" and each["Info"]["NodeID"] in ids for each in nodes)

    def servers(self) -> list[psutil.Process]:
        """Return the NATS server that runs for this town (also one whose orchestrator has been killed)."""
        place = str(self.data_dir)
        servers = []
        for each in psutil.process_iter(["name", "cmdline"]):
            words = " ".join(each.info["cmdline"] or ())
            if "nats-server" in (each.info["name"] or "") and place in words:
                servers.append(each)
        return servers

    def answers(self) -> bool:
        """Whether the orchestrator's API answers."""
        with contextlib.suppress(OSError, urllib.error.URLError, ValueError):
            self.get("/api/v1/agent/alive")
            return True
        return False

    # ---- what is left behind, of all nodes

    def containers(self, *, running: bool = False) -> list[str]:
        """Return the names of the nodes' containers."""
        names: list[str] = []
        with self.docker_api() as api:
            for station in self.stations:
                if station.node_id:
                    label = f"{LABEL_NODE}={station.node_id}"
                    items = api.containers(all=not running, filters={"label": [label]})
                    names += [str(item["Names"][0]).lstrip("/") for item in items]
        return names

    def engine_directories(self) -> list[Path]:
        return [station.data_dir / "compute" / "process" for station in self.stations]

    def published(self, execution_id: str) -> dict[str, bytes]:
        """Return the files of an execution's published results, wherever it ran."""
        for station in self.stations:
            path = station.data_dir / "compute" / "results" / "local-publisher" / f"{execution_id}.tar.gz"
            if path.exists():
                return archived_files(path)
        raise AssertionError(f"no node holds a result of {execution_id}")

    def streamed(self, job_id: str, execution_id: str) -> str:
        """Return the output of an execution as the orchestrator fetches it from the node that ran it."""
        with Client(self.running.url) as client:
            return "".join(client.job(job_id).logs(execution_id=execution_id))

    def report(self) -> str:
        """Return the last lines of everybody."""
        parts = [f"orchestrator: {self.running.tail(25)}"]
        parts += [f"{each.name}: {each.running.tail(15)}" for each in self.stations if each.node is not None]
        return "\n".join(parts)

    def close(self) -> None:
        """End everything."""
        try:
            for station in self.stations:
                station.close()
        finally:
            if self.node is not None:
                with contextlib.suppress(ProcessLookupError):
                    self.node.process.send_signal(signal.SIGCONT)
            for server in self.servers():
                with contextlib.suppress(psutil.Error):
                    server.resume()
            super().close()
            with self.docker_api() as api:
                for name in self.containers():
                    api.remove_container(name, force=True)
