"""The extension: it makes sure that a node runs, gives its address to kernels, and opens the gateway to it."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from typing import Any

from jupyter_server.extension.application import ExtensionApp
from traitlets import Bool, Float, List, Unicode

from bacalhau_jupyter.client.connection.launcher import START_TIMEOUT_S
from bacalhau_jupyter.config.choice.inheritance import Inheritance
from bacalhau_jupyter.config.endpoint import Endpoint
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.lib.problems import Problems
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.server.cluster.choice import ChoiceWatch
from bacalhau_jupyter.server.cluster.connection import ClusterConnection
from bacalhau_jupyter.server.cluster.lease import LeaseKeeper
from bacalhau_jupyter.server.cluster.local import find_cluster
from bacalhau_jupyter.server.gateway.upstream import Upstream
from bacalhau_jupyter.server.handlers.base import SETTING, Gateway
from bacalhau_jupyter.server.handlers.routes import default_handlers
from bacalhau_jupyter.server.jobs.activity import ActivityWatch
from bacalhau_jupyter.server.jobs.collector import NotebookCollector

STOP_TIMEOUT_S = 3.0


class BacalhauApp(ExtensionApp):
    """A Bacalhau node beside this Jupyter server, and the way to it."""

    name = "bacalhau_jupyter"
    extension_url = "/bacalhau/status"

    data_dir = Unicode(
        "", help="Repo directory of the node; default: the environment's BACALHAU_DIR, else ~/.bacalhau."
    ).tag(config=True)
    autostart = Bool(
        True, help="Whether to start the node of the repo directory when no other cluster is configured."
    ).tag(config=True)
    start_timeout = Float(
        START_TIMEOUT_S, help="Longest start of the node in seconds; Jupyter's own start waits for it."
    ).tag(config=True)
    grace_period = Unicode(
        "", help="How long an idle node that this server starts waits for new users, such as '10m' (default)."
    ).tag(config=True)
    node_options = List(
        Unicode(), help="Further arguments of `bacalhau-jupyter serve` for a node that this server starts."
    ).tag(config=True)

    _tasks: asyncio.Task[None] | None = None

    def initialize_settings(self) -> None:
        """Find or start the node before any kernel can start; a failure is logged, and tried again on demand."""
        repo = Repo.locate(self.data_dir or None)
        self._inheritance = Inheritance(repo)
        options = [f"--config=Node.GracePeriod={self.grace_period}"] if self.grace_period else []

        def find() -> Endpoint:
            return find_cluster(
                repo,
                environ=os.environ,
                autostart=self.autostart,
                options=[*options, *self.node_options],
                timeout_s=self.start_timeout,
            )

        connection = ClusterConnection(find, on_endpoint=self._inheritance.publish)
        upstream = Upstream(connection)
        self.gateway = Gateway(
            upstream, ActivityWatch(upstream, self._note_activity), repo.path, ChoiceWatch(repo)
        )
        self.gateway.choice.on_change = self.gateway.reconnect
        self.settings[SETTING] = self.gateway
        self._inheritance.publish_directory()
        try:
            endpoint = connection.connect()
        except BacalhauError as error:
            self.log.warning("bacalhau: %s", error.message)
        else:
            self.log.info("bacalhau: connected to %s (%s)", endpoint.url, endpoint.source)

    def initialize_handlers(self) -> None:
        """Add the routes."""
        self.handlers.extend(default_handlers)

    async def _start_jupyter_server_extension(self, serverapp: Any) -> None:
        upstream, repo = self.gateway.upstream, self.gateway.repo
        self.gateway.notebooks = NotebookCollector(upstream.connection, serverapp.contents_manager, repo)
        self._tasks = asyncio.create_task(self._run(), name="bacalhau extension")

    async def _run(self) -> None:
        # Each for itself: one that fails is begun again, and keeps no other from going on.
        problems = Problems()
        work = {
            "bacalhau: keeping the node alive": LeaseKeeper(self.gateway.upstream.connection).keep,
            "bacalhau: following the node's jobs": self.gateway.activity.watch,
            "bacalhau: following the choice of the cluster": self.gateway.choice.watch,
        }
        if self.gateway.notebooks is not None:
            work["bacalhau: collecting executed notebooks"] = self.gateway.notebooks.run
        async with asyncio.TaskGroup() as tasks:
            for task, loop in work.items():
                tasks.create_task(problems.keep(task, loop), name=task)

    def _note_activity(self) -> None:
        if self.serverapp is not None:
            self.serverapp.web_app.settings["bacalhau_last_activity"] = datetime.now(UTC)

    def current_activity(self) -> Any:
        """Return the number of running jobs; Jupyter does not shut itself down for idleness while there are any."""
        return self.gateway.activity.active_jobs

    async def stop_extension(self) -> None:
        """Give the lease back and close everything, in bounded time. The node and its jobs go on."""
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                if self._tasks is not None:
                    self._tasks.cancel()
                    # A node that hangs does not answer to the end of a lease.
                    await asyncio.wait([self._tasks], timeout=STOP_TIMEOUT_S / 2)
                await self.gateway.close()
        except TimeoutError:
            self.log.warning("bacalhau: closing took longer than %.0f s", STOP_TIMEOUT_S)
        except Exception:
            # Whatever goes wrong here must not keep Jupyter from ending.
            self.log.exception("bacalhau: closing failed")
        finally:
            self._inheritance.withdraw()
