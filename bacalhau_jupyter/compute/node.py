"""A compute node: plug-ins, capacity, executions and the link to the orchestrator, started and stopped together."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from bacalhau_jupyter.compute.equipment import Equipment
from bacalhau_jupyter.compute.execution.events import Accepted, Cancel, Rejected
from bacalhau_jupyter.compute.execution.progress import ProgressListener
from bacalhau_jupyter.compute.execution.record import ExecutionRecord
from bacalhau_jupyter.compute.files import Places, is_safe_id
from bacalhau_jupyter.compute.host.account import Account
from bacalhau_jupyter.compute.host.capacity import Capacity
from bacalhau_jupyter.compute.host.machine import LocalMachine, Machine
from bacalhau_jupyter.compute.host.ports import HeldPorts, Ports
from bacalhau_jupyter.compute.inputs.cache import ContentCache
from bacalhau_jupyter.compute.link.store import Store
from bacalhau_jupyter.compute.parts import Parts
from bacalhau_jupyter.compute.plugins import Plugins
from bacalhau_jupyter.compute.settings import ComputeSettings
from bacalhau_jupyter.compute.survey import Survey
from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.lib.database import Database
from bacalhau_jupyter.lib.problems import Problems
from bacalhau_jupyter.lib.reserve import Reserve
from bacalhau_jupyter.lib.telemetry.base import SILENT, Telemetry
from bacalhau_jupyter.models.errors import ServiceUnavailable
from bacalhau_jupyter.models.records.execution import DesiredStateType, Execution
from bacalhau_jupyter.models.records.node import DiskUsage, NodeInfo
from bacalhau_jupyter.models.records.progress import Reading
from bacalhau_jupyter.models.wire.api import LogFrame
from bacalhau_jupyter.models.wire.messages import (
    AskForBid,
    BidAccepted,
    BidRejected,
    CancelExecution,
    ExecutionLogsRequest,
)
from bacalhau_jupyter.transport.base import ComputeTransport, Envelope, LinkState

_log = logging.getLogger(__name__)


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
    telemetry
        Who is told of executions.
    host_env
        The host variables that ``env:NAME`` may refer to; defaults to this process's.
    held_ports
        The account of ports that the compute nodes of this process share; its own, if left out.
    account
        What the compute nodes of this process hold that share this machine; its own, if left out.
    machine
        Whose CPUs, memory, disk and GPUs the node offers; this one, if left out.
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
        telemetry: Telemetry = SILENT,
        held_ports: HeldPorts | None = None,
        account: Account | None = None,
        machine: Machine | None = None,
    ) -> None:
        self.settings = settings
        self._account = account
        self._held_ports = held_ports
        self.problems = problems or Problems(clock)
        places = Places(settings.data_dir)
        self._equipment = Equipment(
            settings=settings,
            clock=clock,
            transport=transport,
            store=Store(database),
            places=places,
            plugins=plugins,
            cache=ContentCache(places.cache, settings.input_cache_size, settings.input_cache_min_free),
            reserve=reserve or Reserve(settings.data_dir / "reserve", settings.disk_reserve),
            host_env=os.environ if host_env is None else host_env,
            problems=self.problems,
            telemetry=telemetry,
            survey=Survey(
                machine or LocalMachine(settings.data_dir, probe_gpus=settings.probe_gpus), settings
            ),
        )
        self._on_progress = on_progress
        self._database = database
        self._tasks: list[asyncio.Task[None]] = []
        self._parts: Parts | None = None

    async def start(self, join_timeout_s: float = 10.0, *, one_try: bool = False) -> bool:
        """Take up what was there before, then join the orchestrator.

        Parameters
        ----------
        join_timeout_s
            How long to wait for the orchestrator, which is tried again and again.
        one_try
            Whether to wait no longer than the first try takes.

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
        equipment = self._equipment
        await asyncio.to_thread(equipment.places.prepare)
        await asyncio.to_thread(equipment.reserve.make)
        survey = equipment.survey
        looked = survey.begin()
        try:
            await equipment.plugins.probe(self.settings.probe_timeout_s)
            self._equipment = equipment = await _with_open_cache(equipment)
            await survey.finish(equipment.plugins)
        finally:
            looked.cancel()
        address, held = self.settings.port_address, self._held_ports
        # Which programs listen on a machine elsewhere, nobody knows here.
        is_free = None if survey.facts.is_here else _always
        ports = Ports(*self.settings.port_range, is_free, address=address, held=held)
        capacity = Capacity(survey.limit(equipment.cache.usage().bytes), ports, self._account)
        capacity.hold_elsewhere(survey.facts.taken)
        parts = self._parts = Parts(equipment, capacity, self._database)
        parts.board.listener = self._on_progress
        await parts.executions.restore(await equipment.store.load())
        parts.follow_links()
        parts.connection.start(self._on_message, self.logs)
        self.problems.changed = _on_loop(parts.connection.info_changed)
        self._tasks = [
            asyncio.create_task(
                self.problems.keep("housekeeping", parts.housekeeping.run), name="compute housekeeping"
            ),
            asyncio.create_task(
                self.problems.keep("watching the free disk space", parts.disk.watch), name="compute disk"
            ),
            asyncio.create_task(
                self.problems.keep("checking which engines are available", self._watch_plugins),
                name="compute probes",
            ),
            asyncio.create_task(
                self.problems.keep("looking at what the machine has", self._watch_machine),
                name="compute machine",
            ),
        ]
        return await parts.connection.wait_joined(join_timeout_s, one_try=one_try)

    async def stop(self) -> None:
        """Leave the orchestrator and stop looking after executions; engines keep what outlives a node. Bounded."""
        parts, self._parts = self._parts, None
        self.problems.changed = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if parts is not None:
            parts.leave_links()
            await parts.connection.stop()
            # What ended leaves nothing behind, also where this node never starts again.
            await parts.executions.endings(self.settings.stop_timeout_s / 2)
            await parts.executions.close()
            parts.logs.close()
            parts.capacity.close()
        await self._equipment.cache.close(self.settings.stop_timeout_s)
        await self._equipment.plugins.close(self.settings.stop_timeout_s)

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
    def hint(self) -> str:
        """What to do about `problem`."""
        return "" if self._parts is None else self._parts.connection.hint

    @property
    def link(self) -> LinkState:
        """How the way to the orchestrator is."""
        return self._equipment.transport.state

    @property
    def capacity(self) -> Capacity:
        """What may be used and what is free."""
        return self._ready().capacity

    def set_unavailable(self, reason: str, *, is_away: bool = False) -> None:
        """Take nothing new, for a reason of one sentence, or with an empty one take jobs again.

        What runs goes on. Jobs that could run here only wait. While the machine is away, as ``is_away`` says, the
        orchestrator ends nothing for its time limit: this node judges that when the machine answers again.
        """
        survey = self._equipment.survey
        if (survey.unavailable, survey.is_away) != (reason, is_away):
            survey.unavailable, survey.is_away = reason, is_away
            if self._parts is not None:
                self._parts.connection.info_changed()

    def live(self) -> list[ExecutionRecord]:
        """Return the executions that are not over."""
        return [] if self._parts is None else self._parts.executions.live()

    async def end_all(self, timeout_s: float) -> None:
        """Stop every execution, as if its orchestrator had asked for it; waits ``timeout_s`` at most."""
        executions = self._ready().executions
        for record in executions.live():
            await executions.feed(record.id, Cancel())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await executions.idle()

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
        return await self._equipment.store.get(execution_id)

    def logs(self, request: ExecutionLogsRequest) -> AsyncIterator[LogFrame]:
        """Stream an execution's output."""
        return self._ready().logs.follow(request)

    def info(self) -> NodeInfo:
        """Describe this node as it is now."""
        return self._ready().info()

    @property
    def unremovable(self) -> dict[str, str]:
        """Executions whose directories could not be removed the last time, and why."""
        return {} if self._parts is None else self._parts.housekeeping.unremovable

    # ---- messages of the orchestrator

    async def _on_message(self, envelope: Envelope) -> None:
        """Handle a message; returns after what it changed is stored. What does not fit is ignored, as upstream does."""
        executions, arrivals = self._ready().executions, self._equipment.store.arrivals
        if envelope.seq:
            arrivals.begin(envelope.seq)
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
            arrivals.end(envelope.seq)

    async def _offered(self, execution: Execution) -> None:
        if not is_safe_id(execution.id):
            # Sending it again would not make it better, so it is taken.
            _log.error("ignored an offer: execution ID %r can't be used", execution.id)
            return
        direct = execution.desired_state.state_type is DesiredStateType.RUNNING
        if not await self._ready().executions.admit(execution, direct):
            _log.debug("execution %s is known already", execution.id)

    # ---- housekeeping

    async def tidy(self) -> None:
        """Remove directories, logs, inputs and results after their time; failures are reported and skipped."""
        await self._ready().housekeeping.tidy()

    async def clear_results(self, older_than_s: float) -> DiskUsage:
        """Remove published results of finished jobs from this node's disk; return what is gone."""
        gone = [await keeper.clear(older_than_s) for keeper in self._equipment.plugins.keepers()]
        self._ready().connection.info_changed()
        return DiskUsage(bytes=sum(each.bytes for each in gone), count=sum(each.count for each in gone))

    async def remove_results(self, execution_ids: Sequence[str]) -> DiskUsage:
        """Remove the results of these executions from this node's disk; return what is gone."""
        gone = [await keeper.remove(execution_ids) for keeper in self._equipment.plugins.keepers()]
        self._ready().connection.info_changed()
        return DiskUsage(bytes=sum(each.bytes for each in gone), count=sum(each.count for each in gone))

    async def clear_cache(self) -> DiskUsage:
        """Remove the inputs that are kept to be shared; return what is gone."""
        gone = await self._equipment.cache.clear()
        self._ready().connection.info_changed()
        return gone

    async def clear_packages(self) -> DiskUsage:
        """Remove Python packages that no job uses; return what is gone."""
        packages = self._equipment.plugins.packages()
        return DiskUsage() if packages is None else await packages.clear()

    async def _watch_plugins(self) -> None:
        await self._equipment.plugins.watch(self.settings.probe_timeout_s, self._ready().plugins_changed)

    async def _watch_machine(self) -> None:
        parts, equipment = self._ready(), self._equipment

        def changed() -> None:
            parts.connection.info_changed()
            # What waits for room asks again.
            parts.connection.capacity_changed()

        await equipment.survey.keep(
            equipment.plugins, parts.capacity, changed, lambda: equipment.cache.usage().bytes
        )

    def _ready(self) -> Parts:
        if self._parts is None:
            raise ServiceUnavailable("the compute node is not running", retryable=True)
        return self._parts


async def _with_open_cache(equipment: Equipment) -> Equipment:
    """Open the input cache; where that fails, the node goes on without one."""
    try:
        await equipment.cache.start()
    except OSError as error:
        _log.warning("the input cache can't be used: %s", error)
        return dataclasses.replace(equipment, cache=ContentCache(equipment.places.cache, 0, 0))
    return equipment


def _always(port: int) -> bool:
    return True


def _on_loop(call: Callable[[], None]) -> Callable[[], None]:
    """Return what has ``call`` made on this loop, from any thread."""
    loop = asyncio.get_running_loop()

    def schedule() -> None:
        # A closed loop has no listeners left.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(call)

    return schedule
