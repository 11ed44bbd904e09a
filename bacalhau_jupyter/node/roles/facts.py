"""What the node tells of its roles to those who look for a fault."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bacalhau_jupyter.compute.node import ComputeNode
from bacalhau_jupyter.models.codec import to_plain


def role_facts(own_id: str, halves: Mapping[str, ComputeNode]) -> dict[str, Any]:
    """Return facts of the node's own compute half, and in short of the others."""
    facts: dict[str, Any] = {}
    own = halves.get(own_id)
    if own is not None:
        facts["Compute"] = _joining(own) | {
            "UnremovableDirectories": own.unremovable,
            "LiveExecutions": [record.execution.id for record in own.live()],
        }
        info = own.info().compute_node_info
        kept = {"InputCache": info.input_cache, "LocalResults": info.local_results}
        facts["Storage"] = {name: to_plain(usage) for name, usage in kept.items() if usage is not None}
    others = {node_id: node for node_id, node in halves.items() if node_id != own_id}
    if others:
        facts["Nodes"] = {
            node_id: _joining(node) | {"LiveExecutions": len(node.live())} for node_id, node in others.items()
        }
    return facts


def _joining(node: ComputeNode) -> dict[str, Any]:
    return {"Joined": node.joined, "Problem": node.problem}
