"""How messages get to a node, in words for people."""

from __future__ import annotations

from bacalhau_jupyter.models.records.node import NodeConnection, NodeState
from bacalhau_jupyter.models.text import readable

LINK_WORDS = {"memory": "same process", "nats": "NATS"}
_MINUTES = len("2026-11-29T20:55")


def link_of(node: NodeState) -> str:
    """Return the kind of the link; empty where the cluster does not tell."""
    return LINK_WORDS.get(node.link, readable(node.link))


def since_of(node: NodeState) -> str:
    """Return since when the node is connected, or lost, to the minute (UTC); empty where that is not known."""
    state = node.connection_state
    is_up = node.connection is NodeConnection.CONNECTED
    moment = state.connected_since if is_up else state.disconnected_since
    return "" if moment.startswith("0001") else moment[:_MINUTES].replace("T", " ")


def reason_of(node: NodeState) -> str:
    """Return why a node is lost or takes nothing new, and what its operator should know; empty where all is well."""
    resting = readable(node.info.compute_node_info.unavailable)
    lost = "" if node.connection is NodeConnection.CONNECTED else readable(node.connection_state.last_error)
    return "; ".join(filter(None, (lost, resting, *map(readable, node.notices))))
