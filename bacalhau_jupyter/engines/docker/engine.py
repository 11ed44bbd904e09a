"""The docker engine: bids, starts, follows, stops and removes containers.

Calls to the Docker Engine block, so they run in threads, bounded in number: a pool for what is quick, one for
starts, which may wait for an image, and one thread for each question to a registry, which may never be answered.
Each running container has one further thread that follows it (`follower`).
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from bacalhau_jupyter.engines.docker.connecting import NoEngine
from bacalhau_jupyter.engines.docker.daemon import (
    Daemon,
    connect,
    engine_error,
    translated,
)
from bacalhau_jupyter.engines.docker.devices import DEVICES, gpu_options
from bacalhau_jupyter.engines.docker.endpoints import endpoints
from bacalhau_jupyter.engines.docker.files.archive import Archive, carried
from bacalhau_jupyter.engines.docker.files.ownership import (
    copy_out,
    hand_over,
    make_removable,
    unreadable,
    unremovable,
)
from bacalhau_jupyter.engines.docker.files.placement import Placement, find_placement, not_shareable
from bacalhau_jupyter.engines.docker.gpu_check import RUNTIME, GpuCheck
from bacalhau_jupyter.engines.docker.launch import Launcher
from bacalhau_jupyter.engines.docker.output.follower import Follower
from bacalhau_jupyter.engines.docker.outward import WaysOut
from bacalhau_jupyter.engines.docker.params import (
    container_name,
    docker_params,
    log_driver,
    task_of,
)
from bacalhau_jupyter.engines.docker.registry.configuration import Configuration
from bacalhau_jupyter.engines.docker.registry.credentials import Credentials
from bacalhau_jupyter.engines.docker.registry.images import PLATFORMS_FRESH_S, PLATFORMS_KEPT, Images
from bacalhau_jupyter.engines.docker.registry.pulls import Abort
from bacalhau_jupyter.engines.docker.remains import Remains
from bacalhau_jupyter.engines.network.rules import reach_of
from bacalhau_jupyter.models.errors import BacalhauError, ConfigurationError, NetworkFailure
from bacalhau_jupyter.models.jobs.resources import GPU
from bacalhau_jupyter.models.jobs.spec import NetworkType
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.plugins.contract import ACCEPTED, Availability, Bid, Progress, no_progress
from bacalhau_jupyter.plugins.engine import Outcome, RunRequest
from bacalhau_jupyter.plugins.options import PluginOptions
from bacalhau_jupyter.plugins.threads import in_thread
from bacalhau_jupyter.transfer.core.reach import Reach

CALLS = 16
"""Quick calls to the Docker Engine, and starts, at a time."""
QUESTIONS = 8
"""Registries that are asked at a time."""
STOP_GRACE_S = 1
"""Seconds between SIGTERM and SIGKILL when an execution is cancelled."""
LAST_OUTPUT_TIMEOUT_S = 5.0
RESCUE_TIMEOUT_S = 30.0
"""Seconds for copying out what a cancelled (or overdue) execution has written."""
REJECT_NETWORK_KEY = "JobAdmissionControl.RejectNetworkedJobs"
PLATFORMS_KEPT_KEY = "Engines.Types.Docker.ManifestCache.Size"
PLATFORMS_FRESH_KEY = "Engines.Types.Docker.ManifestCache.TTL"

T = TypeVar("T")

_log = logging.getLogger(__name__)


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
    ) -> None:
        self._devices = devices
        self._options = options
        self._env = os.environ if env is None else env
        self._configuration = Configuration(self._env, home)
        self._wanted_placement = placement
        self._placement = Placement.BIND
        self._pool = ThreadPoolExecutor(CALLS, thread_name_prefix="docker-call")
        self._starts = ThreadPoolExecutor(CALLS, thread_name_prefix="docker-start")
        self._questions = asyncio.Semaphore(QUESTIONS)
        self._followers: dict[str, Follower] = {}
        self._mounted: set[str] = set()
        self._starting: dict[str, tuple[Abort, asyncio.Future[str]]] = {}
        self._ways_out = WaysOut(reach or reach_of(options.settings))
        self._daemon: Daemon | None = None
        self._images: Images | None = None
        self._gpu_check: GpuCheck | None = None

    async def probe(self) -> Availability:
        try:
            daemon, self._placement = await asyncio.wrap_future(in_thread(self._connect, _close_unwanted))
        except (NoEngine, ConfigurationError) as problem:
            return Availability(available=False, problem=str(problem), may_change=True)
        if self._daemon is not None:
            self._daemon.close()
        self._daemon = daemon
        kept, fresh_s = (self._options.settings(key) for key in (PLATFORMS_KEPT_KEY, PLATFORMS_FRESH_KEY))
        self._images = Images(
            daemon,
            self._options.clock,
            Credentials(self._configuration, self._env),
            PLATFORMS_KEPT if kept is None else kept,
            PLATFORMS_FRESH_S if fresh_s is None else fresh_s,
            pulls="SKIP_IMAGE_PULL" not in self._env,
        )
        self._gpu_check = GpuCheck(daemon, self._options.node_id, self._options.clock, self._devices)
        return Availability(available=True, runtime=self._runtime(daemon))

    async def bid(self, execution: Execution) -> Bid:
        task = task_of(execution)
        params = docker_params(task)
        if reason := self._unshared(execution) or self._ways_out.objection(task, self._placement):
            return Bid(accepted=False, reason=reason)
        images = self._known_images()
        if await self._call(lambda: images.fits_here(params.image)):
            return ACCEPTED
        async with self._questions:
            return await self._ask(lambda: images.bid(params.image))

    async def gpu_problem(self, gpu: GPU) -> str:
        """Say why a container can't get this GPU; empty when it can."""
        self._connected()
        check = self._gpu_check
        assert check is not None
        return await self._call(lambda: check.problem(gpu))

    async def start(self, request: RunRequest, progress: Progress = no_progress) -> str:
        identifier, daemon = request.execution.id, self._connected()
        params = docker_params(task_of(request.execution))
        if reason := self._unshared(request.execution):
            raise engine_error(reason)
        images, network = self._known_images(), self._default_network()
        gpus = gpu_options(
            request.resources.gpus,
            self._devices,
            cdi=daemon.cdi_devices,
            has_runtime=RUNTIME in daemon.runtimes,
        )
        way_out = self._ways_out.of(request, daemon)
        launcher = Launcher(
            daemon, images, request, params, network, placement=self._placement, gpus=gpus, way_out=way_out
        )
        abort = Abort()
        launch = asyncio.ensure_future(self._call(lambda: launcher.launch(progress, abort), self._starts))
        self._starting[identifier] = (abort, launch)
        try:
            container = await asyncio.shield(launch)
            if abort.requested:
                # The wish came after the launcher had last looked.
                await self._remove(identifier)
                abort.check()
        except asyncio.CancelledError:
            # A program that has begun goes on: `cancel` ends it, and a node that is being stopped must find it again,
            # or the job would run twice.
            abort()
            with contextlib.suppress(BacalhauError):
                await launch
            raise
        finally:
            self._starting.pop(identifier, None)
        copied = self._placement is Placement.ARCHIVE
        if not copied and way_out is None:
            self._mounted.add(identifier)
        self._follow(request, container, copied, log_driver(daemon.log_drivers), progress)
        return self._runtime(daemon)

    async def attach(self, request: RunRequest) -> bool:
        if request.execution.id in self._followers:
            return True
        daemon = self._connected()
        name = container_name(request.node_id, request.execution)
        inspection = await self._call(lambda: daemon.inspect(name))
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
        return await asyncio.shield(asyncio.wrap_future(follower.outcome))

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
        await self._call(lambda: remains.stop(execution_id, STOP_GRACE_S))
        if follower is not None:
            ended = asyncio.wrap_future(follower.outcome)
            copies = self._placement is Placement.ARCHIVE
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
            await self._call(lambda: remains.remove_container(container))

    async def reclaim(self, execution: Execution, directory: Path) -> None:
        if os.geteuid() == 0 or not await asyncio.to_thread(unremovable, directory):
            return
        daemon, node_id = self._connected(), self._options.node_id
        image = docker_params(task_of(execution)).image
        await self._call(lambda: make_removable(daemon, image, directory, node_id))

    async def existing(self) -> list[str]:
        return await self._call(self._remains().executions)

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
        for pool in (self._pool, self._starts):
            pool.shutdown(wait=True, cancel_futures=True)
        if self._daemon is not None:
            self._daemon.close()

    def _connect(self) -> tuple[Daemon, Placement]:
        daemon = connect(endpoints(self._env, self._configuration), self._configuration.http_headers)
        try:
            return daemon, self._wanted_placement or find_placement(daemon, self._options.data_dir)
        except BaseException:
            daemon.close()
            raise

    def _runtime(self, daemon: Daemon) -> str:
        return f"{daemon.runtime} (archive)" if self._placement is Placement.ARCHIVE else daemon.runtime

    def _unshared(self, execution: Execution) -> str:
        return not_shareable(task_of(execution)) if self._placement is Placement.ARCHIVE else ""

    def _follow(
        self,
        request: RunRequest,
        container: str,
        copied: bool,
        driver: str,
        progress: Progress = no_progress,
    ) -> None:
        daemon, node_id, own = self._connected(), self._options.node_id, self._options.data_dir
        image = docker_params(task_of(request.execution)).image

        def on_ended(follower: Follower, _state: dict[str, Any]) -> None:
            inspection = follower.inspected
            if carried(inspection) if inspection else copied:
                with finished_work():
                    Archive(daemon, request).unload(
                        str(inspection.get("Image", image)), progress, follower.hurry
                    )
            elif follower.cancelled or os.geteuid() == 0:
                return
            elif any(unreadable(output.path) for output in request.outputs):
                try:
                    with translated(daemon.endpoint.url):
                        hand_over(daemon, inspection, node_id, own, unreadable)
                except NetworkFailure:
                    raise
                except BacalhauError as error:
                    _log.info("execution %s: %s; copying its results instead", request.execution.id, error)
                    make_readable(daemon, container, request, follower.hurry)

        follower = Follower(
            daemon,
            container,
            request.log_path,
            memory=request.resources.memory,
            on_ended=on_ended,
            log_driver=driver,
            log_limit=request.log_limit,
        )
        self._followers[request.execution.id] = follower
        follower.start()

    async def _remove(self, execution_id: str) -> None:
        await asyncio.to_thread(self._ways_out.doors.close, execution_id)
        remains = self._remains()
        await self._call(lambda: remains.remove(execution_id))

    def _remains(self) -> Remains:
        return Remains(self._connected(), self._options.node_id, self._options.data_dir)

    async def _call(self, function: Callable[[], T], pool: ThreadPoolExecutor | None = None) -> T:
        url = self._connected().endpoint.url

        def run() -> T:
            with translated(url):
                return function()

        loop, context = asyncio.get_running_loop(), contextvars.copy_context()
        return await loop.run_in_executor(pool or self._pool, partial(context.run, run))

    async def _ask(self, function: Callable[[], T]) -> T:
        """Call a function that may never return: the caller can be cancelled; stop and exit do not wait for it."""
        url = self._connected().endpoint.url

        def run() -> T:
            with translated(url):
                return function()

        return await asyncio.shield(asyncio.wrap_future(in_thread(run)))

    def _connected(self) -> Daemon:
        if self._daemon is None:
            raise engine_error("this node has found no Docker Engine", retryable=True)
        return self._daemon

    def _known_images(self) -> Images:
        self._connected()
        assert self._images is not None
        return self._images

    def _default_network(self) -> NetworkType:
        # As upstream: a node that rejects networked jobs runs those that say nothing without a network.
        rejects = bool(self._options.settings(REJECT_NETWORK_KEY))
        return NetworkType.NONE if rejects else NetworkType.BRIDGE


@contextlib.contextmanager
def finished_work() -> Iterator[None]:
    """Mark an error that no further run of the task would mend: its work is done."""
    try:
        yield
    except BacalhauError as error:
        error.fails_job = not (error.retryable or isinstance(error, NetworkFailure))
        raise


def make_readable(daemon: Daemon, container: str, request: RunRequest, stop: threading.Event) -> None:
    """Copy results that this process may not read; where that fails, too, those are left out of what is published."""
    try:
        with translated(daemon.endpoint.url):
            copy_out(daemon, container, request.outputs, stop)
    except NetworkFailure:
        raise
    except (BacalhauError, OSError) as error:
        _log.warning("execution %s: not all of its results can be read: %s", request.execution.id, error)


def _close_unwanted(connected: tuple[Daemon, Placement]) -> None:
    connected[0].close()
