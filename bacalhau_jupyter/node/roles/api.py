"""Starts a node's API: its authentication, its routes and its listeners."""

from __future__ import annotations

import logging
import socket
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from bacalhau_jupyter.api.app import build_app
from bacalhau_jupyter.api.base import ApiServices
from bacalhau_jupyter.api.http.serving import Gatekeeper
from bacalhau_jupyter.api.services.agent import AgentService
from bacalhau_jupyter.api.services.hosts import HostService
from bacalhau_jupyter.api.services.kept import DiskCleaner
from bacalhau_jupyter.auth.access import Access
from bacalhau_jupyter.auth.challenge import ChallengeMethod, LoginMethods
from bacalhau_jupyter.auth.peers import ProcessTable
from bacalhau_jupyter.auth.policies.order import PolicyOrder
from bacalhau_jupyter.auth.sockets import TrustedSockets
from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.lib.problems import Problems
from bacalhau_jupyter.lib.telemetry.base import Telemetry
from bacalhau_jupyter.models.errors import ConfigurationError
from bacalhau_jupyter.node import settings
from bacalhau_jupyter.node.addresses import serve_results
from bacalhau_jupyter.node.browse import DataPlaces, LocalPaths
from bacalhau_jupyter.node.browse_remote import IpfsPins, S3Buckets
from bacalhau_jupyter.node.doors.listening import Doors
from bacalhau_jupyter.node.doors.webui import WebPage, start_webui
from bacalhau_jupyter.node.joining.clusters import Joining
from bacalhau_jupyter.node.result_files import NodeResultFiles
from bacalhau_jupyter.node.results import LocalResults
from bacalhau_jupyter.node.roles.audit import start_audit
from bacalhau_jupyter.node.roles.halves import Halves
from bacalhau_jupyter.node.roles.kept.received import EveryCleaner
from bacalhau_jupyter.node.roles.orchestrator import OrchestratorHalf
from bacalhau_jupyter.node.roles.stopping import bounded
from bacalhau_jupyter.node.roles.trust import authenticators, has_new_authentication, policies
from bacalhau_jupyter.tls.front import Certificates
from bacalhau_jupyter.tls.settings import certified_names

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Serving:
    """What the API needs from its node.

    Attributes
    ----------
    hosts
        None on a node that only runs jobs.
    placing
        None on such a node.
    orchestrators
        Where such a node takes its jobs from.
    certificates
        What the listeners show; None where they speak plain HTTP.
    processes
        Judges who holds the other end of a connection.
    embedded
        Whether the node belongs to notebooks.
    """

    config: Config
    repo: Repo
    node_id: str
    agent: AgentService
    halves: Halves
    joining: Joining
    hosts: HostService | None
    placing: OrchestratorHalf | None
    orchestrators: Sequence[str]
    results: LocalResults
    certificates: Certificates | None
    processes: ProcessTable | None
    embedded: bool
    clock: Clock
    problems: Problems
    telemetry: Telemetry


@dataclass(frozen=True)
class OpenApi:
    """A running API.

    Attributes
    ----------
    page
        The web page; None without one.
    """

    result_files: NodeResultFiles
    page: WebPage | None = None


async def start_api(stack: AsyncExitStack, listener: socket.socket, serving: Serving) -> OpenApi:
    """Answer at a listening socket until ``stack`` is closed.

    Raises
    ------
    BacalhauError
        Its configuration is wrong, or a port can't be listened on.
    """
    config, clock, halves, placing = serving.config, serving.clock, serving.halves, serving.placing
    trusted = TrustedSockets(enabled=config["API.TrustLocalUser"], processes=serving.processes)
    stack.callback(trusted.close)
    names = (config["API.Host"], *config["API.Names"], *certified_names(config))
    known = authenticators(config, serving.repo.api_key(), clock, stack)
    files = NodeResultFiles(
        settings.compute_dir(config, serving.repo),
        serving.results.sign,
        config["Publishers.Types.IPFS.Endpoint"] or "",
        clock,
        settings.s3_access(config),
        received=settings.received_dir(config, serving.repo),
        others=lambda: halves.directories,
        reach=settings.reach(config),
    )
    stack.push_async_callback(bounded, "results", files.close)
    access = Access(known, trusted, host_names=names, clock=clock)
    login, policy = await _login(stack, serving, access)
    services = ApiServices(
        agent=serving.agent,
        access=access,
        challenge=login,
        policy=policy,
        orchestrator=None if placing is None else placing.orchestrator,
        orchestrators=serving.orchestrators,
        results=serving.results,
        receiver=None if placing is None else placing.received,
        result_files=files,
        data=_data_places(stack, serving),
        cleaner=_cleaner(serving),
        environments=halves.environments,
        packages=halves.packages,
        images=halves.images if len(halves) else None,
        uploads=None if placing is None else placing.uploads,
        cluster=None if placing is None else placing.clustering(),
        joining=serving.joining,
        hosts=serving.hosts,
        telemetry=serving.telemetry,
        audit=await start_audit(stack, config, serving.repo, clock, serving.problems),
    )
    doors = Doors(Gatekeeper(services.access), serving.certificates)
    await doors.open(stack, build_app(services), listener, "API")
    if (address := settings.link_address(config)).listens:
        await serve_results(stack, address, services, doors)
    page = await _start_page(stack, serving, services, doors) if config["WebUI.Enabled"] else None
    return OpenApi(files, page)


def _cleaner(serving: Serving) -> DiskCleaner | None:
    if serving.placing is not None:
        return EveryCleaner(serving.halves, serving.placing.received)
    return serving.halves if len(serving.halves) else None


async def _start_page(
    stack: AsyncExitStack, serving: Serving, services: ApiServices, doors: Doors
) -> WebPage | None:
    try:
        page = await start_webui(stack, serving.config, services, doors=doors, clock=serving.clock)
    except ConfigurationError as error:
        # Notebooks need this node, with or without the page.
        if not serving.embedded:
            raise
        log.warning("%s", error.message)
        return None
    log.info("the web page is at %s", page.url)
    return page


async def _login(
    stack: AsyncExitStack, serving: Serving, access: Access
) -> tuple[LoginMethods | None, PolicyOrder | None]:
    """Return how callers get a token, and the policy that judges requests where there is one."""
    config, clock = serving.config, serving.clock
    if has_new_authentication(config):
        return None, None
    rego = await policies(config, serving.repo, serving.node_id, clock, stack)
    if rego is None:
        return ChallengeMethod(serving.node_id, clock), None
    order = None if rego.access is None else PolicyOrder(access, rego.access, rego.key)
    return rego.methods, order


def _data_places(stack: AsyncExitStack, serving: Serving) -> DataPlaces | None:
    if not len(serving.halves):
        return None
    config = serving.config
    disabled = {name.lower() for name in config["InputSources.Disabled"]}
    buckets = S3Buckets(serving.clock, enabled=lambda: "s3" not in disabled)
    stack.push_async_callback(bounded, "data places", buckets.close)
    hidden = settings.hidden_paths(config, serving.repo)
    local = LocalPaths(lambda: config["Compute.AllowListedLocalPaths"], hidden)
    ipfs = "" if "ipfs" in disabled else config["InputSources.Types.IPFS.Endpoint"] or ""
    return DataPlaces(local, buckets, IpfsPins(ipfs))
