"""What the engine holds of a node's executions, found by labels. Everything here blocks."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from bacalhau_jupyter.engines.docker.daemon import Daemon, translated
from bacalhau_jupyter.engines.docker.files.ownership import hand_over, unremovable
from bacalhau_jupyter.engines.docker.params import LABEL_EXECUTION, LABEL_NODE, execution_label
from bacalhau_jupyter.models.errors import BacalhauError


class Remains:
    """Containers and volumes of one node on one engine; ``own`` is the node's directory."""

    def __init__(self, daemon: Daemon, node_id: str, own: Path) -> None:
        self._daemon = daemon
        self._node_id = node_id
        self._own = own

    def executions(self) -> list[str]:
        """Return the IDs of the executions that something is left of."""
        containers = self._daemon.containers((LABEL_NODE, self._node_id))
        volumes = self._daemon.volumes((LABEL_NODE, self._node_id))
        labels = [str((item["Labels"] or {}).get(LABEL_EXECUTION, "")) for item in (*containers, *volumes)]
        mine = (label for label in labels if label.startswith(self._node_id))
        return list(dict.fromkeys(label.removeprefix(self._node_id) for label in mine))

    def containers(self, execution_id: str) -> list[str]:
        """Return the containers of an execution: the task's, and the one that carries its files."""
        return [str(container["Id"]) for container in self._daemon.containers(*self._labels(execution_id))]

    def stop(self, execution_id: str, grace_s: int) -> None:
        """End an execution's programs: SIGTERM, and SIGKILL after ``grace_s`` seconds."""
        from docker.errors import NotFound

        for container in self.containers(execution_id):
            with contextlib.suppress(NotFound):
                self._daemon.api.stop(container, timeout=grace_s)

    def remove(self, execution_id: str) -> None:
        """Remove everything of an execution."""
        for container in self.containers(execution_id):
            self.remove_container(container)
        for volume in self._daemon.volumes(*self._labels(execution_id)):
            self._daemon.remove_volume(volume["Name"])

    def _labels(self, execution_id: str) -> tuple[tuple[str, str], ...]:
        # Both: node ID and execution ID in one word may be those of another node and another execution.
        return (
            (LABEL_NODE, self._node_id),
            (LABEL_EXECUTION, execution_label(self._node_id, execution_id)),
        )

    def remove_container(self, container: str) -> None:
        """Remove a container, once what it wrote to our disk is ours to remove."""
        if os.geteuid() != 0:
            # What can't be handed over stays behind as files of another user: no reason to keep the container.
            with contextlib.suppress(BacalhauError), translated(self._daemon.endpoint):
                inspection = self._daemon.inspect(container) or {}
                hand_over(self._daemon, inspection, self._node_id, self._own, unremovable)
        self._daemon.remove(container)
