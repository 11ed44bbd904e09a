"""The network of type ``HTTP`` for containers: one that only has a loopback, and the node listening on it.

A second container holds that network. It is made of the task's own image, which is there already, and runs nothing but
the `holder`; the task's container then joins its network. Both carry the execution's label and go together.
"""

from __future__ import annotations

import io
import platform
import re
import sys
import tarfile
from pathlib import Path
from typing import Any

from bacalhau_jupyter.engines.docker.daemon import Daemon, engine_error, explain
from bacalhau_jupyter.engines.docker.files.placement import Placement, bind
from bacalhau_jupyter.engines.docker.params import container_name
from bacalhau_jupyter.engines.network import holder
from bacalhau_jupyter.engines.network.doors import SOCKET, Doors
from bacalhau_jupyter.engines.network.rules import has_way_out, rules_of
from bacalhau_jupyter.engines.network.variables import PORT
from bacalhau_jupyter.models.jobs.spec import NetworkType, Task
from bacalhau_jupyter.models.jobs.validate import NO_DOMAINS
from bacalhau_jupyter.plugins.engine import RunRequest
from bacalhau_jupyter.transfer.core.reach import Reach

READY_TIMEOUT_S = 20.0
_DOOR = "/.bacalhau-door"
_PROGRAM = "/.bacalhau-holder"
_NOBODY = "65534:65534"


class WaysOut:
    """The networks of one engine's executions; ``reach`` says which addresses the node connects to for jobs."""

    def __init__(self, reach: Reach) -> None:
        self.doors = Doors()
        self._reach = reach

    def objection(self, task: Task, placement: Placement) -> str:
        """Say why the engine can't give a task its network, or ""."""
        if task.network.type is not NetworkType.HTTP:
            return ""
        if not task.network.domains:
            return f"this node gives no HTTP network: {NO_DOMAINS}"
        if not sys.platform.startswith("linux") or not holder.is_supported():
            return f"this node gives docker jobs no HTTP network on {sys.platform} {platform.machine()}"
        if placement is Placement.ARCHIVE:
            return (
                "this node gives docker jobs no HTTP network: its Docker Engine does not see this node's disk"
            )
        return ""

    def of(self, request: RunRequest, daemon: Daemon) -> WayOut | None:
        """Return an execution's; None for one that has another network."""
        return WayOut(daemon, self.doors, request, self._reach) if has_way_out(request) else None


class WayOut:
    """The network of one execution. Everything here blocks."""

    def __init__(self, daemon: Daemon, doors: Doors, request: RunRequest, reach: Reach) -> None:
        self._daemon = daemon
        self._doors = doors
        self._request = request
        self._reach = reach
        self._name = re.sub("-executor$", "-network", container_name(request.node_id, request.execution))

    @property
    def directory(self) -> Path:
        """Where the node waits for the holder."""
        return self._request.directory / "door"

    def open(self) -> None:
        """Wait for the holder, which may be there already.

        Raises
        ------
        EngineError
            The node's directory can't be used.
        """
        try:
            self._doors.open(self._request.execution.id, self.directory, rules_of(self._request, self._reach))
        except OSError as error:
            raise engine_error(f"the job's network can't be made: {error.strerror or error}") from error

    def make(self, image: str, labels: dict[str, str]) -> str:
        """Return the network mode of the task's container, once the node listens in it.

        Raises
        ------
        docker.errors.NotFound
            The image is not there.
        EngineError
            It can't be made.
        """
        self.open()
        container = self._running() or self._start(image, labels)
        if not self._doors.wait_ready(self._request.execution.id, READY_TIMEOUT_S):
            raise engine_error(
                "the job's network can't be made: nothing in it reaches this node",
                hint="A network of type HTTP needs a Docker Engine on the machine (and kernel) of the node.",
            )
        return f"container:{container}"

    def discard(self) -> None:
        """Remove what there is of it; nothing is fine."""
        self._doors.close(self._request.execution.id)
        self._daemon.remove(self._name)

    def _running(self) -> str:
        """Return the container of an earlier try, if it runs; one that does not is removed."""
        inspection = self._daemon.inspect(self._name)
        if inspection is None:
            return ""
        if inspection["State"]["Status"] == "running":
            return str(inspection["Id"])
        self._daemon.remove(str(inspection["Id"]))
        return ""

    def _start(self, image: str, labels: dict[str, str]) -> str:
        from docker.errors import APIError, NotFound

        config: dict[str, Any] = {
            "Image": image,
            "Entrypoint": [_PROGRAM],
            "User": _NOBODY,
            "WorkingDir": "/",
            "Labels": labels,
            "Healthcheck": {"Test": ["NONE"]},
            "StopSignal": "SIGKILL",
            "HostConfig": {
                "NetworkMode": "none",
                "Mounts": [bind(str(self.directory), _DOOR, True)],
                "CapDrop": ["ALL"],
                # The label is of SELinux: it would keep the holder from the node's socket.
                "SecurityOpt": ["no-new-privileges", "label=disable"],
                "PidsLimit": 8,
                "LogConfig": {"Type": "none"},
            },
        }
        try:
            container = str(self._daemon.api.create_container_from_config(config, name=self._name)["Id"])
        except NotFound:
            raise
        except APIError as error:
            raise engine_error(f"the job's network can't be made: {explain(error)}") from error
        try:
            self._daemon.put_archive(container, "/", iter([_archive()]))
            self._daemon.api.start(container)
        except APIError as error:
            self._daemon.remove(container)
            raise engine_error(f"the job's network can't be made: {explain(error)}") from error
        return container


def _archive() -> bytes:
    """Return the holder in a tar stream, to be unpacked at the container's root."""
    content = holder.program(f"{_DOOR}/{SOCKET}", PORT)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        member = tarfile.TarInfo(_PROGRAM.lstrip("/"))
        member.size, member.mode = len(content), 0o755
        tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
