"""What the link of an orchestrator is made of, as `link.Link` needs it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from bacalhau_jupyter.node.cluster.plan import LinkPlan
from bacalhau_jupyter.transport.base import LinkState, OrchestratorTransport


class OpenedLink(Protocol):
    """A NATS server, and the orchestrator's connection to it."""

    @property
    def end(self) -> OrchestratorTransport:
        """The orchestrator's end."""
        ...

    @property
    def port(self) -> int:
        """Where the server listens; 0 for one that somebody else runs."""
        ...

    @property
    def state(self) -> LinkState:
        """How the server, and the way to it, are."""
        ...

    @property
    def ca_file(self) -> Path | None:
        """The authority that nodes must trust; None where they need none of ours."""
        ...

    async def close(self) -> None:
        """End the connection and the server."""
        ...


Opener = Callable[[LinkPlan], Awaitable[OpenedLink]]
"""Opens a link as planned; raises BacalhauError, and leaves nothing behind then."""


class Joint(Protocol):
    """Where nodes of this process and those beyond the link meet (`transport.joined`)."""

    async def open(self, far: OrchestratorTransport) -> None:
        """Let far nodes in."""
        ...

    async def shut(self) -> None:
        """Let them in no more."""
        ...
