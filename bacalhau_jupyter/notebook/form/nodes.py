"""What the connected cluster offers, in the words that stand beside the fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bacalhau_jupyter.lib.ids import short_id
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.units import format_bytes
from bacalhau_jupyter.models.records.node import Membership, NodeConnection, NodeState, for_people
from bacalhau_jupyter.notebook.form.state import DOCKER, LANGUAGES, OPENS_WITH, PROCESS

_NAMED = 3
"""Nodes whose free capacity is said one by one."""


@dataclass(frozen=True)
class Capacity:
    """A node's name, and what of it is free."""

    node: str
    free: Resources
    total: Resources


@dataclass(frozen=True)
class Offers:
    """What a cluster offers.

    Attributes
    ----------
    engines, publishers
        Their types; those that every node may have where no cluster was asked.
    nodes
        Nodes that take jobs now.
    problem
        Why nothing is known; empty when it is.
    """

    engines: Sequence[str] = (DOCKER, PROCESS)
    publishers: Sequence[str] = ("local", "s3", "ipfs", "s3managed")
    nodes: Sequence[Capacity] = ()
    problem: str = ""

    def runs(self, chosen: str) -> list[str]:
        """Return what a form may run; the current choice stays, also if no node offers it."""
        offered = [*(LANGUAGES if {DOCKER, PROCESS} & set(self.engines) else ()), *self.engines]
        return list(dict.fromkeys([*offered, chosen]))

    def opens_with(self) -> str:
        """Return what an empty form runs here: a body where an engine of ours runs bodies, else what there is."""
        runs_bodies = bool({DOCKER, PROCESS} & set(self.engines))
        return OPENS_WITH if runs_bodies or not self.engines else self.engines[0]

    def free(self, resource: str) -> str:
        """Say how much of a resource (``cpu``, ``memory``, ``disk``, ``gpu``) is free on which node."""
        if self.problem or not self.nodes:
            return self.problem or "no node takes jobs now"
        ranked = sorted(self.nodes, key=lambda node: getattr(node.free, resource), reverse=True)
        parts = [_share(node, resource) for node in ranked[:_NAMED]]
        more = len(ranked) - _NAMED
        return "free: " + " · ".join([*parts, *([f"{more} more nodes"] if more > 0 else [])])


def offers_of(nodes: Sequence[NodeState]) -> Offers:
    """Return what the nodes that take jobs offer together."""
    taking = [
        node
        for node in nodes
        if node.membership is Membership.APPROVED and node.connection is NodeConnection.CONNECTED
    ]
    infos = [node.info.compute_node_info for node in taking]
    return Offers(
        engines=for_people({name for info in infos for name in info.execution_engines or []}),
        publishers=for_people({name for info in infos for name in info.publishers or []}),
        nodes=[
            Capacity(short_id(node.info.node_id), info.available_capacity, info.max_capacity)
            for node, info in zip(taking, infos, strict=True)
        ],
    )


def _share(node: Capacity, resource: str) -> str:
    free, total = getattr(node.free, resource), getattr(node.total, resource)
    if resource in ("memory", "disk"):
        return f"{format_bytes(free)} of {format_bytes(total)} on {node.node}"
    return f"{free:g} of {total:g} on {node.node}"
