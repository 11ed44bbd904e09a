"""One node process: its roles, its API, and the order in which they start and stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from bacalhau_jupyter._version import __version__
from bacalhau_jupyter.auth.peers import ProcessTable
from bacalhau_jupyter.compute.node import ComputeNode
from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.config.election import NodeLock, NodeRecord, base_url
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.lib.clock import Clock, SystemClock
from bacalhau_jupyter.lib.problems import Problems
from bacalhau_jupyter.lib.telemetry.base import SILENT, Telemetry
from bacalhau_jupyter.models.errors import NotFound
from bacalhau_jupyter.models.records.node import NodeInfo
from bacalhau_jupyter.node import settings
from bacalhau_jupyter.node.agent import NodeAgent
from bacalhau_jupyter.node.cluster.link import Link
from bacalhau_jupyter.node.doors import ports
from bacalhau_jupyter.node.doors.webui import WebPage
from bacalhau_jupyter.node.hosts.docker import DockerWays
from bacalhau_jupyter.node.hosts.service import HostService
from bacalhau_jupyter.node.hosts.written.file import HostsFile
from bacalhau_jupyter.node.joining.clusters import Joining
from bacalhau_jupyter.node.joining.elsewhere import Elsewhere
from bacalhau_jupyter.node.joining.kept import KeptClusters
from bacalhau_jupyter.node.joining.results import LastingLinks, reachable_base
from bacalhau_jupyter.node.leases import Leases
from bacalhau_jupyter.node.portrait import Portrait
from bacalhau_jupyter.node.result_files import NodeResultFiles
from bacalhau_jupyter.node.results import LocalResults
from bacalhau_jupyter.node.roles import exposed
from bacalhau_jupyter.node.roles.api import Serving, start_api
from bacalhau_jupyter.node.roles.compute import Place, Surroundings
from bacalhau_jupyter.node.roles.database import keep_room
from bacalhau_jupyter.node.roles.halves import Halves
from bacalhau_jupyter.node.roles.orchestrator import OrchestratorHalf, Placing, start_orchestrator
from bacalhau_jupyter.node.roles.places import Places
from bacalhau_jupyter.node.roles.stopping import bounded
from bacalhau_jupyter.node.roles.trust import sign_on
from bacalhau_jupyter.orchestrator.service import Orchestrator
from bacalhau_jupyter.tls.settings import Encryption, encryption_of
from bacalhau_jupyter.transport.memory import MemoryTransport

log = logging.getLogger(__name__)


class Node:
    """A running node. Made by `running_node`."""

    def __init__(
        self,
        config: Config,
        repo: Repo,
        *,
        embedded: bool,
        name: str,
        clock: Clock,
        processes: ProcessTable | None = None,
        telemetry: Telemetry = SILENT,
        further: Sequence[Place] = (),
    ) -> None:
        self.config = config
        self.repo = repo
        self.node_id = settings.node_name(config, repo, name)
        self.leases = Leases(clock)
        self.record: NodeRecord
        self._placing: OrchestratorHalf | None = None
        self.halves = Halves()
        self.joining: Joining
        self.hosts: HostService | None = None
        self.page: WebPage | None = None
        self.encryption: Encryption | None = None
        self._embedded = embedded
        self._clock = clock
        self._processes = processes
        self._further = further
        self.result_files: NodeResultFiles
        # A node that only runs jobs takes them from somewhere else.
        self.elsewhere = None if config["Orchestrator.Enabled"] else Elsewhere.of(config)
        self._results: LocalResults
        self._managed = settings.managed_bucket(config, clock)
        self.problems = Problems(clock)
        self._portrait = Portrait(
            config, self.node_id, halves=self.halves, placing=lambda: self._placing, problems=self.problems
        )
        self._telemetry = telemetry

    @property
    def compute(self) -> ComputeNode | None:
        """Our own compute half; None where this node only places jobs."""
        return self.halves.nodes().get(self.node_id)

    @property
    def orchestrator(self) -> Orchestrator:
        """What places jobs; raises NotFound where this node only runs them."""
        if self._placing is None:
            raise NotFound("this node only runs jobs", component="Node")
        return self._placing.orchestrator

    @property
    def link(self) -> Link | None:
        """The way to nodes of other processes; None where this node only runs jobs."""
        return None if self._placing is None else self._placing.link

    @property
    def url(self) -> str:
        """Base URL of the API, as a client on this host dials it."""
        return self.record.url

    @property
    def key(self) -> str:
        """The API key."""
        return self.repo.api_key()

    async def until_superfluous(self) -> None:
        """Return once an embedded node has no users and no jobs."""
        grace_s = self.config["Node.GracePeriod"]
        await self.problems.keep(
            "checking whether this node is still needed",
            lambda: self.leases.until_superfluous(
                lambda: self._portrait.active_jobs(len(self.joining)), grace_s
            ),
        )

    def info(self) -> NodeInfo:
        """Describe the node: as compute node where it is one."""
        return self._portrait.info()

    async def start(self, stack: AsyncExitStack) -> None:
        """Start everything; ``stack`` undoes it in reverse order.

        Raises
        ------
        BacalhauError
            The node can't start; what was started is undone by ``stack``.
        """
        # The lock comes before the first database, the port before the first job is taken up again.
        lock = stack.enter_context(NodeLock.acquire(self.repo, __version__, str(uuid.uuid4())))
        self.record = lock.record
        self.encryption = await encryption_of(
            self.config, self.repo, self.node_id, self._clock, self.problems
        )
        listener = stack.enter_context(
            contextlib.closing(ports.of_api(self.config, self.repo, embedded=self._embedded))
        )
        carrier = MemoryTransport()
        self._results = LocalResults(
            settings.compute_dir(self.config, self.repo),
            self.repo.signing_key(),
            self.config["Results.URLExpiry"],
            self._clock,
            s3=settings.s3_presigner(self.config, self._clock),
            managed=self._managed,
            address=settings.link_address(self.config),
            received=settings.received_dir(self.config, self.repo),
            others=lambda: self.halves.directories,
        )
        self.reserve = await keep_room(self.config, self.repo)
        if self.config["Orchestrator.Enabled"]:
            self._placing = await start_orchestrator(stack, self._for_placing(carrier))
            self._keep(stack, "tidying up uploads", self._placing.uploads.store.run)
            self._keep(stack, "tidying up results", self._placing.received.run)
        scheme = "http" if self.encryption is None else "https"
        own_url = base_url(self.config["API.Host"], listener.getsockname()[1], scheme)
        await self._start_halves(stack, carrier, own_url)
        await self._start_api(stack, listener)
        if self.encryption is not None:
            # An authority checks on the port of the API.
            self._keep(stack, "looking after the certificate", self.encryption.certificates.watch)
        if self.link is not None:
            # Only now: nodes that join fetch from the API.
            stack.push_async_callback(bounded, "link between nodes", self.link.stop)
            await self.link.start()
        secrecy = {} if self.encryption is None else self.encryption.for_record()
        self.record = lock.publish(self.config["API.Host"], listener.getsockname()[1], **secrecy)
        self._telemetry.count(
            "bacalhau_node_info", attributes=settings.telemetry_labels(self.config, self.node_id)
        )
        log.info("node %s listens on %s", self.node_id, self.record.url)

    def _for_placing(self, carrier: MemoryTransport) -> Placing:
        return Placing(
            config=self.config,
            repo=self.repo,
            node_id=self.node_id,
            near=carrier.orchestrator_end,
            has_near=self._has_near,
            info=self._portrait.info,
            url=lambda: self.record.url if self.record.port else "",
            embedded=self._embedded,
            results=self._results,
            reserve=self.reserve,
            managed=self._managed,
            clock=self._clock,
            problems=self.problems,
            telemetry=self._telemetry,
        )

    def _has_near(self, node_id: str) -> bool:
        return node_id == self.node_id or self.halves.knows(node_id)

    def _keep(self, stack: AsyncExitStack, what: str, work: Callable[[], Awaitable[None]]) -> None:
        task = asyncio.create_task(self.problems.keep(what, work), name=what)
        stack.callback(task.cancel)

    def _references(self, own_url: str, there: Elsewhere) -> LastingLinks:
        base, problem = reachable_base(self.config, own_url, is_near=there.is_near)
        return LastingLinks(base, problem, self.repo.signing_key(), self._clock)

    async def _start_halves(self, stack: AsyncExitStack, carrier: MemoryTransport, own_url: str) -> None:
        self.halves.around = Surroundings(
            repo=self.repo,
            reserve=self.reserve,
            hidden=settings.hidden_paths(self.config, self.repo),
            transport_of=carrier.compute_end,
            orchestrator=None if self._placing is None else self._placing.orchestrator,
            uploads=None if self._placing is None else self._placing.uploads,
            references=partial(self._references, own_url),
            managed=self._managed,
            received=None if self._placing is None else self._placing.received,
            clock=self._clock,
            telemetry=self._telemetry,
        )
        stack.push_async_callback(self.halves.close)
        places = Places(self.config, self.repo, self.node_id, self._clock)
        own = [places.own(self.problems, self.elsewhere)] if self.config["Compute.Enabled"] else []
        await self.halves.start([*own, *self._further])
        self.joining = Joining(
            KeptClusters(self.repo),
            self.halves,
            places.joined,
            self.problems,
            lambda: "" if self.link is None else self.link.address,
        )
        stack.push_async_callback(self.joining.close)
        await self.joining.resume()
        if self._placing is not None:
            self.hosts = self._host_service(places, self._placing.orchestrator)
            stack.push_async_callback(bounded, "Docker hosts", self.hosts.close)
            await self.hosts.resume()

    def _host_service(self, places: Places, orchestrator: Orchestrator) -> HostService:
        async def forget(node_id: str) -> None:
            await orchestrator.change_node(node_id, "delete", "its host was removed")

        return HostService(
            HostsFile(self.repo.path),
            DockerWays(self.repo.path, self._clock),
            self.halves,
            places,
            clock=self._clock,
            problems=self.problems,
            forget=forget,
            stop=lambda job_id, reason: orchestrator.stop(job_id, reason=reason),
        )

    async def _start_api(self, stack: AsyncExitStack, listener: socket.socket) -> None:
        serving = Serving(
            config=self.config,
            repo=self.repo,
            node_id=self.node_id,
            agent=self._agent(),
            halves=self.halves,
            joining=self.joining,
            hosts=self.hosts,
            placing=self._placing,
            orchestrators=() if self.elsewhere is None else self.elsewhere.servers,
            results=self._results,
            certificates=None if self.encryption is None else self.encryption.certificates,
            processes=self._processes,
            embedded=self._embedded,
            clock=self._clock,
            problems=self.problems,
            telemetry=self._telemetry,
        )
        opened = await start_api(stack, listener, serving)
        self.result_files, self.page = opened.result_files, opened.page

    def _agent(self) -> NodeAgent:
        single_sign_on = sign_on(self.config)
        return NodeAgent(
            self.config,
            self.record.instance_id,
            self.leases,
            self._portrait.info,
            self._portrait.debug,
            {} if single_sign_on is None else single_sign_on.published,
        )


@asynccontextmanager
async def running_node(
    config: Config,
    *,
    embedded: bool = False,
    name: str = "",
    clock: Clock | None = None,
    processes: ProcessTable | None = None,
    telemetry: Telemetry = SILENT,
    further: Sequence[Place] = (),
) -> AsyncIterator[Node]:
    """Run a node on the current event loop for the duration.

    Parameters
    ----------
    config
        Its ``DataDir`` is the repo.
    embedded
        Whether the port may be another than the configured one.
    name
        Name for the node, where the repo has not given it one yet.
    processes
        Judges who holds the other end of a connection; by default a call from this process or its children is nobody's.
    telemetry
        Who is told what the node does; closed by the caller.
    further
        Compute halves beside the node's own (a devstack's).

    Raises
    ------
    BacalhauError
        The node can't start (another one runs, port in use, wrong setting); nothing is left running.
    """
    settings.check(config)
    for sentence in exposed.warnings(config):
        log.warning("%s", sentence)
    repo = Repo(config.data_dir).create()
    async with AsyncExitStack() as stack:
        node = Node(
            config,
            repo,
            embedded=embedded,
            name=name,
            clock=clock or SystemClock(),
            processes=processes,
            telemetry=telemetry,
            further=further,
        )
        await node.start(stack)
        yield node
