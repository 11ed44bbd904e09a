"""One Docker host at work: its link, its machine, its compute half, and what is told of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Mapping
from pathlib import Path

import msgspec

from bacalhau_jupyter.compute.host.far import FarMachine
from bacalhau_jupyter.compute.node import ComputeNode
from bacalhau_jupyter.config.files import write_atomic
from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.lib.problems import Problems, sentence
from bacalhau_jupyter.lib.text import read_text
from bacalhau_jupyter.lib.times import rfc3339
from bacalhau_jupyter.models.codec import decode, encode
from bacalhau_jupyter.models.errors import BadRequest, IOFailure
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.records.hosts import LABEL, HostFacts, HostRecord, HostState
from bacalhau_jupyter.node.hosts.copying import Copying
from bacalhau_jupyter.node.hosts.mirror import mirror
from bacalhau_jupyter.node.hosts.ways import Way
from bacalhau_jupyter.node.hosts.written.entries import HostEntry
from bacalhau_jupyter.node.roles.compute import FarHost, Place
from bacalhau_jupyter.node.roles.halves import Halves
from bacalhau_jupyter.node.roles.places import Places
from bacalhau_jupyter.plugins.engine import Engine
from bacalhau_jupyter.plugins.link import HostStatus
from bacalhau_jupyter.plugins.options import PluginOptions

log = logging.getLogger(__name__)

FACTS, DEVICES = "facts.json", "devices"


class Host:
    """A host, from `start` to `stop`.

    Parameters
    ----------
    entry
        How it is written down.
    way
        What leads there; started and closed here.
    halves
        The compute halves of this process.
    places
        Where halves lie.
    problems
        Where it is shown that its half does not start.

    Attributes
    ----------
    directory
        Where all that is kept of it lies.
    is_removing
        Whether it takes nothing new because it is being removed.
    copying
        What is being copied there at somebody's order.
    """

    def __init__(
        self, entry: HostEntry, way: Way, halves: Halves, places: Places, *, clock: Clock, problems: Problems
    ) -> None:
        self.entry = entry
        self.way = way
        self.node_id = places.host_node_id(entry.name)
        self.is_removing = False
        self.copying = Copying(entry.name, lambda: "" if self.status.is_ready else self.status.problem)
        self._halves = halves
        self._places = places
        self._clock = clock
        self._problems = problems
        self._engine: Engine | None = None
        self._trouble = ""
        # The sentence, and what helps; None until its engine was compared with others.
        self._twin: tuple[str, str] | None = None
        self._changed_ns = clock.now_ns()
        self._leave = way.link.watch(self._on_status)
        self._starting: asyncio.Task[None] | None = None
        self.directory = places.host_directory(entry.name)
        self._keeping = threading.Lock()
        self._facts_file = self.directory / FACTS
        self.machine = FarMachine(
            way.link,
            way.questions,
            self.node_id,
            clock,
            last_facts=_read_facts(self._facts_file),
            keep=self._keep_facts,
            gpus=entry.gpus,
        )

    @property
    def name(self) -> str:
        """What people call it."""
        return self.entry.name

    @property
    def node(self) -> ComputeNode | None:
        """Its compute node; None until that runs."""
        return self._halves.nodes().get(self.node_id)

    @property
    def engine(self) -> Engine | None:
        """Its engine; None until its compute node runs."""
        return self._engine

    @property
    def status(self) -> HostStatus:
        """How the way to it is."""
        return self.way.link.status

    @property
    def state(self) -> HostState:
        """How it is, as people are told."""
        if self.is_removing:
            return HostState.REMOVING
        if self.entry.paused:
            return HostState.PAUSED
        state = self.status.state
        return HostState.REFUSED if state is HostState.READY and self._twin and self._twin[0] else state

    @property
    def unavailable(self) -> str:
        """Why it takes no new jobs, one sentence; empty where it does."""
        if self.is_removing:
            return f"host {self.name} is being removed"
        if self.entry.paused:
            return f"host {self.name} is paused"
        status = self.status
        if status.state is HostState.READY and self._twin is not None:
            return self._twin[0]
        return status.problem or f"host {self.name} is being connected"

    async def start(self) -> None:
        """Begin to connect, and start the compute half; nobody waits for either."""
        await self.way.link.start()
        self.offer()

    def offer(self) -> None:
        """Begin to start the compute half, which offers the host to jobs."""
        task = f"running jobs on host {self.name}"
        self._starting = asyncio.create_task(self._problems.keep(task, self._start_half), name=task)

    async def started(self, timeout_s: float | None) -> None:
        """Wait until the compute half runs, for a while; with None until it does."""
        if self._starting is not None:
            await asyncio.wait({self._starting}, timeout=timeout_s)

    async def stop(self) -> None:
        """Stop the compute half and close the way; what runs on the host goes on."""
        self._leave()
        await self.copying.stop()
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait({self._starting})
            self._problems.clear(self._starting.get_name())
        try:
            if self.node is not None:
                await self._halves.stop(self.node_id)
        finally:
            self._engine = None
            await self.way.link.close()

    @property
    def trouble(self) -> str:
        """What went wrong with it, beside the way there."""
        return self._trouble

    def tell(self, trouble: str) -> None:
        """Say what went wrong with it, beside the way there; empty: nothing."""
        self._trouble = trouble

    def set_twin(self, sentence: str, hint: str = "") -> None:
        """Take no jobs, because its engine has some already as another host or as this machine; empty: take them."""
        if self._twin != (sentence, hint):
            self._twin = (sentence, hint)
            self.changed()

    def changed(self) -> None:
        """Tell the orchestrator whether it takes jobs."""
        self._changed_ns = self._clock.now_ns()
        if (node := self.node) is not None:
            node.set_unavailable(self.unavailable, is_away=not self.status.is_ready)

    def record(self) -> HostRecord:
        """Describe it as it is now; waits for nothing."""
        entry, status, node = self.entry, self.status, self.node
        info = None if node is None else node.info()
        facts = self.machine.facts
        if facts is not None and info is not None:
            # The machine has them; whether its engine can hand them to containers, only the engine can say.
            problems = facts.gpu_problems | info.compute_node_info.gpu_problems
            facts = msgspec.structs.replace(facts, gpu_problems=problems)
        is_ready = status.state is HostState.READY
        twin, hint = self._twin or ("", "")
        since_ns = self._changed_ns if self.is_removing or entry.paused else status.since_ns
        return HostRecord(
            name=entry.name,
            url=self.way.address,
            context=entry.context,
            state=self.state,
            problem=self._trouble or twin if is_ready else status.problem or self._trouble,
            hint=hint if is_ready else status.hint,
            since=rfc3339(since_ns or self._changed_ns),
            way=status.way,
            node_id=self.node_id,
            labels=dict(entry.labels),
            capacity=Resources() if info is None else info.compute_node_info.max_capacity,
            free=Resources() if info is None else info.compute_node_info.available_capacity,
            executions=0 if node is None else len(node.live()),
            progress=self.copying.text,
            facts=facts,
        )

    def _on_status(self, status: HostStatus) -> None:
        log.info(
            "host %s is %s%s",
            self.name,
            status.state.value.lower(),
            f": {status.problem}" if status.problem else "",
        )
        self.changed()
        self.copying.tell()

    async def _start_half(self) -> None:
        if self.node is not None:
            return
        try:
            await self._halves.start([self._place()])
        except Exception as error:
            self._trouble = sentence(error)
            raise
        self._trouble = ""
        self.changed()

    def _place(self) -> Place:
        labels = {**self.entry.labels, LABEL: self.entry.name, "name": self.entry.name}
        far = FarHost(
            machine=self.machine,
            engines=self._engines,
            called=f"host {self.name}",
            labels=labels,
            allocated=self.entry.allocated,
            unavailable=lambda: self.unavailable,
            is_away=lambda: not self.status.is_ready,
        )
        return self._places.host(self.entry.name, far)

    def _engines(self, options: PluginOptions) -> Mapping[str, Engine]:
        engine = self._engine = self.way.engine(options, self.directory / DEVICES)
        return {engine.type: engine}

    def _keep_facts(self, facts: HostFacts) -> None:
        """Keep what was seen: a node that is started while the host is away knows its size."""
        # Two may ask at the same time, and this is on threads.
        with contextlib.suppress(OSError, IOFailure), self._keeping:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            mirror(self.directory / DEVICES, facts.device_files)
            write_atomic(self._facts_file, encode(facts).decode() + "\n")


def _read_facts(path: Path) -> HostFacts | None:
    try:
        return decode(read_text(path), HostFacts, "file")
    except (OSError, UnicodeError, BadRequest):
        return None
