"""The half of a node that places jobs: its database, its uploads, and its links to nodes near and far."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

from bacalhau_jupyter.config.config import Config
from bacalhau_jupyter.config.repo import Repo
from bacalhau_jupyter.lib.clock import Clock
from bacalhau_jupyter.lib.problems import Problems
from bacalhau_jupyter.lib.reserve import Reserve
from bacalhau_jupyter.lib.telemetry.base import Telemetry
from bacalhau_jupyter.models.records.node import NodeInfo
from bacalhau_jupyter.node import settings
from bacalhau_jupyter.node.cluster.far import far_url
from bacalhau_jupyter.node.cluster.link import Link
from bacalhau_jupyter.node.cluster.opener import LinkOpener
from bacalhau_jupyter.node.cluster.plan import split_host
from bacalhau_jupyter.node.cluster.service import Clustering
from bacalhau_jupyter.node.results import LocalResults
from bacalhau_jupyter.node.roles.database import open_database
from bacalhau_jupyter.node.roles.kept.received import NO_ADDRESS, keep_for, start_received
from bacalhau_jupyter.node.roles.kept.uploads import start_uploads
from bacalhau_jupyter.node.roles.stopping import bounded
from bacalhau_jupyter.node.upload_service import NodeUploads
from bacalhau_jupyter.orchestrator.base import NodeQuery
from bacalhau_jupyter.orchestrator.service import Orchestrator
from bacalhau_jupyter.orchestrator.store.identities import StoredIdentities
from bacalhau_jupyter.orchestrator.store.schema import MIGRATIONS
from bacalhau_jupyter.publishers.received import ReceivedResults
from bacalhau_jupyter.transfer.s3.links.managed import ManagedBucket
from bacalhau_jupyter.transport.base import OrchestratorTransport
from bacalhau_jupyter.transport.joined import JoinedOrchestratorEnd


@dataclass(frozen=True)
class Placing:
    """What the half needs from its node.

    Attributes
    ----------
    near
        The orchestrator's end towards nodes of this process.
    has_near
        Whether a node ID belongs to this process.
    info
        Describes the node.
    url
        The API as clients of this machine dial it; empty before it listens.
    embedded
        Whether the node belongs to notebooks.
    """

    config: Config
    repo: Repo
    node_id: str
    near: OrchestratorTransport
    has_near: Callable[[str], bool]
    info: Callable[[], NodeInfo]
    url: Callable[[], str]
    embedded: bool
    results: LocalResults
    reserve: Reserve
    managed: ManagedBucket | None
    clock: Clock
    problems: Problems
    telemetry: Telemetry


class OrchestratorHalf:
    """The running half. Made by `start_orchestrator`.

    Attributes
    ----------
    orchestrator, uploads, received
        What places jobs, what clients send ahead of them, and results that nodes elsewhere send.
    link
        The way to nodes of other processes; opened by `Link.start`.
    """

    def __init__(
        self,
        placing: Placing,
        orchestrator: Orchestrator,
        uploads: NodeUploads,
        received: ReceivedResults,
        link: Link,
    ) -> None:
        self.orchestrator = orchestrator
        self.uploads = uploads
        self.received = received
        self.link = link
        self._placing = placing

    def far_url(self) -> str:
        """Return the base URL at which nodes of other processes reach the API; empty where they don't."""
        return _far_url(self._placing, self.link)

    def clustering(self) -> Clustering:
        """Return what tells of the link, and changes it."""
        return Clustering(
            self.link,
            lambda: self.orchestrator.nodes(NodeQuery()),
            self._placing.has_near,
            self.far_url,
            self.orchestrator.cut_off,
        )


async def start_orchestrator(stack: AsyncExitStack, placing: Placing) -> OrchestratorHalf:
    """Start to place jobs, on nodes of this process; ``stack`` ends it.

    Raises
    ------
    BacalhauError
        It can't start.
    """
    config, repo = placing.config, placing.repo
    uploads = await start_uploads(config, repo, placing.clock, placing.results)
    received = await start_received(config, repo, placing.clock)
    database = await open_database(
        stack,
        config,
        repo,
        path=settings.database_path(config, repo.orchestrator_db),
        migrations=MIGRATIONS,
        reserve=placing.reserve,
    )
    joint = JoinedOrchestratorEnd(placing.near, placing.has_near)
    link = Link(
        config,
        repo,
        joint,
        LinkOpener(
            placing.node_id,
            repo,
            StoredIdentities(database),
            placing.has_near,
            clock=placing.clock,
            problems=placing.problems,
        ),
        embedded=placing.embedded,
        clock=placing.clock,
        problems=placing.problems,
    )
    reached_at = partial(_far_url, placing, link)

    def own_link(job_id: str, execution_id: str) -> str:
        return received.url(execution_id, reached_at())

    def link_here(job_id: str, execution_id: str) -> str:
        return received.url(execution_id, placing.url())

    managed = placing.managed
    orchestrator = Orchestrator(
        settings.orchestrator_settings(config, repo, placing.node_id),
        database,
        joint,
        clock=placing.clock,
        upload_signer=own_link if managed is None else managed.upload_url,
        upload_problem=lambda: NO_ADDRESS if managed is None and not reached_at() else "",
        upload_signer_here=link_here if managed is None else None,
        problems=placing.problems,
        renew_links=uploads.renewed,
        telemetry=placing.telemetry,
        own_info=None if config["Compute.Enabled"] else placing.info,
        far_address=reached_at,
    )
    uploads.keep_for(orchestrator)
    keep_for(received, orchestrator, uploads)
    stack.push_async_callback(bounded, "orchestrator", orchestrator.close)
    await orchestrator.start()
    return OrchestratorHalf(placing, orchestrator, uploads, received, link)


def _far_url(placing: Placing, link: Link) -> str:
    if not placing.url():
        return ""
    plan = link.plan
    host = "" if plan is None else split_host(plan.advertise)[0]
    is_public = plan is not None and plan.is_public
    return far_url(placing.config, placing.url(), advertised_host=host, is_link_public=is_public)
