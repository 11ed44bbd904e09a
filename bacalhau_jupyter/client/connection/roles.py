"""A node that only runs jobs, and is asked about them: it knows no such routes, and can't say why."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from bacalhau_jupyter.client.connection.connection import Connection
from bacalhau_jupyter.lib.masking import mask_secrets
from bacalhau_jupyter.models.errors import BacalhauError, NotFound
from bacalhau_jupyter.models.records.node import NodeInfo, NodeType

COMPONENT = "Client"
ORCHESTRATOR = "/api/v1/orchestrator/"
_HINT = (
    "give the address of its orchestrator's API instead, of which port 1234 is the usual one "
    "(%bacalhau connect, --api-host, BACALHAU_API_HOST)"
)


def is_unknown_route(error: BacalhauError) -> bool:
    """Whether a server knows no such route; one that knows no such job says so in other words."""
    return isinstance(error, NotFound) and "cli_usage" in error.details


async def compute_only(api: Connection) -> NotFound | None:
    """Return what to say where a node knows no route of an orchestrator since it only runs jobs; None if it does not.

    Parameters
    ----------
    api
        The way to the node.
    """
    with suppress(BacalhauError):
        info = await api.request("GET", "/api/v1/agent/node", NodeInfo)
        if info.node_type is NodeType.COMPUTE:
            kind = "a node of bacalhau-jupyter" if info.is_ours else "an official Bacalhau node"
            placed_by = await _orchestrators(api)
            return NotFound(
                f"{api.endpoint.url} is {kind} that only runs jobs{placed_by}",
                hint=_HINT,
                component=COMPONENT,
            )
    return None


async def _orchestrators(api: Connection) -> str:
    """Say whose jobs the node runs, as far as it tells."""
    with suppress(BacalhauError):
        config = await api.request("GET", "/api/v1/agent/config", dict[str, Any])
        compute = _member(_member(config, "config") or config, "compute")
        urls = compute.get("Orchestrators")
        if isinstance(urls, list) and urls:
            return f", for the orchestrator at {', '.join(mask_secrets(str(url))[:200] for url in urls[:3])}"
    return ""


def _member(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    member = next((each for key, each in value.items() if key.lower() == name), None)
    return member if isinstance(member, Mapping) else {}
