"""A scripted orchestrator, plug-ins with handles, and a compute node wired to them over the memory carrier."""

from __future__ import annotations

import asyncio
import contextlib
import stat
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bacalhau_jupyter.compute.host.machine import Machine
from bacalhau_jupyter.compute.link.store import MIGRATIONS
from bacalhau_jupyter.compute.node import ComputeNode
from bacalhau_jupyter.compute.plugins import Plugins
from bacalhau_jupyter.compute.settings import ComputeSettings
from bacalhau_jupyter.engines.noop import NoopEngine
from bacalhau_jupyter.lib.clock import SystemClock
from bacalhau_jupyter.lib.database import Database
from bacalhau_jupyter.lib.trees import walk
from bacalhau_jupyter.models.errors import HandshakeRequired, ServiceUnavailable
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import InputSource, SpecConfig
from bacalhau_jupyter.models.records.execution import Execution
from bacalhau_jupyter.models.records.progress import Reading
from bacalhau_jupyter.models.wire.messages import (
    AskForBid,
    BidAccepted,
    BidResult,
    CancelExecution,
    ComputeError,
    ControlRequest,
    ControlResponse,
    HandshakeRequest,
    HandshakeResponse,
    HeartbeatRequest,
    HeartbeatResponse,
    RunResult,
    ShutdownNoticeRequest,
    ShutdownNoticeResponse,
    ToCompute,
    ToOrchestrator,
    UpdateNodeInfoResponse,
)
from bacalhau_jupyter.plugins.contract import ACCEPTED, Availability, Bid, InputMount, Progress, no_progress
from bacalhau_jupyter.plugins.engine import EndReason, Engine, Outcome, RunRequest
from bacalhau_jupyter.plugins.logfile import STDOUT, LogWriter
from bacalhau_jupyter.plugins.options import PluginOptions
from bacalhau_jupyter.plugins.publisher import Publisher, PublishRequest
from bacalhau_jupyter.plugins.source import FetchRequest, Source
from bacalhau_jupyter.transport.base import Envelope
from bacalhau_jupyter.transport.memory import MemoryTransport

WAIT_S = 60.0


class Peer:
    """An orchestrator that a test plays by hand."""

    def __init__(self, carrier: MemoryTransport, node_id: str = "n-test") -> None:
        self.end = carrier.orchestrator_end
        self.node_id = node_id
        self.seq = 0
        self.inbox: asyncio.Queue[ToOrchestrator] = asyncio.Queue()
        self.control: list[ControlRequest] = []
        self.known = False
        self.envelopes: list[Envelope] = []
        self.refuse_messages = 0
        self.refuse_once: set[str] = set()
        self.refuse_info = 0
        self.heard = asyncio.Condition()

    async def serve(self) -> None:
        await self.end.serve(self._control, self._message)

    async def _control(self, node_id: str, request: ControlRequest) -> ControlResponse:
        assert node_id == self.node_id
        async with self.heard:
            self.control.append(request)
            self.heard.notify_all()
        if isinstance(request, HandshakeRequest):
            self.known = True
            return HandshakeResponse(
                accepted=True, reason="node registered", last_orchestrator_seq_num=self.seq
            )
        if not self.known:
            raise HandshakeRequired(f"node {node_id} not connected - handshake required", retryable=True)
        if isinstance(request, HeartbeatRequest):
            return HeartbeatResponse()
        if isinstance(request, ShutdownNoticeRequest):
            return ShutdownNoticeResponse()
        if self.refuse_info:
            self.refuse_info -= 1
            raise ServiceUnavailable("the orchestrator is busy", retryable=True)
        return UpdateNodeInfoResponse(accepted=True)

    async def _message(self, node_id: str, envelope: Envelope) -> None:
        if self.refuse_messages:
            self.refuse_messages -= 1
            raise RuntimeError("the orchestrator's disk is full")
        identifier = envelope.message.execution_id if isinstance(envelope.message, RunResult) else ""
        if identifier in self.refuse_once:
            self.refuse_once.remove(identifier)
            raise RuntimeError("not now")
        if any((it.seq, it.message) == (envelope.seq, envelope.message) for it in self.envelopes):
            return  # after a crash a node says again what it can't know to be here
        self.envelopes.append(envelope)
        self.inbox.put_nowait(envelope.message)  # type: ignore[arg-type]

    async def send(self, message: ToCompute) -> None:
        self.seq += 3  # gaps are normal
        await self.end.send(self.node_id, Envelope(message, self.seq, 1, f"orchestrator-{self.node_id}"))

    async def ask(self, execution: Execution) -> None:
        await self.send(AskForBid(execution=execution))

    async def accept(self, execution: Execution) -> None:
        await self.send(BidAccepted(execution_id=execution.id))

    async def send_accepted(self, execution_id: str) -> None:
        await self.send(BidAccepted(execution_id=execution_id))

    async def cancel(self, execution: Execution) -> None:
        await self.send(CancelExecution(execution_id=execution.id))

    async def next(self) -> ToOrchestrator:
        async with asyncio.timeout(WAIT_S):
            return await self.inbox.get()

    async def bid(self, execution: Execution) -> BidResult:
        await self.ask(execution)
        answer = await self.next()
        assert isinstance(answer, BidResult), answer
        assert answer.execution_id == execution.id
        return answer

    async def run(self, execution: Execution) -> RunResult | ComputeError:
        """Ask, accept, and return how it ended."""
        answer = await self.bid(execution)
        assert answer.accepted, answer.events
        await self.accept(execution)
        end = await self.next()
        assert isinstance(end, (RunResult, ComputeError)), end
        assert end.execution_id == execution.id
        return end

    async def free_cpu(self, cores: float) -> None:
        """Wait for a heartbeat that reports that many free cores."""

        def told() -> bool:
            beats = [it for it in self.control if isinstance(it, HeartbeatRequest)]
            return bool(beats) and beats[-1].available_capacity.cpu == cores

        async with asyncio.timeout(WAIT_S), self.heard:
            await self.heard.wait_for(told)

    async def hears(self, kind: type[ControlRequest], count: int = 1) -> list[ControlRequest]:
        """Wait for that many control requests of a kind."""
        async with asyncio.timeout(WAIT_S), self.heard:
            await self.heard.wait_for(lambda: sum(isinstance(it, kind) for it in self.control) >= count)
        return [it for it in self.control if isinstance(it, kind)]


class StubSource:
    """Writes one file; can be told to fail or to hang."""

    types: tuple[str, ...] = ("fake",)

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.fill: Callable[[Path], None] | None = None
        self.hang: asyncio.Event | None = None
        self.refusal = ""
        self.bytes = 0
        self.fetching = asyncio.Event()
        self.at_once = 0
        self.most_at_once = 0

    async def probe(self) -> Availability:
        return Availability(True)

    async def bid(self, execution: Execution, input_source: InputSource) -> Bid:
        return Bid(not self.refusal, self.refusal)

    async def size(self, execution: Execution, input_source: InputSource) -> int:
        return self.bytes

    async def fetch(self, request: FetchRequest) -> InputMount:
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        self.fetching.set()
        try:
            if self.hang is not None:
                await self.hang.wait()
            if self.error is not None:
                raise self.error
            assert list(request.directory.iterdir()) == []
            if self.fill is not None:
                self.fill(request.directory)
            (request.directory / "data.txt").write_text("hello")
            request.progress(Reading("downloading", 5, 5))
            await asyncio.sleep(0)
            return InputMount(request.directory, request.input.target)
        finally:
            self.at_once -= 1

    async def close(self) -> None:
        return


class StubPublisher:
    """Copies nothing, remembers what the result directory held."""

    type = "stub"

    def __init__(self) -> None:
        self.published: dict[str, dict[str, str]] = {}
        self.tries = 0
        self.error: Exception | None = None
        self.hang: asyncio.Event | None = None
        self.publishing = asyncio.Event()

    async def probe(self) -> Availability:
        return Availability(True)

    async def bid(self, execution: Execution, spec: SpecConfig) -> Bid:
        return ACCEPTED

    async def publish(self, request: PublishRequest) -> SpecConfig:
        self.tries += 1
        self.publishing.set()
        if self.hang is not None:
            await self.hang.wait()
        if self.error is not None:
            raise self.error
        entries = [entry.path for entry in walk(request.directory) if stat.S_ISREG(entry.info.st_mode)]
        files = {path: (request.directory / path).read_text() for path in entries}
        self.published[request.execution.id] = files
        return SpecConfig(type="stub", params={"Execution": request.execution.id})

    async def close(self) -> None:
        return


@dataclass
class World:
    """What survives a node: the tasks of an engine, as with a Docker daemon."""

    outcomes: dict[str, asyncio.Future[Outcome]] = field(default_factory=dict)
    requests: dict[str, RunRequest] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    cleaned: list[str] = field(default_factory=list)
    starting: asyncio.Event = field(default_factory=asyncio.Event)
    running: asyncio.Event = field(default_factory=asyncio.Event)
    hold_start: asyncio.Event | None = None
    swept: asyncio.Event = field(default_factory=asyncio.Event)
    start_error: Exception | None = None
    bid_error: Exception | None = None
    bid_note: str = ""
    refusal: str = ""
    deaf: bool = False
    """Cancelling does not help."""

    def end(self, execution: Execution, outcome: Outcome, stdout: bytes = b"") -> None:
        writer = LogWriter(self.requests[execution.id].log_path)
        if stdout:
            writer.write(STDOUT, stdout)
        writer.end()
        self.outcomes[execution.id].set_result(outcome)


class WorldEngine:
    """An engine over a `World`: a new instance finds what the one before it started."""

    type = "world"

    def __init__(self, world: World) -> None:
        self.world = world

    async def probe(self) -> Availability:
        return Availability(True, "world 1.0")

    async def bid(self, execution: Execution) -> Bid:
        if self.world.bid_error is not None:
            raise self.world.bid_error
        return Bid(not self.world.refusal, self.world.refusal, self.world.bid_note)

    async def start(self, request: RunRequest, progress: Progress = no_progress) -> str:
        world, identifier = self.world, request.execution.id
        world.starting.set()
        progress(Reading("pulling image", 45, 100))
        if world.hold_start is not None:
            await world.hold_start.wait()
        if world.start_error is not None:
            raise world.start_error
        if identifier not in world.outcomes:
            world.started.append(identifier)
            world.outcomes[identifier] = asyncio.get_running_loop().create_future()
        world.requests[identifier] = request
        world.running.set()
        return "world 1.0"

    async def attach(self, request: RunRequest) -> bool:
        return request.execution.id in self.world.outcomes

    async def wait(self, execution_id: str) -> Outcome:
        return await asyncio.shield(self.world.outcomes[execution_id])

    async def cancel(self, execution_id: str) -> None:
        self.world.cancelled.append(execution_id)
        future = self.world.outcomes.get(execution_id)
        if future is not None and not future.done() and not self.world.deaf:
            future.set_result(Outcome(EndReason.CANCELLED, 137))

    async def clean(self, execution_id: str) -> None:
        self.world.cleaned.append(execution_id)
        self.world.outcomes.pop(execution_id, None)
        self.world.swept.set()

    async def existing(self) -> list[str]:
        return list(self.world.outcomes)

    async def close(self) -> None:
        return


class Bench:
    """A compute node and its peer; `restart` replaces the node as a crash or a shutdown would."""

    def __init__(self, directory: Path, **settings: object) -> None:
        self.directory = directory
        self.carrier = MemoryTransport(wire=True)
        self.node_id = str(settings.get("node_id", "n-test"))
        self.peer = Peer(self.carrier, self.node_id)
        self.source = StubSource()
        self.publisher = StubPublisher()
        self.world = World()
        self.progress: list[tuple[Any, ...]] = []
        self.readings: list[Reading] = []
        self.progressed = asyncio.Event()
        self.host_env: dict[str, str] = {"AWS_REGION": "eu", "MY_AWS_X": "secret"}
        self.extra_engines: dict[str, Engine] = {}
        self.extra_sources: dict[str, Source] = {}
        self.extra_publishers: dict[str, Publisher] = {}
        self.reserve = 0
        self.machine: Machine | None = None
        self.engines: Mapping[str, Engine] | None = None
        defaults: dict[str, object] = {
            "node_id": self.node_id,
            "data_dir": directory / "compute",
            "probe_gpus": False,
            "heartbeat_interval_s": 60.0,
            "cancel_timeout_s": 2.0,
            "stop_timeout_s": 2.0,
            "probe_timeout_s": 2.0,
            "publish_delays_s": (),
            "disk_reserve": 65_536,
        }
        self.settings = ComputeSettings(**(defaults | settings))  # type: ignore[arg-type]
        self.node: ComputeNode
        self.database: Database

    def options(self) -> PluginOptions:
        return PluginOptions(node_id=self.node_id, data_dir=self.settings.data_dir)

    async def start(self) -> None:
        self.settings.data_dir.mkdir(parents=True, exist_ok=True)
        self.database = await Database.open(
            self.settings.data_dir / "state.db", MIGRATIONS, reserve=self.reserve
        )
        engines: Mapping[str, Engine] = self.engines or {
            "noop": NoopEngine(self.options()),
            "world": WorldEngine(self.world),
            **self.extra_engines,
        }
        self.node = ComputeNode(
            self.settings,
            self.carrier.compute_end(self.node_id),
            self.database,
            Plugins(
                engines,
                {"fake": self.source, **self.extra_sources},
                {"stub": self.publisher, **self.extra_publishers},
            ),
            SystemClock(),
            on_progress=self._note,
            host_env=self.host_env,
            machine=self.machine,
        )
        assert await self.node.start()

    async def crash(self) -> None:
        """Take the node away without any goodbye; what it had not stored is lost."""
        await self.carrier.nodes[self.node_id].close()
        parts = self.node._parts
        assert parts is not None
        for task in [*self.node._tasks, *parts.connection._tasks]:
            task.cancel()
        await asyncio.gather(*self.node._tasks, *parts.connection._tasks, return_exceptions=True)
        await parts.executions.close()
        parts.logs.close()
        # What a dead process can't do any more: its engines' threads must not go on writing logs.
        await self.node._equipment.plugins.close(WAIT_S)
        await self.database.close()

    async def restart(self) -> None:
        await self.start()

    async def stop(self) -> None:
        await self.node.stop()
        await self.database.close()

    async def idle(self) -> None:
        """Wait until no execution is live or being cleaned up."""
        async with asyncio.timeout(WAIT_S):
            await self.node.idle()

    async def reaches(self, execution: Execution, phase: str) -> None:
        """Wait until the progress of an execution has named a phase."""
        async with asyncio.timeout(WAIT_S):
            while not any(entry[:2] == (execution.id, phase) for entry in self.progress):
                self.progressed.clear()
                await self.progressed.wait()

    def _note(self, execution_id: str, reading: Reading) -> None:
        self.readings.append(reading)
        self.progress.append((execution_id, reading.phase, reading.done, reading.total))
        self.progressed.set()

    def free(self) -> Resources:
        return self.node.capacity.available


@contextlib.asynccontextmanager
async def bench(
    directory: Path, *, machine: Machine | None = None, **settings: object
) -> AsyncIterator[Bench]:
    it = Bench(directory, **settings)
    it.machine = machine
    await it.peer.serve()
    await it.start()
    try:
        yield it
    finally:
        await it.stop()
