"""The docker engine: bids, starts, follows, stops and removes containers.

Each running container has a thread that follows it (`follower`). An engine on another machine is reached through a link
(`gate`), which may break: what runs there goes on, a start is tried again when the link is back, and so is all else.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bacalhau_jupyter.engines.docker.collecting import Collector
from bacalhau_jupyter.engines.docker.connection import Connection
from bacalhau_jupyter.engines.docker.daemon import engine_error
from bacalhau_jupyter.engines.docker.devices import DEVICES, gpu_options
from bacalhau_jupyter.engines.docker.files.archive import carried
from bacalhau_jupyter.engines.docker.files.ownership import make_removable, unremovable
from bacalhau_jupyter.engines.docker.files.placement import Placement, not_shareable
from bacalhau_jupyter.engines.docker.gate import DockerLink
from bacalhau_jupyter.engines.docker.gpu_check import REFUSED, RUNTIME
from bacalhau_jupyter.engines.docker.launch import Launcher
from bacalhau_jupyter.engines.docker.output.ending import moments_there
from bacalhau_jupyter.engines.docker.output.follower import Follower
from bacalhau_jupyter.engines.docker.outward import WaysOut
from bacalhau_jupyter.engines.docker.params import (
    container_name,
    docker_params,
    log_driver,
    task_of,
)
from bacalhau_jupyter.engines.docker.registry.pulls import Abort
from bacalhau_jupyter.engines.docker.remains import Remains
from bacalhau_jupyter.engines.docker.sharing.leftovers import Leftover, left_behind, remove_left
from bacalhau_jupyter.engines.docker.sharing.same import is_same_engine
from bacalhau_jupyter.engines.network.rules import REJECT_NETWORK_KEY, reach_of
from bacalhau_jupyter.models.errors import BacalhauError, EngineError
from bacalhau_jupyter.models.jobs.resources import GPU
from bacalhau_jupyter.models.jobs.spec import NetworkType
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.models.records.node import DiskUsage
from bacalhau_jupyter.plugins.contract import ACCEPTED, Availability, Bid, Progress, no_progress
from bacalhau_jupyter.plugins.engine import Outcome, RunRequest
from bacalhau_jupyter.plugins.link import HostLink
from bacalhau_jupyter.plugins.options import PluginOptions
from bacalhau_jupyter.plugins.threads import answer_of
from bacalhau_jupyter.transfer.core.reach import Reach

STOP_GRACE_S = 1
"""Seconds between SIGTERM and SIGKILL when an execution is cancelled."""
LAST_OUTPUT_TIMEOUT_S = 5.0
PUSH_PATIENCE_S = 300.0
"""Seconds for which an image that a person copies waits for the way."""
RESCUE_TIMEOUT_S = 30.0
"""Seconds for copying out what a cancelled (or overdue) execution has written."""


class DockerEngine:
    """Runs tasks of type ``docker``.

    Parameters
    ----------
    options
        The node's identity, directory and settings.
    env, home
        Where the Docker Engine's address and credentials are looked for.
    placement
        How files reach containers; None finds out.
    devices
        Where the files of GPUs are.
    reach
        Which addresses jobs with a network of type ``HTTP`` are let through to; None: those of the settings.
    link
        The way to an engine elsewhere, which its owner starts and closes; None: the engine that ``env`` names.

    Attributes
    ----------
    connection
        To the Docker Engine.
    """

    type = "docker"

    def __init__(
        self,
        options: PluginOptions,
        env: Mapping[str, str] | None = None,
        home: Path | None = None,
        placement: Placement | None = None,
        devices: Path = DEVICES,
        reach: Reach | None = None,
        *,
        link: DockerLink | None = None,
    ) -> None:
        self._devices = devices
        self._options = options
        self.connection = Connection(options, env, home, placement, devices=devices, link=link)
        self._followers: dict[str, Follower] = {}
        self._mounted: set[str] = set()
        self._starting: dict[str, tuple[Abort, asyncio.Future[str]]] = {}
        self._ways_out = WaysOut(reach or reach_of(options.settings))

    @property
    def link(self) -> HostLink | None:
        """The way to the engine; None where it is on this machine."""
        return self.connection.gate.link

    async def probe(self) -> Availability:
        return await self.connection.probe()

    async def bid(self, execution: Execution) -> Bid:
        return await self.bid_telling(execution, no_progress)

    async def bid_telling(self, execution: Execution, progress: Progress) -> Bid:
        task = task_of(execution)
        params = docker_params(task)
        placement = self.connection.placement
        if reason := self._unshared(execution) or self._ways_out.objection(task, placement):
            return Bid(accepted=False, reason=reason)
        images = self.connection.images
        if await self.connection.call(lambda: images.fits_here(params.image)):
            return ACCEPTED
        return await self.connection.ask(lambda: images.bid(params.image, progress))

    async def gpu_problem(self, gpu: GPU) -> str:
        """Say why a container can't get this GPU; empty when it can."""
        check = self.connection.gpu_check
        return await self.connection.call(lambda: check.problem(gpu))

    async def start(self, request: RunRequest, progress: Progress = no_progress) -> str:
        identifier = request.execution.id
        await self.connection.found()
        if reason := self._unshared(request.execution):
            raise engine_error(reason)
        abort = Abort()
        try:
            # What has begun there is found by its name, so that nothing runs twice.
            container = await self.connection.persist(lambda: self._launch(request, progress, abort))
            if abort.requested:
                # The wish came after the launcher had last looked.
                await self._remove(identifier)
                abort.check()
        finally:
            self._starting.pop(identifier, None)
        copied = self.connection.placement is Placement.ARCHIVE
        daemon = self.connection.daemon
        if not copied and self._ways_out.of(request, daemon) is None:
            self._mounted.add(identifier)
        self._follow(request, container, copied, log_driver(daemon.log_drivers), progress)
        return self.connection.runtime

    async def _launch(self, request: RunRequest, progress: Progress, abort: Abort) -> str:
        abort.check()
        daemon = self.connection.daemon
        gpus = gpu_options(
            request.resources.gpus,
            self._devices,
            cdi=daemon.cdi_devices,
            has_runtime=RUNTIME in daemon.runtimes,
            there=None if self.link is None else DEVICES,
            where=daemon.place,
        )
        launcher = Launcher(
            daemon,
            self.connection.images,
            request,
            docker_params(task_of(request.execution)),
            self._default_network(),
            placement=self.connection.placement,
            gpus=gpus,
            way_out=self._ways_out.of(request, daemon),
            kept=self.connection.kept,
        )
        call = self.connection.call(lambda: launcher.launch(progress, abort), self.connection.starts)
        launch = asyncio.ensure_future(call)
        self._starting[request.execution.id] = (abort, launch)
        try:
            return await asyncio.shield(launch)
        except EngineError as error:
            if error.code == REFUSED:
                self.connection.gpu_check.refused(request.resources.gpus, error.message)
            raise
        except asyncio.CancelledError:
            # A program that has begun goes on: `cancel` ends it, and a node that is being stopped must find it again,
            # or the job would run twice.
            abort()
            with contextlib.suppress(BacalhauError):
                await launch
            raise

    async def push(self, image: str, progress: Progress = no_progress) -> int:
        """Copy an image from the Docker Engine of this machine to this one, elsewhere; return the bytes sent.

        Waits for a while when the link is broken, and begins again then. Layers that are there are not sent.

        Raises
        ------
        BacalhauError
            There is no such image, it is for another platform, or the disk there is full.
        """
        abort = Abort()

        async def attempt() -> int:
            images = self.connection.images
            return await self.connection.ask(lambda: images.push(image, progress, abort))

        try:
            return await self.connection.persist(attempt, PUSH_PATIENCE_S)
        except asyncio.CancelledError:
            abort()
            raise

    async def left_behind(self) -> list[Leftover]:
        """Return what nodes have on this engine, this one included."""
        daemon = self.connection.daemon
        return await self.connection.call(lambda: left_behind(daemon))

    async def remove_left(self, leftovers: Sequence[Leftover]) -> None:
        """Remove some of it, at a person's wish."""
        daemon = self.connection.daemon
        await self.connection.call(lambda: remove_left(daemon, leftovers))

    async def identity(self, other_than: str | None = None) -> str:
        """Return the ID that the engine calls itself by; waits until it is known, and another one than that."""
        return await self.connection.identity(other_than)

    async def is_same_as(self, other: DockerEngine) -> bool:
        """Whether another engine is the same one, reached in another way."""
        one, two, node_id = self.connection.daemon, other.connection.daemon, self._options.node_id
        return await self.connection.call(lambda: is_same_engine(one, two, node_id))

    async def forget_inputs(self) -> DiskUsage:
        """Remove the inputs that are kept on another machine and that no job uses; return what is gone."""
        kept = self.connection.kept
        return DiskUsage() if kept is None else await self.connection.call(kept.clear)

    async def attach(self, request: RunRequest) -> bool:
        if request.execution.id in self._followers:
            return True
        await self.connection.found()
        daemon = self.connection.daemon
        name = container_name(request.node_id, request.execution)
        inspection = await self.connection.call(lambda: daemon.inspect(name))
        # A container that was made and never started has not run: `start` takes it over.
        if inspection is None or inspection["State"]["Status"] in ("created", "removing", "dead"):
            return False
        if (way_out := self._ways_out.of(request, daemon)) is not None:
            await asyncio.to_thread(way_out.open)
        if request.execution.id not in self._followers:
            driver = str(inspection["HostConfig"].get("LogConfig", {}).get("Type", ""))
            self._follow(request, str(inspection["Id"]), carried(inspection), driver)
        return True

    async def wait(self, execution_id: str) -> Outcome:
        follower = self._followers.get(execution_id)
        if follower is None:
            raise engine_error(f"the docker engine does not run execution {execution_id}")
        return await asyncio.shield(answer_of(follower.outcome))

    async def ended_ns(self, execution: Execution) -> int:
        """Return when the task ended, in Unix nanoseconds of this machine's clock; 0: it runs, or is not known."""
        daemon, name = self.connection.daemon, container_name(self._options.node_id, execution)

        def ended() -> int:
            inspection = daemon.inspect(name)
            return 0 if inspection is None else moments_there(daemon, inspection["State"])[1]

        return await self.connection.call(ended)

    async def cancel(self, execution_id: str) -> None:
        if execution_id in self._starting:
            abort, launch = self._starting[execution_id]
            abort()
            # Whether a start that was interrupted as well has begun the program shows only now.
            await asyncio.wait({launch}, timeout=LAST_OUTPUT_TIMEOUT_S)
        follower = self._followers.get(execution_id)
        if follower is not None:
            if follower.outcome.done():
                return
            follower.cancelled = True
        remains = self._remains()
        await self.connection.call(lambda: remains.stop(execution_id, STOP_GRACE_S))
        if follower is not None:
            ended = answer_of(follower.outcome)
            copies = self.connection.placement is Placement.ARCHIVE
            await asyncio.wait({ended}, timeout=RESCUE_TIMEOUT_S if copies else LAST_OUTPUT_TIMEOUT_S)
            if not ended.done():
                follower.hurry.set()
                await asyncio.wait({ended}, timeout=LAST_OUTPUT_TIMEOUT_S)
        await self._remove(execution_id)

    async def clean(self, execution_id: str) -> None:
        follower = self._followers.pop(execution_id, None)
        if follower is not None and not follower.outcome.done():
            follower.stop()
        if follower is None or execution_id not in self._mounted:
            # What an earlier node started may have been placed otherwise than we would.
            await self._remove(execution_id)
        else:
            self._mounted.discard(execution_id)
            remains, container = self._remains(), follower.container
            await self.connection.call(lambda: remains.remove_container(container))

    async def reclaim(self, execution: Execution, directory: Path) -> None:
        if os.geteuid() == 0 or not await asyncio.to_thread(unremovable, directory):
            return
        daemon, node_id = self.connection.daemon, self._options.node_id
        image = docker_params(task_of(execution)).image
        await self.connection.call(lambda: make_removable(daemon, image, directory, node_id))

    async def existing(self) -> list[str]:
        return await self.connection.call(self._remains().executions)

    async def close(self) -> None:
        followers = list(self._followers.values())
        self._followers.clear()
        await asyncio.to_thread(self._ways_out.doors.stop)
        for abort, _ in self._starting.values():
            abort()
        await asyncio.to_thread(self._close, followers)

    def _close(self, followers: list[Follower]) -> None:
        for follower in followers:
            follower.stop()
        for follower in followers:
            follower.join()
        self.connection.close()

    def _unshared(self, execution: Execution) -> str:
        copies = self.connection.placement is Placement.ARCHIVE
        return not_shareable(task_of(execution)) if copies else ""

    def _follow(
        self,
        request: RunRequest,
        container: str,
        copied: bool,
        driver: str,
        progress: Progress = no_progress,
    ) -> None:
        daemon = self.connection.daemon
        collector = Collector(daemon, request, self._options.data_dir, copied=copied, progress=progress)

        def on_ended(follower: Follower, _state: dict[str, Any]) -> None:
            collector.collect(follower)

        follower = Follower(
            daemon,
            container,
            request.log_path,
            memory=request.resources.memory,
            on_ended=on_ended,
            log_driver=driver,
            log_limit=request.log_limit,
            gate=self.connection.gate,
        )
        self._followers[request.execution.id] = follower
        follower.start()

    async def _remove(self, execution_id: str) -> None:
        await asyncio.to_thread(self._ways_out.doors.close, execution_id)
        remains = self._remains()
        await self.connection.call(lambda: remains.remove(execution_id))

    def _remains(self) -> Remains:
        return Remains(self.connection.daemon, self._options.node_id, self._options.data_dir)

    def _default_network(self) -> NetworkType:
        # As upstream: a node that rejects networked jobs runs those that say nothing without a network.
        rejects = bool(self._options.settings(REJECT_NETWORK_KEY))
        return NetworkType.NONE if rejects else NetworkType.BRIDGE
