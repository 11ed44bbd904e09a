"""A compute node: plug-ins, capacity, executions and the link to the orchestrator, started and stopped together."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import platform
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from bacalhau_jupyter.compute.bidder import Bidder
from bacalhau_jupyter.compute.equipment import Equipment
from bacalhau_jupyter.compute.execution.events import Accepted, Cancel, Rejected
from bacalhau_jupyter.compute.execution.executions import ExecutionListener, Executions
from bacalhau_jupyter.compute.execution.progress import ProgressBoard, ProgressListener
from bacalhau_jupyter.compute.execution.record import ExecutionRecord, Phase
from bacalhau_jupyter.compute.execution.removing import remove_directory
from bacalhau_jupyter.compute.execution.runner import Runner
from bacalhau_jupyter.compute.files import Places, is_safe_id
from bacalhau_jupyter.compute.host.capacity import Capacity, allocated, host_resources
from bacalhau_jupyter.compute.host.gpus import find_gpus, gpu_labels
from bacalhau_jupyter.compute.inputs.cache import ContentCache
from bacalhau_jupyter.compute.link.connection import OrchestratorLink
from bacalhau_jupyter.compute.link.store import Store
from bacalhau_jupyter.compute.output.logs import LogFollower
from bacalhau_jupyter.compute.plugins import Plugins
from bacalhau_jupyter.compute.settings import ComputeSettings
from bacalhau_jupyter.lib.clock import SECOND, Clock
from bacalhau_jupyter.lib.database import Database, DatabaseError
from bacalhau_jupyter.lib.problems import Problems
from bacalhau_jupyter.lib.reserve import Reserve
from bacalhau_jupyter.models.api import LogFrame
from bacalhau_jupyter.models.errors import ServiceUnavailable
from bacalhau_jupyter.models.execution import DesiredStateType, Execution
from bacalhau_jupyter.models.messages import (
    AskForBid,
    BidAccepted,
    BidRejected,
    CancelExecution,
    ExecutionLogsRequest,
)
from bacalhau_jupyter.models.node import ComputeNodeInfo, DiskUsage, NodeInfo, NodeType
from bacalhau_jupyter.models.progress import Reading
from bacalhau_jupyter.models.resources import GPU, Resources
from bacalhau_jupyter.models.spec import replace
from bacalhau_jupyter.models.units import format_bytes
from bacalhau_jupyter.plugins.engine import Engine
from bacalhau_jupyter.transport.base import ComputeTransport, Envelope

_log = logging.getLogger(__name__)

_DIRECTORIES = "removing directories of old executions"
_ROOM = "reserving disk space"

PROTOCOLS = ("ncl/v1",)


class ComputeNode:
    """Runs what the orchestrator asks for.

    Parameters
    ----------
    settings
        Configuration of the compute role.
    transport
        The compute node's end of a carrier; closed by `stop`.
    database
        Opened with `compute.link.store.MIGRATIONS`; stays open; its owner closes it after `stop`.
    plugins
        Engines, sources and publishers; closed by `stop`.
    clock
        For every time stamp.
    on_progress
        Called on the loop with (execution ID, phase, bytes done, total or None) while executions are at work.
        Local wiring only: it is neither stored nor sent.
    reserve
        Room that is given back when the disk is full; its own in the data directory, if left out.
    problems
        List of failed background tasks.
    host_env
        The host variables that ``env:NAME`` may refer to; defaults to this process's.

    Attributes
    ----------
    unremovable
        Executions whose directories could not be removed the last time, and why.
    """

    def __init__(
        self,
        settings: ComputeSettings,
        transport: ComputeTransport,
        database: Database,
        plugins: Plugins,
        clock: Clock,
        *,
        on_progress: ProgressListener | None = None,
        host_env: Mapping[str, str] | None = None,
        problems: Problems | None = None,
        reserve: Reserve | None = None,
    ) -> None:
        self.settings = settings
        self.problems = problems or Problems(clock)
        self._clock = clock
        self._transport = transport
        self._store = Store(database)
        self._places = Places(settings.data_dir)
        self._cache = ContentCache(
            self._places.cache, settings.input_cache_size, settings.input_cache_min_free
        )
        self._plugins = plugins
        self._keepers = plugins.keepers()
        self._on_progress = on_progress
        self._database = database
        self._reserve = reserve or Reserve(settings.data_dir / "reserve", settings.disk_reserve)
        self._host_env = os.environ if host_env is None else host_env
        self.unremovable: dict[str, str] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._parts: _Parts | None = None

    async def start(self, join_timeout: float = 10.0) -> bool:
        """Take up what was there before, then join the orchestrator.

        Returns
        -------
        bool
            Whether the node has joined; if not in time, it goes on trying.

        Raises
        ------
        ConfigurationError
            A capacity setting is wrong.
        DatabaseError
            The database can't be read.
        """
        await asyncio.to_thread(self._places.prepare)
        await asyncio.to_thread(self._reserve.make)
        gpus_asked = asyncio.create_task(find_gpus() if self.settings.probe_gpus else _none())
        await self._plugins.probe(self.settings.probe_timeout_s)
        await self._open_cache()
        host = await asyncio.to_thread(host_resources, self.settings.data_dir, await gpus_asked)
        # Cache entries are evicted when an execution needs the space.
        host = replace(host, disk=host.disk + self._cache.usage().bytes)
        capacity = Capacity(allocated(self.settings.allocated, host))
        parts = self._parts = _Parts(self._equipment(), capacity, self.info, self._full)
        parts.board.listener = self._on_progress
        await parts.executions.restore(await self._store.load())
        parts.connection.start(self._on_message, self.logs)
        self.problems.changed = _on_loop(parts.connection.info_changed)
        self._tasks = [
            asyncio.create_task(
                self.problems.keep("housekeeping", self._housekeeping), name="compute housekeeping"
            ),
            asyncio.create_task(
                self.problems.keep("watching the free disk space", self._watch_disk), name="compute disk"
            ),
            asyncio.create_task(
                self.problems.keep("checking which engines are available", self._watch_plugins),
                name="compute probes",
            ),
        ]
        return await parts.connection.wait_joined(join_timeout)

    def _equipment(self) -> Equipment:
        return Equipment(
            settings=self.settings,
            clock=self._clock,
            transport=self._transport,
            store=self._store,
            places=self._places,
            plugins=self._plugins,
            cache=self._cache,
            reserve=self._reserve,
            host_env=self._host_env,
            problems=self.problems,
        )

    async def _open_cache(self) -> None:
        try:
            await self._cache.start()
        except OSError as error:
            _log.warning("the input cache can't be used: %s", error)
            self._cache = ContentCache(self._places.cache, 0, 0)

    async def stop(self) -> None:
        """Leave the orchestrator and stop looking after executions; engines keep what outlives a node. Bounded."""
        parts, self._parts = self._parts, None
        self.problems.changed = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if parts is not None:
            await parts.connection.stop()
            await parts.executions.close()
            parts.logs.close()
        await self._cache.close(self.settings.stop_timeout_s)
        await self._plugins.close(self.settings.stop_timeout_s)

    # ---- for people and for the node's own wiring

    @property
    def joined(self) -> bool:
        """Whether the orchestrator knows this node."""
        return self._parts is not None and self._parts.connection.joined

    @property
    def problem(self) -> str:
        """Why the node has not joined; empty while it has."""
        return "" if self._parts is None else self._parts.connection.problem

    @property
    def capacity(self) -> Capacity:
        """What may be used and what is free."""
        return self._ready().capacity

    def live(self) -> list[ExecutionRecord]:
        """Return the executions that are not over."""
        return [] if self._parts is None else self._parts.executions.live()

    async def idle(self) -> None:
        """Wait until no execution is live or being cleaned up."""
        await self._ready().executions.idle()

    def progress(self, execution_id: str) -> Reading | None:
        """Return the latest progress of a live execution."""
        return None if self._parts is None else self._parts.board.reading(execution_id)

    async def lookup(self, execution_id: str) -> ExecutionRecord | None:
        """Return an execution, live or ended; None when it is unknown or forgotten."""
        if self._parts is not None:
            return await self._parts.lookup(execution_id)
        return await self._store.get(execution_id)

    def logs(self, request: ExecutionLogsRequest) -> AsyncIterator[LogFrame]:
        """Stream an execution's output."""
        return self._ready().logs.follow(request)

    def info(self) -> NodeInfo:
        """Describe this node as it is now."""
        parts, settings = self._ready(), self.settings
        engines, sources, publishers = self._plugins.names()
        runtimes, problems = self._plugins.runtimes()
        limit = parts.capacity.limit
        phases = [record.phase for record in parts.executions.live()]
        compute = ComputeNodeInfo(
            execution_engines=engines,
            publishers=publishers,
            storage_sources=sources,
            max_capacity=limit,
            available_capacity=parts.capacity.available,
            max_job_requirements=limit,
            running_executions=sum(phase is Phase.RUNNING for phase in phases),
            address=settings.address,
            engine_runtimes=runtimes,
            engine_problems=problems,
            problems={problem.task: problem.message for problem in self.problems.every()},
            input_cache=self._cache.usage() if self._cache.enabled else None,
            local_results=self._keepers[0].usage() if self._keepers else None,
        )
        return NodeInfo(
            node_id=settings.node_id,
            node_type=NodeType.COMPUTE,
            labels=self._labels(limit),
            supported_protocols=list(PROTOCOLS),
            compute_node_info=compute,
            bacalhau_version=settings.version,
            features=list(settings.features),
            jupyter_version=settings.jupyter_version,
        )

    # ---- messages of the orchestrator

    async def _on_message(self, envelope: Envelope) -> None:
        """Handle a message; returns after what it changed is stored. What does not fit is ignored, as upstream does."""
        executions = self._ready().executions
        match envelope.message:
            case AskForBid(execution=execution):
                await self._offered(execution)
            case BidAccepted(execution_id=identifier):
                await executions.feed(identifier, Accepted())
            case BidRejected(execution_id=identifier):
                await executions.feed(identifier, Rejected())
            case CancelExecution(execution_id=identifier):
                await executions.feed(identifier, Cancel())
            case other:
                _log.warning("ignored a %s from %s", type(other).__name__, envelope.source)
        if envelope.seq:
            self._store.incoming = envelope.seq

    async def _offered(self, execution: Execution) -> None:
        if not is_safe_id(execution.id):
            # Sending it again would not make it better, so it is taken.
            _log.error("ignored an offer: execution ID %r can't be used", execution.id)
            return
        direct = execution.desired_state.state_type is DesiredStateType.RUNNING
        if not await self._ready().executions.admit(execution, direct):
            _log.debug("execution %s is known already", execution.id)

    # ---- housekeeping

    async def sweep(self) -> None:
        """Remove what engines still hold of executions that are over or unknown."""
        executions = self._ready().executions
        for engine in self._plugins.working_engines().values():
            try:
                async with asyncio.timeout(self.settings.probe_timeout_s):
                    leftovers = await engine.existing()
            except Exception as error:
                _log.warning("the remains on %s can't be listed: %s", engine.type, error)
                continue
            for identifier in leftovers:
                if identifier not in executions:
                    await self._sweep_one(engine, identifier)

    async def _sweep_one(self, engine: Engine, identifier: str) -> None:
        _log.info("removing what %s still holds of execution %s", engine.type, identifier)
        try:
            async with asyncio.timeout(self.settings.cancel_timeout_s):
                await engine.cancel(identifier)
                await engine.clean(identifier)
        except Exception as error:
            _log.warning("execution %s can't be swept: %s", identifier, error)

    async def _watch_plugins(self) -> None:
        await self._plugins.watch(self.settings.probe_timeout_s, self._ready().connection.info_changed)

    async def _housekeeping(self) -> None:
        await self._ready().executions.settled()
        while True:
            with self.problems.watching("removing what engines still hold of old executions"):
                await self.sweep()
            await self.tidy()
            await asyncio.sleep(self.settings.housekeeping_interval_s)

    async def _watch_disk(self) -> None:
        while True:
            await asyncio.sleep(self.settings.disk_interval_s)
            if self._reserve.spent or await asyncio.to_thread(self._reserve.lacks_room):
                await self._full()
            await self._database.replenish()

    async def _full(self) -> str:
        """Make room on a full disk; why nothing more can be run, empty when something can."""
        if await asyncio.to_thread(self._reserve.lacks_room):
            await self._make_room()
        kept = await asyncio.to_thread(self._reserve.make)
        if kept and not await asyncio.to_thread(self._reserve.lacks_room):
            self.problems.clear(_ROOM)
            return ""
        free = await asyncio.to_thread(self._reserve.free)
        reason = f"the disk of this node is full ({format_bytes(free)} free in {self.settings.data_dir})"
        self.problems.tell(_ROOM, reason)
        return reason

    async def _make_room(self) -> None:
        """Remove what was only kept to be looked at or to save time: failed executions' files, the cache."""
        executions = self._ready().executions
        await executions.cleaned_up(self.settings.stop_timeout_s)
        ended = await self._store.to_clean(self._clock.now_ns())
        for identifier in ended:
            if identifier not in executions:
                await asyncio.to_thread(self._places.remove, identifier)
        await self._cache.clear()
        for identifier in ended:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(self._places.cut_log, identifier)
        with contextlib.suppress(DatabaseError):
            await self._store.cleaned([it for it in ended if it not in executions])

    async def tidy(self) -> None:
        """Remove directories, logs, inputs and results after their time; failures are reported and skipped."""
        work = [
            (_DIRECTORIES, self._tidy_directories),
            ("removing logs of old executions", self._tidy_logs),
            ("cleaning up the input cache", self._cache.tidy),
            *(("removing old results", keeper.tidy) for keeper in self._keepers),
        ]
        for task, tidy in work:
            with self.problems.watching(task):
                await tidy()
        if self.unremovable:
            identifier, why = next(iter(self.unremovable.items()))
            more = f" (and {len(self.unremovable) - 1} more)" if len(self.unremovable) > 1 else ""
            self.problems.tell(_DIRECTORIES, f"execution {identifier}: {why}{more}")

    async def _tidy_directories(self) -> None:
        before = self._clock.now_ns() - int(self.settings.directory_retention_s * SECOND)
        await self._remove_directories(before)

    async def _tidy_logs(self) -> None:
        before = self._clock.now_ns() - int(self.settings.log_retention_s * SECOND)
        while forgotten := await self._store.forget(before, self.settings.log_count):
            for identifier in forgotten:
                with self.problems.watching(f"removing the log of execution {identifier}"):
                    await asyncio.to_thread(self._places.remove_log, identifier)

    async def _remove_directories(self, ended_before_ns: int) -> None:
        """Remove what executions left; what can't be removed now is tried again the next time, and told until then."""
        left: dict[str, str] = {}
        while ended := await self._store.to_clean(ended_before_ns, skip=len(left)):
            gone = []
            for identifier in ended:
                if problem := await self._remove_directory(identifier):
                    left[identifier] = problem
                else:
                    gone.append(identifier)
            await self._store.cleaned(gone)
        for identifier, problem in left.items():
            if identifier not in self.unremovable:
                _log.warning("the directory of execution %s can't be removed: %s", identifier, problem)
        self.unremovable = left

    async def _remove_directory(self, identifier: str) -> str:
        record = await self._store.get(identifier)
        execution = None if record is None else record.execution
        job = None if execution is None else execution.job
        engine = None if job is None or not job.tasks else self._plugins.engine(job.task.engine.type)
        return await remove_directory(
            self._places, identifier, execution, engine, self.settings.cancel_timeout_s
        )

    async def clear_results(self, older_than_s: float) -> DiskUsage:
        """Remove published results of finished jobs from this node's disk; return what is gone."""
        gone = [await keeper.clear(older_than_s) for keeper in self._keepers]
        self._ready().connection.info_changed()
        return DiskUsage(bytes=sum(each.bytes for each in gone), count=sum(each.count for each in gone))

    async def clear_cache(self) -> DiskUsage:
        """Remove the inputs that are kept to be shared; return what is gone."""
        gone = await self._cache.clear()
        self._ready().connection.info_changed()
        return gone

    def _labels(self, limit: Resources) -> dict[str, str]:
        settings = self.settings
        machine = platform.machine().lower()
        own = {
            "name": settings.name or settings.node_id,
            "os_type": platform.system().lower(),
            "os_arch": {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine),
        }
        return own | gpu_labels(limit.gpus) | dict(settings.labels)

    def _ready(self) -> _Parts:
        if self._parts is None:
            raise ServiceUnavailable("the compute node is not running", retryable=True)
        return self._parts


class _Parts:
    """What exists while the node runs."""

    def __init__(
        self,
        equipment: Equipment,
        capacity: Capacity,
        node_info: Callable[[], NodeInfo],
        make_room: Callable[[], Awaitable[str]],
    ) -> None:
        self.capacity = capacity
        self.board = ProgressBoard(equipment.clock)
        self.connection = OrchestratorLink(equipment, node_info, lambda: capacity.available)
        bidder = Bidder(equipment.settings, equipment.plugins, capacity, make_room)
        runner = Runner(equipment, bidder, self.board)
        listener = ExecutionListener(
            reported=self.connection.wake_outbox,
            capacity_changed=self.connection.capacity_changed,
            ended=lambda execution_id: self.logs.wake(execution_id),
        )
        self.executions = Executions(equipment, runner, capacity, self.board, listener)
        self.logs = LogFollower(equipment.places, self.lookup)
        self._store = equipment.store

    async def lookup(self, execution_id: str) -> ExecutionRecord | None:
        """Return an execution, live or ended; None when it is unknown or forgotten."""
        return self.executions.record(execution_id) or await self._store.get(execution_id)


async def _none() -> list[GPU]:
    return []


def _on_loop(call: Callable[[], None]) -> Callable[[], None]:
    """Return what has ``call`` made on this loop, from any thread."""
    loop = asyncio.get_running_loop()

    def schedule() -> None:
        # A closed loop has no listeners left.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(call)

    return schedule
