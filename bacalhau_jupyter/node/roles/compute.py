"""One compute half of a node process: its plug-ins, its database, and the compute node that they make."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from bacalhau_jupyter.compute.host.account import Account
from bacalhau_jupyter.compute.host.machine import Machine
from bacalhau_jupyter.compute.host.ports import HeldPorts
from bacalhau_jupyter.compute.link.store import MIGRATIONS
from bacalhau_jupyter.compute.node import ComputeNode
from bacalhau_jupyter.compute.plugins import Plugins
from bacalhau_jupyter.compute.settings import ComputeSettings
from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.lib.database import Database
from bacalhau_jupyter.lib.problems import Problems
from bacalhau_jupyter.lib.reserve import Reserve
from bacalhau_jupyter.lib.telemetry.base import SILENT, Telemetry
from bacalhau_jupyter.models.jobs.spec import ResourcesConfig
from bacalhau_jupyter.models.records.packages import SOURCE as PACKAGES
from bacalhau_jupyter.models.records.progress import Reading
from bacalhau_jupyter.node import environments, settings
from bacalhau_jupyter.node.joining.elsewhere import Elsewhere
from bacalhau_jupyter.node.roles.database import open_database
from bacalhau_jupyter.node.roles.failing import FailingEngine
from bacalhau_jupyter.node.roles.stopping import bounded
from bacalhau_jupyter.node.upload_service import NodeUploads
from bacalhau_jupyter.node.uploads import OrchestratorUploads
from bacalhau_jupyter.orchestrator.service import Orchestrator
from bacalhau_jupyter.plugins.engine import Engine, Environments
from bacalhau_jupyter.plugins.options import PluginOptions, ResultReferences
from bacalhau_jupyter.plugins.registry import (
    ENGINES,
    PUBLISHERS,
    SOURCES,
    Loaded,
    installed,
    load_engines,
    load_publishers,
    load_sources,
)
from bacalhau_jupyter.plugins.source import KeepsPackages, Packages
from bacalhau_jupyter.publishers.received import ReceivedResults
from bacalhau_jupyter.transfer.s3.links.managed import ManagedBucket
from bacalhau_jupyter.transport.base import ComputeTransport

log = logging.getLogger(__name__)

JOIN_TIMEOUT_S = 20.0
"""Seconds that the start waits for a compute half; official clients fail jobs that find no node."""

JOINING_LIMIT_S = 10.0
"""Seconds at most between two tries to join an orchestrator elsewhere, which may be away for long."""


@dataclass(frozen=True)
class FarHost:
    """What a compute half offers that works on a machine elsewhere.

    Attributes
    ----------
    machine
        What that machine has.
    engines
        Makes the engines, by type; no others are loaded.
    called
        What people call that machine, such as "host gpu1".
    labels
        Of the node.
    allocated
        How much of the machine jobs may use.
    unavailable
        Says why the node takes nothing new at present; empty where it does.
    is_away
        Says whether the machine can't be reached.
    """

    machine: Machine
    engines: Callable[[PluginOptions], Mapping[str, Engine]]
    called: str
    labels: Mapping[str, str]
    allocated: ResourcesConfig
    unavailable: Callable[[], str] = lambda: ""
    is_away: Callable[[], bool] = lambda: False


@dataclass(frozen=True)
class Place:
    """Where a compute half lies, and how it differs from the others of its process.

    Attributes
    ----------
    data_dir
        Its own directory.
    database
        None keeps its records in memory.
    problems
        List of its failed background tasks.
    keeps_room
        Whether its database keeps room of its own for when the disk is full.
    is_bad
        Whether it fails all that it runs (a devstack's bad node).
    elsewhere
        The orchestrator that it joins, where that is not the one of this process.
    shares_machine
        Whether it offers the same CPUs, memory and GPUs as others of the process that do.
    far
        The machine elsewhere that it offers; None for the one of this process.
    """

    node_id: str
    config: Config
    data_dir: Path
    database: Path | None
    problems: Problems
    keeps_room: bool = False
    is_bad: bool = False
    elsewhere: Elsewhere | None = None
    shares_machine: bool = False
    far: FarHost | None = None


@dataclass(frozen=True)
class Surroundings:
    """What the compute halves of a process share.

    Attributes
    ----------
    transport_of
        Makes the compute end of a carrier for a node ID.
    reserve
        Room that is given back when the disk is full: the halves lie on one disk.
    orchestrator, uploads, received
        Those of this process; None on a node that only runs jobs.
    references
        Stand for results, for an orchestrator elsewhere.
    account
        What is held of this machine.
    """

    repo: Repo
    reserve: Reserve
    hidden: tuple[Path, ...]
    transport_of: Callable[[str], ComputeTransport]
    orchestrator: Orchestrator | None
    uploads: NodeUploads | None
    references: Callable[[Elsewhere], ResultReferences]
    managed: ManagedBucket | None
    received: ReceivedResults | None
    clock: Clock
    telemetry: Telemetry = SILENT
    installed: Mapping[str, Sequence[EntryPoint]] = field(default_factory=installed)
    held_ports: HeldPorts = field(default_factory=dict)
    account: Account = field(default_factory=Account)


@dataclass
class ComputeHalf:
    """A running compute half.

    Attributes
    ----------
    engines
        What runs tasks.
    plugin_problems
        Why plug-ins are off, by kind and name.
    packages_source
        The source of Python packages, which another half of the process may share.
    """

    node: ComputeNode
    environments: Environments | None = None
    packages: Packages | None = None
    plugin_problems: dict[str, str] = field(default_factory=dict)
    packages_source: Any = None
    engines: Sequence[Engine] = ()
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def stop(self) -> None:
        """Leave the orchestrator; safe to call twice."""
        await self._stack.aclose()


async def start_half(around: Surroundings, place: Place, packages_source: Any = None) -> ComputeHalf:
    """Start a compute half and wait until it joined, for a while.

    Parameters
    ----------
    packages_source
        Another half's source of packages, to be used in place of an own one.

    Raises
    ------
    BacalhauError
        It can't start; nothing of it is left running.
    """
    async with AsyncExitStack() as stack:
        half = await _start(stack, around, place, packages_source)
        half._stack = stack.pop_all()
    return half


async def _start(
    stack: AsyncExitStack, around: Surroundings, place: Place, packages_source: Any
) -> ComputeHalf:
    config = place.config
    database = await _database(stack, around, place)
    compute_settings = dataclasses.replace(
        settings.compute_settings(config, around.repo, place.node_id), data_dir=place.data_dir
    )
    there, far = place.elsewhere, place.far
    if far is not None:
        compute_settings = _far_settings(compute_settings, far)
    if there is not None:
        compute_settings = dataclasses.replace(compute_settings, reconnect_limit_s=JOINING_LIMIT_S)
    end = (
        around.transport_of(place.node_id)
        if there is None
        else there.end(place.node_id, around.repo, around.clock)
    )
    options = PluginOptions(
        node_id=place.node_id,
        data_dir=place.data_dir,
        settings=config.get,
        hidden=around.hidden,
        clock=around.clock,
        upload_links=_upload_links(around, place, end),
        writable=environments.writable(lambda: config["Compute.AllowListedLocalPaths"]),
        results=None if there is None else around.references(there),
        **_known_here(around, place, lambda: node),
    )
    problems: dict[str, str] = {}
    loaded = _engines(around, place, options)
    engines = _plugins("engine", loaded, problems)
    environment_keeper = environments.keeper(engines.values())
    sources = _plugins(
        "source",
        load_sources(options, config["InputSources.Disabled"], around.installed[SOURCES]),
        problems,
    )
    if packages_source is not None and PACKAGES.lower() in sources:
        sources[PACKAGES.lower()] = packages_source
    keeping = next((each for each in sources.values() if isinstance(each, KeepsPackages)), None)
    publishers = _plugins(
        "publisher",
        load_publishers(options, config["Publishers.Disabled"], around.installed[PUBLISHERS]),
        problems,
    )
    if place.is_bad:
        engines = {kind: FailingEngine(engine) for kind, engine in engines.items()}
    node = ComputeNode(
        compute_settings,
        end,
        database,
        Plugins(engines, sources, publishers, loaded.problems),
        around.clock,
        on_progress=_progress(lambda: node, None if there is not None else around.orchestrator),
        problems=place.problems,
        reserve=around.reserve,
        telemetry=around.telemetry,
        held_ports=around.held_ports if far is None else None,
        account=around.account if place.shares_machine else None,
        machine=None if far is None else far.machine,
    )
    if far is not None:
        node.set_unavailable(far.unavailable(), is_away=far.is_away())
    stack.push_async_callback(bounded, f"compute role of {place.node_id}", node.stop)
    if environment_keeper is not None:
        # Nothing waits for this: a kernel registers its own environment itself.
        own = asyncio.create_task(environments.register_own(environment_keeper), name="own Python")
        stack.push_async_callback(bounded, "registering the node's own Python", lambda: own)
    if not await node.start(JOIN_TIMEOUT_S, one_try=there is not None):
        log.warning("the compute role of %s has not joined yet: %s", place.node_id, node.problem)
    packages = None if keeping is None else keeping.packages
    return ComputeHalf(node, environment_keeper, packages, problems, keeping, list(engines.values()))


async def _database(stack: AsyncExitStack, around: Surroundings, place: Place) -> Database:
    if place.database is not None:
        reserve = around.reserve if place.keeps_room else None
        return await open_database(
            stack, place.config, around.repo, path=place.database, migrations=MIGRATIONS, reserve=reserve
        )
    # A thread for each of a thousand halves would take longer than what they store.
    database = Database.small(MIGRATIONS)
    stack.push_async_callback(bounded, "database", database.close)
    return database


def _upload_links(around: Surroundings, place: Place, end: ComputeTransport) -> OrchestratorUploads | None:
    """Return what asks the orchestrator for a place for results; one elsewhere may have one, as far as is known."""
    if place.elsewhere is not None:
        return OrchestratorUploads(end, None)
    if around.managed is not None:
        return OrchestratorUploads(end, around.managed)
    return None if around.received is None else OrchestratorUploads(end, None, around.received.keep)


def _known_here(around: Surroundings, place: Place, node: Callable[[], ComputeNode]) -> dict[str, Any]:
    """Return what plug-ins can know of jobs and their files: all of it only where this process places them."""
    if place.elsewhere is not None or around.orchestrator is None or around.uploads is None:

        async def live() -> Collection[str]:
            return [record.execution.id for record in node().live()]

        return {"unfinished": live}
    needed = partial(around.uploads.needed_executions, around.orchestrator)
    return {"stored": around.uploads.stored, "unfinished": needed}


def _progress(
    node: Callable[[], ComputeNode], orchestrator: Orchestrator | None
) -> Callable[[str, Reading], None] | None:
    """Show watchers how far an execution is; the messages between the roles have no word for it."""
    if orchestrator is None:
        return None

    def progress(execution_id: str, reading: Reading) -> None:
        record = next((each for each in node().live() if each.execution.id == execution_id), None)
        if record is not None:
            job_id = record.execution.job_id
            orchestrator.progress(job_id, execution_id, node().settings.node_id, reading)

    return progress


def _engines(around: Surroundings, place: Place, options: PluginOptions) -> Loaded[Engine]:
    if place.far is None:
        return load_engines(options, _disabled_engines(place.config), around.installed[ENGINES])
    return Loaded(dict(place.far.engines(options)))


def _far_settings(before: ComputeSettings, far: FarHost) -> ComputeSettings:
    """Return the settings of a half that offers a machine elsewhere: what is said of this one does not hold there."""
    return dataclasses.replace(
        before,
        labels=far.labels,
        allocated=far.allocated,
        address="",
        probe_gpus=False,
        called=far.called,
    )


def _disabled_engines(config: Config) -> list[str]:
    disabled: list[str] = config["Engines.Disabled"]
    return disabled if config["Engines.Process.Enabled"] else [*disabled, "process"]


def _plugins(kind: str, loaded: Loaded[Any], problems: dict[str, str]) -> dict[str, Any]:
    for name, problem in loaded.problems.items():
        log.warning("%s %s is off: %s", kind, name, problem)
        problems[f"{kind} {name}"] = problem
    return dict(loaded.plugins)
