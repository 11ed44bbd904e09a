"""One node process: its roles, its API, and the order in which they start and stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from aiohttp import web

from bacalhau_jupyter._version import __version__
from bacalhau_jupyter.api.app import FEATURES, build_runner
from bacalhau_jupyter.api.base import ApiServices
from bacalhau_jupyter.api.serving import Gatekeeper
from bacalhau_jupyter.auth.access import Access, TrustedSockets
from bacalhau_jupyter.auth.challenge import ChallengeMethod
from bacalhau_jupyter.auth.peers import ProcessTable
from bacalhau_jupyter.compute.link.store import MIGRATIONS as COMPUTE_MIGRATIONS
from bacalhau_jupyter.compute.node import ComputeNode
from bacalhau_jupyter.compute.plugins import Plugins
from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.config.election import NodeLock, NodeRecord
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.lib.clock import Clock, SystemClock
from bacalhau_jupyter.lib.database import Database, DatabaseError
from bacalhau_jupyter.lib.problems import Problems
from bacalhau_jupyter.lib.reserve import Reserve
from bacalhau_jupyter.models.codec import to_plain
from bacalhau_jupyter.models.errors import ConfigurationError, IOFailure
from bacalhau_jupyter.models.node import NodeInfo, NodeType
from bacalhau_jupyter.models.progress import Reading
from bacalhau_jupyter.node import environments, ports, settings
from bacalhau_jupyter.node.agent import NodeAgent
from bacalhau_jupyter.node.browse import DataPlaces, LocalPaths
from bacalhau_jupyter.node.browse_remote import IpfsPins, S3Buckets
from bacalhau_jupyter.node.leases import Leases
from bacalhau_jupyter.node.result_files import NodeResultFiles
from bacalhau_jupyter.node.results import LocalResults
from bacalhau_jupyter.node.uploads import OrchestratorUploads
from bacalhau_jupyter.node.version import build_version
from bacalhau_jupyter.node.webui import WebPage, start_webui
from bacalhau_jupyter.orchestrator.service import Orchestrator
from bacalhau_jupyter.orchestrator.store.schema import MIGRATIONS as ORCHESTRATOR_MIGRATIONS
from bacalhau_jupyter.plugins.engine import Environments
from bacalhau_jupyter.plugins.options import PluginOptions
from bacalhau_jupyter.plugins.registry import Loaded, load_engines, load_publishers, load_sources
from bacalhau_jupyter.transport.memory import MemoryTransport

log = logging.getLogger(__name__)

JOIN_TIMEOUT_S = 20.0
"""Seconds that the start waits for our own compute role; official clients fail jobs that find no node."""

_DATABASE_RESERVE = 1_000_000

STOP_TIMEOUT_S = 15.0
"""Seconds that each part may take to stop."""


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
    ) -> None:
        self.config = config
        self.repo = repo
        self.node_id = settings.node_name(config, repo, name)
        self.leases = Leases(clock)
        self.record: NodeRecord
        self.orchestrator: Orchestrator
        self.compute: ComputeNode | None = None
        self.page: WebPage | None = None
        self._embedded = embedded
        self._clock = clock
        self._processes = processes
        self._results: LocalResults
        self._managed = settings.managed_bucket(config, clock)
        self._problems: dict[str, str] = {}
        self._environments: Environments | None = None
        self.problems = Problems(clock)

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
            lambda: self.leases.until_superfluous(self.orchestrator.active_jobs, grace_s),
        )

    def info(self) -> NodeInfo:
        """Describe the node: as compute node where it is one."""
        if self.compute is not None:
            return self.compute.info()
        return NodeInfo(
            node_id=self.node_id,
            node_type=NodeType.REQUESTER,
            labels=self.config["Labels"],
            bacalhau_version=build_version(),
            features=list(FEATURES),
            jupyter_version=__version__,
        )

    def debug(self) -> dict[str, Any]:
        """Facts of the roles, by component."""
        facts: dict[str, Any] = {
            "Plugins": self._problems,
            "Problems": [problem.to_plain() for problem in self.problems.every()],
        }
        if self.compute is not None:
            facts["Compute"] = {
                "Joined": self.compute.joined,
                "Problem": self.compute.problem,
                "UnremovableDirectories": self.compute.unremovable,
                "LiveExecutions": [record.execution.id for record in self.compute.live()],
            }
            info = self.compute.info().compute_node_info
            kept = {"InputCache": info.input_cache, "LocalResults": info.local_results}
            facts["Storage"] = {name: to_plain(usage) for name, usage in kept.items() if usage is not None}
        return facts

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
        listener = stack.enter_context(contextlib.closing(self._listen()))
        carrier = MemoryTransport()
        self._results = LocalResults(
            settings.compute_dir(self.config, self.repo),
            self.repo.signing_key(),
            self.config["Results.URLExpiry"],
            self._clock,
            settings.s3_presigner(self.config, self._clock),
            self._managed,
            settings.link_address(self.config),
        )
        self.reserve = await self._keep_room()
        await self._start_orchestrator(stack, carrier)
        if self.config["Compute.Enabled"]:
            await self._start_compute(stack, carrier)
        await self._start_api(stack, listener)
        self.record = lock.publish(self.config["API.Host"], listener.getsockname()[1])
        log.info("node %s listens on %s", self.node_id, self.record.url)

    async def _keep_room(self) -> Reserve:
        """Keep room on the disk; what an earlier start kept is there for this one where the disk is full now."""
        directory = settings.compute_dir(self.config, self.repo)
        self.repo.directory(directory)
        reserve = Reserve(directory / "reserve", self.config["Node.DiskReserve"])
        if not await asyncio.to_thread(reserve.make) or await asyncio.to_thread(reserve.lacks_room):
            await asyncio.to_thread(reserve.give_back)
        return reserve

    def _listen(self) -> socket.socket:
        host, port = self.config["API.Host"], self.config["API.Port"]
        if not self._embedded or self.config.source("API.Port") != "default":
            return ports.listen(host, port)
        listener = ports.listen_embedded(host, port, self.repo)
        ports.remember_port(self.repo, listener.getsockname()[1])
        return listener

    async def _start_orchestrator(self, stack: AsyncExitStack, carrier: MemoryTransport) -> None:
        database = await self._database(stack, self.repo.orchestrator_db, ORCHESTRATOR_MIGRATIONS)
        self.orchestrator = Orchestrator(
            settings.orchestrator_settings(self.config, self.repo, self.node_id),
            database,
            carrier.orchestrator_end,
            self._clock,
            upload_signer=None if self._managed is None else self._managed.upload_url,
            problems=self.problems,
        )
        stack.push_async_callback(bounded, "orchestrator", self.orchestrator.close)
        await self.orchestrator.start()

    async def _start_compute(self, stack: AsyncExitStack, carrier: MemoryTransport) -> None:
        database = await self._database(stack, self.repo.compute_db, COMPUTE_MIGRATIONS)
        compute_settings = settings.compute_settings(self.config, self.repo, self.node_id)
        end = carrier.compute_end(self.node_id)
        options = PluginOptions(
            node_id=self.node_id,
            data_dir=compute_settings.data_dir,
            settings=self.config.get,
            hidden=settings.hidden_paths(self.config, self.repo),
            clock=self._clock,
            upload_links=None if self._managed is None else OrchestratorUploads(end, self._managed),
            writable=environments.writable(lambda: self.config["Compute.AllowListedLocalPaths"]),
            stored=self._results.stored,
            unfinished=self.orchestrator.unfinished_executions,
        )
        loaded = load_engines(options, self._disabled_engines())
        engines = self._plugins("engine", loaded)
        self._environments = environments.keeper(engines.values())
        sources = self._plugins("source", load_sources(options, self.config["InputSources.Disabled"]))
        publishers = self._plugins("publisher", load_publishers(options, self.config["Publishers.Disabled"]))
        self.compute = ComputeNode(
            compute_settings,
            end,
            database,
            Plugins(engines, sources, publishers, loaded.problems),
            self._clock,
            on_progress=self._progress,
            problems=self.problems,
            reserve=self.reserve,
        )
        stack.push_async_callback(bounded, "compute", self.compute.stop)
        if self._environments is not None:
            # Nothing waits for this: a kernel registers its own environment itself.
            own = asyncio.create_task(environments.register_own(self._environments), name="own Python")
            stack.push_async_callback(bounded, "registering the node's own Python", lambda: own)
        if not await self.compute.start(JOIN_TIMEOUT_S):
            log.warning("the compute role has not joined yet: %s", self.compute.problem)

    def _progress(self, execution_id: str, reading: Reading) -> None:
        """Show watchers how far an execution is; the messages between the roles have no word for it."""
        if self.compute is None or self.orchestrator is None:
            return
        record = next((each for each in self.compute.live() if each.execution.id == execution_id), None)
        if record is not None:
            self.orchestrator.progress(record.execution.job_id, execution_id, self.node_id, reading)

    async def _start_api(self, stack: AsyncExitStack, listener: socket.socket) -> None:
        trusted = TrustedSockets(enabled=self.config["API.TrustLocalUser"], processes=self._processes)
        stack.callback(trusted.close)
        names = (self.config["API.Host"], *self.config["API.Names"])
        results = self._results
        files = NodeResultFiles(
            settings.compute_dir(self.config, self.repo),
            results.sign,
            self.config["Publishers.Types.IPFS.Endpoint"] or "",
            self._clock,
            settings.s3_access(self.config),
        )
        stack.push_async_callback(bounded, "results", files.close)
        services = ApiServices(
            agent=NodeAgent(self.config, self.record.instance_id, self.leases, self.info, self.debug),
            access=Access(self.key, trusted, host_names=names, clock=self._clock),
            challenge=ChallengeMethod(self.node_id, self._clock),
            orchestrator=self.orchestrator,
            results=results,
            result_files=files,
            data=self._data_places(stack),
            cleaner=self.compute,
            environments=self._environments,
        )
        gatekeeper = Gatekeeper(services.access)
        runner = build_runner(services, gatekeeper)
        stack.push_async_callback(bounded, "API", runner.cleanup)
        await runner.setup()
        await web.SockSite(runner, listener).start()
        if self.config["WebUI.Enabled"]:
            await self._start_page(stack, services, gatekeeper)

    async def _start_page(self, stack: AsyncExitStack, services: ApiServices, gatekeeper: Gatekeeper) -> None:
        try:
            self.page = await start_webui(stack, self.config, services, gatekeeper, self.key, self._clock)
        except ConfigurationError as error:
            # Notebooks need this node, with or without the page.
            if not self._embedded:
                raise
            log.warning("%s", error.message)
        else:
            log.info("the web page is at %s", self.page.url)

    def _data_places(self, stack: AsyncExitStack) -> DataPlaces | None:
        if not self.config["Compute.Enabled"]:
            return None
        disabled = {name.lower() for name in self.config["InputSources.Disabled"]}
        buckets = S3Buckets(self._clock, enabled=lambda: "s3" not in disabled)
        stack.push_async_callback(bounded, "data places", buckets.close)
        hidden = settings.hidden_paths(self.config, self.repo)
        local = LocalPaths(lambda: self.config["Compute.AllowListedLocalPaths"], hidden)
        ipfs = "" if "ipfs" in disabled else self.config["InputSources.Types.IPFS.Endpoint"] or ""
        return DataPlaces(local, buckets, IpfsPins(ipfs))

    def _disabled_engines(self) -> list[str]:
        disabled: list[str] = self.config["Engines.Disabled"]
        return disabled if self.config["Engines.Process.Enabled"] else [*disabled, "process"]

    def _plugins(self, kind: str, loaded: Loaded[Any]) -> dict[str, Any]:
        for name, problem in loaded.problems.items():
            log.warning("%s %s is off: %s", kind, name, problem)
            self._problems[f"{kind} {name}"] = problem
        return loaded.plugins

    async def _database(self, stack: AsyncExitStack, default: Any, migrations: Any) -> Database:
        path = settings.database_path(self.config, default)
        if path is not None:
            self.repo.directory(path.parent)
            # SQLite gives its journals the mode of the file.
            path.touch(mode=0o600)
        # SQLite's WAL needs shared memory, which network file systems don't have.
        delete = path is not None and self.repo.on_network and not self.config["Node.StateDir"]
        if delete:
            log.warning("%s lies on a network file system: using a slower journal (see Node.StateDir)", path)
        try:
            database = await Database.open(
                path,
                migrations,
                "delete" if delete else "wal",
                # Ephemeral ones take no disk.
                reserve=0 if path is None else min(self.reserve.size, _DATABASE_RESERVE),
                make_room=self.reserve.give_back,
            )
        except DatabaseError as error:
            raise IOFailure(str(error), component="Node") from error
        stack.push_async_callback(bounded, "database", database.close)
        return database


@asynccontextmanager
async def running_node(
    config: Config,
    *,
    embedded: bool = False,
    name: str = "",
    clock: Clock | None = None,
    processes: ProcessTable | None = None,
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

    Raises
    ------
    BacalhauError
        The node can't start (another one runs, port in use, wrong setting); nothing is left running.
    """
    settings.check(config)
    repo = Repo(config.data_dir).create()
    async with AsyncExitStack() as stack:
        node = Node(
            config, repo, embedded=embedded, name=name, clock=clock or SystemClock(), processes=processes
        )
        await node.start(stack)
        yield node


async def bounded(what: str, stop: Callable[[], Awaitable[None]]) -> None:
    """Stop a part of the node within `STOP_TIMEOUT_S`; a part that fails does not keep the others from stopping."""
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await stop()
    except TimeoutError:
        log.error("the %s did not stop within %.0f s", what, STOP_TIMEOUT_S)
    except Exception:
        log.exception("the %s failed to stop", what)
