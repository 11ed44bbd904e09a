"""A scripted compute peer on the in-memory carrier, and an orchestrator to go with it."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bacalhau_jupyter.lib.clock import Clock, SystemClock
from bacalhau_jupyter.lib.database import Database
from bacalhau_jupyter.models.jobs.job import Job, JobStateType
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import ResourcesConfig, SpecConfig, Task, Timeouts
from bacalhau_jupyter.models.records.execution import DesiredStateType, Execution, RunCommandResult
from bacalhau_jupyter.models.records.history import Event
from bacalhau_jupyter.models.records.node import ComputeNodeInfo, NodeInfo
from bacalhau_jupyter.models.wire.api import LogFrame, LogLine
from bacalhau_jupyter.models.wire.messages import (
    AskForBid,
    BidAccepted,
    BidRejected,
    BidResult,
    CancelExecution,
    ComputeError,
    ExecutionLogsRequest,
    HandshakeRequest,
    HandshakeResponse,
    HeartbeatRequest,
    RunResult,
    ToOrchestrator,
)
from bacalhau_jupyter.orchestrator.base import HistoryQuery
from bacalhau_jupyter.orchestrator.peers.offers import FarAddress, nowhere
from bacalhau_jupyter.orchestrator.service import Orchestrator
from bacalhau_jupyter.orchestrator.settings import OrchestratorSettings
from bacalhau_jupyter.orchestrator.store.schema import MIGRATIONS
from bacalhau_jupyter.orchestrator.uploads import UploadProblem, UploadSigner, no_problem
from bacalhau_jupyter.transport.base import Envelope
from bacalhau_jupyter.transport.memory import MemoryTransport

CORES = Resources(cpu=2.0, memory=4 * 10**9, disk=10**11)


def noop_job(name: str = "", **changes: object) -> Job:
    """A batch job of one partition; ``changes`` are task members (engine, cpu, gpu, timeouts) or job members."""
    cpu, gpu = str(changes.pop("cpu", "500m")), str(changes.pop("gpu", ""))
    engine = str(changes.pop("engine", "noop"))
    timeouts = changes.pop("timeouts", Timeouts())
    assert isinstance(timeouts, Timeouts)
    publisher = changes.pop("publisher", SpecConfig())
    assert isinstance(publisher, SpecConfig)
    task = Task(
        name="main",
        engine=SpecConfig(type=engine),
        publisher=publisher,
        resources=ResourcesConfig(cpu=cpu, memory="100mb", gpu=gpu),
        timeouts=timeouts,
    )
    return Job(**{"name": name, "type": "batch", "count": 1, "tasks": [task], **changes})  # type: ignore[arg-type]


def node_info(node_id: str, capacity: Resources = CORES, **labels: str) -> NodeInfo:
    return NodeInfo(
        node_id=node_id,
        labels={"name": node_id, **labels},
        compute_node_info=ComputeNodeInfo(
            execution_engines=["noop"],
            publishers=["local", "s3", "s3managed"],
            storage_sources=["inline"],
            max_capacity=capacity,
            available_capacity=capacity,
            max_job_requirements=capacity,
        ),
    )


@dataclass
class Peer:
    """A compute node that does what its script says; messages are answered in tasks of their own."""

    transport: MemoryTransport
    node_id: str = "n-1"
    capacity: Resources = CORES
    bid: Callable[[Execution], str | None] = lambda execution: None
    """Returns why a bid is rejected, or None to accept."""
    run: Callable[[Execution], str | None] = lambda execution: None
    """Returns why an execution fails, or None when it completes."""
    output: RunCommandResult = field(default_factory=lambda: RunCommandResult(stdout="hi\n"))
    """What completed executions report."""
    hold: bool = False
    """Whether executions run until `finish`."""
    offered: dict[str, Execution] = field(default_factory=dict)
    running: dict[str, Execution] = field(default_factory=dict)
    received: list[object] = field(default_factory=list)
    started: list[str] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    most: float = 0.0
    seq: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def join(self) -> HandshakeResponse:
        self.end = self.transport.compute_end(self.node_id)
        await self.end.connect(self.node_id, self.take, self.logs)
        response = await self.end.request(HandshakeRequest(node_info=node_info(self.node_id, self.capacity)))
        assert isinstance(response, HandshakeResponse)
        return response

    async def heartbeat(self, available: Resources = CORES) -> None:
        await self.end.request(HeartbeatRequest(node_id=self.node_id, available_capacity=available))

    async def leave(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await self.end.close()

    async def take(self, envelope: Envelope) -> None:
        message = envelope.message
        self.received.append(message)
        self.arrived.set()
        match message:
            case AskForBid():
                if message.execution.id not in self.offered:
                    self.offered[message.execution.id] = message.execution
                    # Ops and daemon jobs are not asked for a bid: the node begins, or refuses.
                    at_once = message.execution.desired_state.state_type is DesiredStateType.RUNNING
                    if at_once and self.bid(message.execution) is None:
                        self._start(message.execution)
                    else:
                        self._spawn(self._bid(message.execution))
            case BidAccepted():
                self._start(self.offered[message.execution_id])
            case BidRejected() | CancelExecution():
                self.running.pop(message.execution_id, None)

    def _start(self, execution: Execution) -> None:
        if execution.id not in self.started:
            self.started.append(execution.id)
            self.running[execution.id] = execution
            held = sum(0.5 for _ in self.running)
            self.most = max(self.most, held)
            if not self.hold:
                self._spawn(self.finish(execution.id))

    async def _bid(self, execution: Execution) -> None:
        reason = self.bid(execution)
        events = [Event(message=f"rejected bid: {reason}", topic="Exec Scanning")] if reason else None
        await self.report(
            BidResult(
                execution_id=execution.id,
                job_id=execution.job_id,
                job_type="batch",
                events=events,
                accepted=reason is None,
            )
        )

    async def finish(self, execution_id: str) -> None:
        execution = self.running.pop(execution_id)
        reason = self.run(execution)
        who = {"execution_id": execution.id, "job_id": execution.job_id, "job_type": "batch"}
        if reason is None:
            await self.report(RunResult(**who, run_command_result=self.output))  # type: ignore[arg-type]
        else:
            event = Event(message=reason, topic="Running Execution", details={"IsError": "true"})
            await self.report(ComputeError(**who, events=[event]))  # type: ignore[arg-type]

    async def report(self, message: ToOrchestrator) -> None:
        self.seq += 1
        await self.end.send(Envelope(message, self.seq, 0, self.node_id))

    async def logs(self, request: ExecutionLogsRequest) -> AsyncIterator[LogFrame]:
        yield LogFrame(value=LogLine(type=1, line=f"log of {request.execution_id}\n"))

    async def until(self, condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
        """Wait until a condition on what was received holds."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                self.arrived.clear()
                await self.arrived.wait()

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@contextlib.asynccontextmanager
async def orchestrator(
    path: Path | None = None,
    clock: Clock | None = None,
    transport: MemoryTransport | None = None,
    *,
    fault: Callable[[str], None] | None = None,
    upload_signer: UploadSigner | None = None,
    upload_problem: UploadProblem = no_problem,
    upload_signer_here: UploadSigner | None = None,
    far_address: FarAddress = nowhere,
    **settings: object,
) -> AsyncIterator[tuple[Orchestrator, MemoryTransport]]:
    """An orchestrator that runs, on its own database."""
    carrier = transport or MemoryTransport()
    database = await Database.open(path, MIGRATIONS, fault=fault)
    service = Orchestrator(
        OrchestratorSettings(node_id="n-o", **settings),  # type: ignore[arg-type]
        database,
        carrier.orchestrator_end,
        clock=clock or SystemClock(),
        upload_signer=upload_signer,
        upload_problem=upload_problem,
        upload_signer_here=upload_signer_here,
        far_address=far_address,
    )
    await service.start()
    try:
        yield service, carrier
    finally:
        await service.close()
        await database.close()


async def ended(service: Orchestrator, job_id: str, timeout_s: float = 60.0) -> Job:
    """Wait for a job's end on the event stream; nothing polls."""
    return await reached(service, job_id, lambda job: job.is_terminal, timeout_s)


async def reached(
    service: Orchestrator, job_id: str, condition: Callable[[Job], bool], timeout_s: float = 60.0
) -> Job:
    """Wait until a job is as wanted; looked at after each of its events."""
    async with asyncio.timeout(timeout_s):
        async for _ in service.events(0, job_id):
            job = await service.get_job(job_id)
            if condition(job):
                return job
    raise AssertionError("the event stream ended")


def in_state(state: JobStateType) -> Callable[[Job], bool]:
    return lambda job: job.state.state_type is state


async def topics(service: Orchestrator, job_id: str) -> list[tuple[str, str, str]]:
    """A job's history as (J or E, topic, message)."""
    history = await service.history(job_id, HistoryQuery(all_versions=True))
    return [
        ("E" if item.execution_id else "J", item.event.topic, item.event.message) for item in history.items
    ]


def integrity(connection: sqlite3.Connection) -> str:
    return str(connection.execute("PRAGMA integrity_check").fetchone()[0])
