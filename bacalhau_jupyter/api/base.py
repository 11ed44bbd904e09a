"""What the API needs from the node it belongs to."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bacalhau_jupyter.auth.access import Access
from bacalhau_jupyter.auth.challenge import ChallengeMethod
from bacalhau_jupyter.models.node import BuildVersionInfo, NodeInfo
from bacalhau_jupyter.models.spec import SpecConfig
from bacalhau_jupyter.orchestrator.base import OrchestratorService

RESULTS_PATH = "/api/v1/compute/results"
"""Where archives of the ``local`` publisher are served; the last segment is ``<execution ID>.tar.gz``."""


class AgentService(Protocol):
    """The node itself, as the API shows it."""

    @property
    def instance_id(self) -> str:
        """Changes with every start of the node."""
        ...

    def version(self) -> BuildVersionInfo:
        """The software, in the form official clients expect."""
        ...

    def node_info(self) -> NodeInfo:
        """The node, its features included."""
        ...

    def config(self) -> dict[str, Any]:
        """The effective configuration without its secrets and without members that say nothing."""
        ...

    def debug(self) -> dict[str, Any]:
        """Component name → whatever helps to find a fault."""
        ...

    def lease(self) -> AbstractContextManager[None]:
        """Keep the node alive for as long as the context is open."""
        ...


class ResultLinks(Protocol):
    """Signed URLs of results that lie on this node's disk."""

    def sign(self, reference: SpecConfig, base_url: str) -> SpecConfig:
        """Turn a stored reference into what the caller can download; foreign types come back unchanged.

        ``base_url`` is this node as the caller addressed it, such as ``http://127.0.0.1:1234``.
        """
        ...

    def resolve(self, name: str, expires: str, signature: str) -> Path:
        """Return the archive that a signed URL means.

        Raises
        ------
        Forbidden
            The signature is wrong or has expired.
        NotFound
            There is no such archive (any more).
        """
        ...


@dataclass(frozen=True)
class ApiServices:
    """Everything the routes work on.

    Attributes
    ----------
    orchestrator
        None on a node that only computes: then neither ``/orchestrator`` nor ``/auth`` exist.
    results
        None where no ``local`` publisher keeps results.
    """

    agent: AgentService
    access: Access
    challenge: ChallengeMethod
    orchestrator: OrchestratorService | None = None
    results: ResultLinks | None = None
