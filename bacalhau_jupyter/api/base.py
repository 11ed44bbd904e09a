"""Everything the routes work on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bacalhau_jupyter.api.services.agent import AgentService
from bacalhau_jupyter.api.services.cluster import ClusterService, JoiningService
from bacalhau_jupyter.api.services.data import DataBrowser
from bacalhau_jupyter.api.services.hosts import HostService
from bacalhau_jupyter.api.services.kept import DiskCleaner, Environments, ImageService, Packages
from bacalhau_jupyter.api.services.results import ResultFiles, ResultLinks, ResultReceiver
from bacalhau_jupyter.api.services.uploads import Uploads
from bacalhau_jupyter.auth.access import Access
from bacalhau_jupyter.auth.audit.log import AuditLog
from bacalhau_jupyter.auth.challenge import LoginMethods
from bacalhau_jupyter.auth.policies.order import PolicyOrder
from bacalhau_jupyter.lib.telemetry.base import SILENT, Telemetry
from bacalhau_jupyter.orchestrator.service import Orchestrator


@dataclass(frozen=True)
class ApiServices:
    """Everything the routes work on.

    Attributes
    ----------
    challenge
        None with users or single sign-on: such nodes exchange no login for a token.
    orchestrator
        None on a node that only computes: then ``/orchestrator`` does not exist.
    orchestrators
        Where such a node takes its jobs from: what callers are told who ask it for jobs.
    results
        None where no ``local`` publisher keeps results.
    receiver
        None on a node to which no others send results.
    result_files, data
        None where the node can't open results, or browse its data.
    cleaner
        None on a node that does not compute.
    environments
        None where no engine shows Python environments to its jobs, and for listeners whose callers are browsers.
    packages
        As ``environments``, for sets of Python packages.
    images
        None on a node that does not compute.
    uploads
        None on a node that takes none.
    cluster
        None where the node places no jobs, so that none can join it.
    hosts
        None on a node that only computes.
    joining
        None on a listener that is not the node's own API.
    telemetry
        Who is told of requests.
    audit
        Where it is written down who changed something; None on a node that only its owner can reach.
    policy
        None where capabilities decide what a request may do.
    """

    agent: AgentService
    access: Access
    challenge: LoginMethods | None
    orchestrator: Orchestrator | None = None
    orchestrators: Sequence[str] = ()
    results: ResultLinks | None = None
    receiver: ResultReceiver | None = None
    result_files: ResultFiles | None = None
    data: DataBrowser | None = None
    cleaner: DiskCleaner | None = None
    environments: Environments | None = None
    packages: Packages | None = None
    images: ImageService | None = None
    uploads: Uploads | None = None
    cluster: ClusterService | None = None
    joining: JoiningService | None = None
    hosts: HostService | None = None
    telemetry: Telemetry = SILENT
    audit: AuditLog | None = None
    policy: PolicyOrder | None = None
