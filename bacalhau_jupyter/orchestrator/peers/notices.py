"""What the operator should know about a node, a sentence each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bacalhau_jupyter.lib.clock import SECOND
from bacalhau_jupyter.lib.ids import short_id
from bacalhau_jupyter.models.records.node import NodeState
from bacalhau_jupyter.models.text import readable

NAME_LABEL = "name"
"""The label by which people choose a node."""


def clock_sentence(clock_ns: int) -> str:
    """Say that a node's clock is wrong; empty for 0."""
    if not clock_ns:
        return ""
    way = "ahead of" if clock_ns > 0 else "behind"
    return (
        f"its clock is {_duration(abs(clock_ns) / SECOND)} {way} this one; its times are replaced by those of "
        "arrival, and time limits are kept by its own clock"
    )


def namesakes(states: Iterable[NodeState]) -> Mapping[str, list[str]]:
    """Return the names that several nodes have: name → node IDs."""
    nodes: dict[str, list[str]] = {}
    for state in states:
        name = state.info.labels.get(NAME_LABEL, "")
        if name:
            nodes.setdefault(name, []).append(state.info.node_id)
    return {name: ids for name, ids in nodes.items() if len(ids) > 1}


def namesake_sentence(state: NodeState, names: Mapping[str, list[str]]) -> str:
    """Say that other nodes have a node's name; empty if none has."""
    name = state.info.labels.get(NAME_LABEL, "")
    others = [node_id for node_id in names.get(name, ()) if node_id != state.info.node_id]
    if not others:
        return ""
    more = f" and {len(others) - 1} more" if len(others) > 1 else ""
    return (
        f"{readable(short_id(others[0]))}{more} {'have' if more else 'has'} the label {NAME_LABEL}="
        f"{readable(name)}, too: a constraint on it means them all"
    )


def _duration(seconds: float) -> str:
    if seconds >= 5400:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
