"""The engine's connection to its Docker Engine: found by the probe, used by calls in threads.

Calls block, so they run in threads, bounded in number: a pool for what is quick, one for starts, which may wait for an
image, and one thread for each question to a registry, which may never be answered.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from bacalhau_jupyter.engines.docker.carrying.choice import NearImages
from bacalhau_jupyter.engines.docker.carrying.copying import ImageCopier
from bacalhau_jupyter.engines.docker.carrying.near import NearEngine
from bacalhau_jupyter.engines.docker.connecting import NoEngine
from bacalhau_jupyter.engines.docker.daemon import Daemon, connect, engine_error, no_answer, translated
from bacalhau_jupyter.engines.docker.devices import DEVICES
from bacalhau_jupyter.engines.docker.endpoints import endpoints
from bacalhau_jupyter.engines.docker.files.kept import KeptInputs
from bacalhau_jupyter.engines.docker.files.placement import Placement, find_placement
from bacalhau_jupyter.engines.docker.gate import DockerLink, Gate
from bacalhau_jupyter.engines.docker.gpu_check import GpuCheck
from bacalhau_jupyter.engines.docker.registry.images import PLATFORMS_FRESH_S, PLATFORMS_KEPT, Images
from bacalhau_jupyter.engines.registries.configuration import Configuration
from bacalhau_jupyter.engines.registries.credentials import Credentials
from bacalhau_jupyter.lib.backoff import backoff
from bacalhau_jupyter.models.errors import ConfigurationError, EngineError, NetworkFailure
from bacalhau_jupyter.plugins.contract import Availability
from bacalhau_jupyter.plugins.options import PluginOptions
from bacalhau_jupyter.plugins.threads import answer_of, in_thread

CALLS = 16
"""Quick calls to the Docker Engine, and starts, at a time."""
AGAIN_S = (0.2, 10.0)
"""First and longest delay before what the link broke off is tried again."""
QUESTIONS = 8
"""Registries that are asked at a time."""
PLATFORMS_KEPT_KEY = "Engines.Types.Docker.ManifestCache.Size"
PLATFORMS_FRESH_KEY = "Engines.Types.Docker.ManifestCache.TTL"

T = TypeVar("T")


class Connection:
    """Finds the Docker Engine and makes calls to it.

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
    link
        The way to an engine elsewhere; its owner starts and closes it. None: the engine of ``env``.

    Attributes
    ----------
    gate
        Open while calls can be made.
    placement
        How files reach containers.
    starts
        The pool for starts.
    kept
        Inputs that stay on the engine; None before it is found, and on an engine of this machine.
    """

    def __init__(
        self,
        options: PluginOptions,
        env: Mapping[str, str] | None,
        home: Path | None,
        placement: Placement | None,
        *,
        devices: Path = DEVICES,
        link: DockerLink | None = None,
    ) -> None:
        self.gate = Gate(link)
        self.placement = Placement.BIND
        self.starts = ThreadPoolExecutor(CALLS, thread_name_prefix="docker-start")
        self._pool = ThreadPoolExecutor(CALLS, thread_name_prefix="docker-call")
        self._questions = asyncio.Semaphore(QUESTIONS)
        self._link = link
        self._options = options
        self._env = os.environ if env is None else env
        self._configuration = Configuration(self._env, home)
        self._fixed_placement = placement
        self._devices = devices
        self._daemon: Daemon | None = None
        self._images: Images | None = None
        self._gpu_check: GpuCheck | None = None
        self.kept: KeptInputs | None = None
        self._used = asyncio.Event()
        self._near = None if link is None else NearEngine(self._connect_near, options.clock)

    async def probe(self) -> Availability:
        """Look for the engine, or see whether it still is the one of before."""
        link = self._link
        if link is not None and not link.status.is_ready:
            problem = link.status.problem or f"host {link.name} is being connected"
            return Availability(available=False, problem=problem, may_change=True)
        known = self._daemon
        try:
            connected = await asyncio.wrap_future(in_thread(self._connect, _close_unwanted))
        except (NoEngine, ConfigurationError, NetworkFailure) as problem:
            if isinstance(problem, NoEngine | NetworkFailure):
                self.gate.broke(problem)
            return Availability(available=False, problem=str(problem), may_change=True)
        if self._daemon is not known:
            # Another probe has found it meanwhile, and jobs use what that one knows of it.
            _close_unwanted(connected)
        elif connected is not None:
            self._use(*connected)
        return Availability(available=True, runtime=self.runtime)

    @property
    def daemon(self) -> Daemon:
        """The engine.

        Raises
        ------
        EngineError
            None was found yet.
        """
        if self._daemon is None:
            raise self._no_engine()
        return self._daemon

    @property
    def images(self) -> Images:
        """What is known of its images; raises as `daemon`."""
        if self._images is None:
            raise self._no_engine()
        return self._images

    @property
    def gpu_check(self) -> GpuCheck:
        """Whether it can hand GPUs to containers; raises as `daemon`."""
        if self._gpu_check is None:
            raise self._no_engine()
        return self._gpu_check

    @property
    def runtime(self) -> str:
        """Name and version of what runs tasks, for people; raises as `daemon`."""
        runtime = self.daemon.runtime
        return f"{runtime} (archive)" if self.placement is Placement.ARCHIVE else runtime

    async def call(self, function: Callable[[], T], pool: ThreadPoolExecutor | None = None) -> T:
        """Make a quick call.

        Raises
        ------
        BacalhauError
            `NetworkFailure` where the engine does not answer.
        """
        run = self._translating(function)
        loop, context = asyncio.get_running_loop(), contextvars.copy_context()
        return await loop.run_in_executor(pool or self._pool, partial(context.run, run))

    async def ask(self, function: Callable[[], T]) -> T:
        """Call a function that may never return: the caller can be cancelled; stop and exit do not wait for it."""
        async with self._questions:
            return await asyncio.shield(answer_of(in_thread(self._translating(function))))

    async def found(self) -> None:
        """Wait until an engine elsewhere is known, which it is not yet when a node starts while the link is broken."""
        delays = backoff(*AGAIN_S)
        while self._link is not None and self._daemon is None:
            await self.gate.opened()
            await self.probe()
            if self._daemon is None:
                await asyncio.sleep(next(delays))

    async def identity(self, other_than: str | None = None) -> str:
        """Return the ID that the engine calls itself by; waits until it is known, and another one than that."""
        while self._daemon is None or self._daemon.identity == other_than:
            await self._used.wait()
        return self._daemon.identity

    async def persist(self, attempt: Callable[[], Awaitable[T]], patience_s: float | None = None) -> T:
        """Make an attempt; one that the link broke off is made again when the link is back.

        Parameters
        ----------
        patience_s
            Seconds that the link may be away at a time; None: however long.

        Raises
        ------
        BacalhauError
            What the attempt raised; `NetworkFailure` only for an engine of this machine, or without patience left.
        """
        delays = backoff(*AGAIN_S)
        while True:
            try:
                return await attempt()
            except NetworkFailure as error:
                if self._link is None:
                    raise
                failure = error
            try:
                async with asyncio.timeout(patience_s):
                    await asyncio.sleep(next(delays))
                    await self.gate.opened()
            except TimeoutError:
                raise failure from None

    def close(self) -> None:
        """End calls and threads; blocks."""
        for pool in (self._pool, self.starts):
            pool.shutdown(wait=True, cancel_futures=True)
        self.gate.close()
        if self._near is not None:
            self._near.close()
        if self._daemon is not None:
            self._daemon.close()

    def _translating(self, function: Callable[[], T]) -> Callable[[], T]:
        endpoint = self.daemon.endpoint

        def run() -> T:
            if not self.gate.is_open:
                raise no_answer(endpoint)
            try:
                with translated(endpoint):
                    return function()
            except NetworkFailure as error:
                self.gate.broke(error)
                raise

        return run

    def _connect(self) -> tuple[Daemon, Placement] | None:
        """Return the engine and how files reach its containers; None where it still is the one that is known."""
        if self._link is not None and self._daemon is not None:
            with translated(self._daemon.endpoint):
                if self._daemon.refresh():
                    return None
        places = (
            (self._link.endpoint,) if self._link is not None else endpoints(self._env, self._configuration)
        )
        daemon = connect(places, self._configuration.http_headers)
        try:
            with translated(daemon.endpoint):
                return daemon, self._fixed_placement or find_placement(daemon, self._options.data_dir)
        except BaseException:
            daemon.close()
            raise

    def _no_engine(self) -> EngineError:
        who = "this node" if self._link is None else f"the node of host {self._link.name}"
        return engine_error(f"{who} has found no Docker Engine", retryable=True)

    def _connect_near(self) -> Daemon:
        return connect(endpoints(self._env, self._configuration), self._configuration.http_headers)

    def _use(self, daemon: Daemon, placement: Placement) -> None:
        if self._daemon is not None:
            self._daemon.close()
        self._daemon, self.placement = daemon, placement
        used, self._used = self._used, asyncio.Event()
        used.set()
        kept, fresh_s = (self._options.settings(key) for key in (PLATFORMS_KEPT_KEY, PLATFORMS_FRESH_KEY))
        self._images = Images(
            daemon,
            self._options.clock,
            Credentials(self._configuration, self._env),
            PLATFORMS_KEPT if kept is None else kept,
            PLATFORMS_FRESH_S if fresh_s is None else fresh_s,
            pulls="SKIP_IMAGE_PULL" not in self._env,
            near=None if self._near is None else NearImages(ImageCopier(self._near, daemon), daemon.platform),
        )
        if self._link is not None:
            self.kept = KeptInputs(daemon, self._options.node_id, self._options.data_dir, self._options.clock)
        self._gpu_check = GpuCheck(daemon, self._options.node_id, self._options.clock, self._devices)


def _close_unwanted(connected: tuple[Daemon, Placement] | None) -> None:
    if connected is not None:
        connected[0].close()
