"""The node itself, and its configuration, as the API shows them."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol

from bacalhau_jupyter.models.records.node import BuildVersionInfo, NodeInfo


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

    def sign_on(self) -> dict[str, Any]:
        """What clients need to log in at the identity provider, by official name; empty without one."""
        ...

    def debug(self) -> dict[str, Any]:
        """Component name → whatever helps to find a fault."""
        ...

    def lease(self) -> AbstractContextManager[None]:
        """Keep the node alive for as long as the context is open."""
        ...
