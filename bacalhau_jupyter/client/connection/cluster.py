"""What a job's handle needs from the client that knows the job's cluster."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

from bacalhau_jupyter.client.connection.api import AsyncAPI
from bacalhau_jupyter.client.connection.portal import Portal

if TYPE_CHECKING:
    from bacalhau_jupyter.config.endpoint import Endpoint
    from bacalhau_jupyter.models.records.node import NodeInfo

T = TypeVar("T")


class Cluster(Protocol):
    """A connection to one cluster that survives a restart of its node; `Client` is one."""

    @property
    def portal(self) -> Portal:
        """The event loop thread on which requests are made."""
        ...

    @property
    def is_connected(self) -> bool:
        """Whether a cluster was found already (it may have gone since)."""
        ...

    @property
    def endpoint(self) -> Endpoint:
        """Where the cluster's API is; it is found on first use."""
        ...

    @property
    def info(self) -> NodeInfo:
        """What the connected node says of itself."""
        ...

    def api(self) -> AsyncAPI:
        """Return the raw API, connecting on first use."""
        ...

    def api_now(self) -> AsyncAPI:
        """Return the connected API."""
        ...

    def call(self, work: Callable[[AsyncAPI], Awaitable[T]]) -> T:
        """Make one API call from blocking code; a lost connection is looked up again once."""
        ...

    async def acall(self, work: Callable[[AsyncAPI], Awaitable[T]]) -> T:
        """Do what `call` does, on the portal's loop; ``work`` may run twice."""
        ...

    async def reconnect(self, failed: AsyncAPI | None = None, *, start: bool = True) -> AsyncAPI:
        """Look the cluster up again after the connection was lost."""
        ...
