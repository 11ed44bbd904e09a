"""Constraints that name a node or a Docker host which nobody knows: said once, with the names that there are."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bacalhau_jupyter.lib.ids import short_id
from bacalhau_jupyter.models.jobs.spec import Constraint
from bacalhau_jupyter.models.text import readable
from bacalhau_jupyter.orchestrator.scheduler.plan import NAME, NodeView

_KEYS = (NAME, "id")
"""Labels by which people mean one node; nodes of a devstack have both."""
HOST = "host"
"""The label of the nodes of Docker hosts; what ``--host`` asks for."""
_OPERATORS = ("=", "==", "in")
_NAMES_SHOWN = 5
_LONGEST_NAME = 200
_COMPARED = 200
"""Names among which a similar one is looked for: a large cluster must not make that dear."""


@dataclass(frozen=True)
class UnknownNode:
    """A name that no node has.

    Attributes
    ----------
    sentence
        That no node has it.
    hint
        Which node is meant, as far as that can be told; else which nodes there are.
    """

    sentence: str
    hint: str


def unknown_node(required: Iterable[Constraint], nodes: Sequence[NodeView]) -> UnknownNode | None:
    """Return the first constraint's name that no node has, be it connected or not; None where each is known."""
    for constraint in required:
        key = constraint.key
        if key not in (*_KEYS, HOST) or constraint.operator not in _OPERATORS or not constraint.values:
            continue
        labels = {node.labels.get(key) for node in nodes}
        if labels.isdisjoint(constraint.values):
            asked = " or ".join(_shown(value) for value in constraint.values[:_NAMES_SHOWN])
            if key == HOST:
                return UnknownNode(f"there is no host {asked}", _hint_of_host(constraint.values[0], labels))
            return UnknownNode(f"no node is called {asked}", _hint(constraint.values, nodes))
    return None


def _hint(asked: Sequence[str], nodes: Sequence[NodeView]) -> str:
    if not nodes:
        return "this cluster has no nodes yet: start one, for instance bacalhau-jupyter serve --compute"
    meant = {node.id: node for value in asked for node in nodes if _may_mean(value, node)}
    if len(meant) == 1:
        (node,) = meant.values()
        name = _shown(node.labels[NAME])
        return f"{_shown(asked[0])} means {_shown(node.id)}: write {NAME}={name}"
    if meant:
        return f"it may mean {_listed(meant.values())}: write {NAME}= and the whole name"
    names = [node.labels[NAME] for node in nodes[:_COMPARED]]
    near = difflib.get_close_matches(asked[0][:_LONGEST_NAME], names, n=1)
    if near:
        return f"did you mean {NAME}={_shown(near[0])}?"
    return f"write {NAME}= and the whole name of one of these: {_listed(nodes)}"


def _hint_of_host(asked: str, labels: Iterable[str | None]) -> str:
    hosts = sorted(_shown(label) for label in labels if label)
    near = difflib.get_close_matches(asked[:_LONGEST_NAME], hosts[:_COMPARED], n=1)
    if near:
        return f"did you mean {near[0]}?"
    if hosts:
        return f"host list shows which there are: {', '.join(hosts[:_NAMES_SHOWN])}"
    return "host add lets the Docker Engine of another machine run jobs; host list shows which there are"


def _may_mean(value: str, node: NodeView) -> bool:
    """Whether a text is a node's ID, its short form, or another beginning of it that says more than the prefix."""
    return bool(value) and (
        value in (node.id, short_id(node.id), node.labels[NAME])
        or (len(value) > len("n-") and node.id.startswith(value))
    )


def _listed(nodes: Iterable[NodeView]) -> str:
    names = sorted({_shown(node.labels[NAME]) for node in nodes})
    more = [f"{len(names) - _NAMES_SHOWN} more (node list shows them)"] if len(names) > _NAMES_SHOWN else []
    return ", ".join([*names[:_NAMES_SHOWN], *more])


def _shown(name: str) -> str:
    return readable(" ".join(name.split()))[:_LONGEST_NAME]
