"""The words for "no node takes it", in the official form."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from bacalhau_jupyter.lib.ids import short_id
from bacalhau_jupyter.models.errors import HINT
from bacalhau_jupyter.orchestrator.scheduler.naming import UnknownNode
from bacalhau_jupyter.orchestrator.scheduler.placement import Obstacle, Refusal

_LAST = {Obstacle.OLD: 1, Obstacle.LACKS_PLUGIN: 1, Obstacle.LABELS: 2}
"""Obstacles of nodes that the job could never have run on: a person who asks why it failed means another node."""

_NUMBERS = re.compile(r"\d[\d.]*( [kMGTPE]?B)?")


def shortage_text(
    requested: int,
    available: int,
    suitable: int,
    refusals: Mapping[str, Refusal],
    absent: Mapping[str, str] = MappingProxyType({}),
    *,
    unknown: UnknownNode | None = None,
) -> str:
    """Say how many nodes were wanted and there, and each node's reason; equal reasons appear once.

    The nodes that the job was meant for come first: people and lists often see no more than the beginning.

    Parameters
    ----------
    absent
        Node ID → why a node was not asked.
    unknown
        A node that the job names and nobody knows: then the others' reasons say nothing.
    """
    first = (
        f"not enough nodes to run job. requested: {requested}, available: {available}, suitable: {suitable}."
    )
    return "\n".join([first, *_reasons(refusals, absent, unknown)])


def no_match_text(
    refusals: Mapping[str, Refusal],
    absent: Mapping[str, str] = MappingProxyType({}),
    unknown: UnknownNode | None = None,
) -> str:
    """Say that a job for all nodes that suit finds none, and each node's reason."""
    first = f"not matching nodes to run job out of {len(refusals)} available nodes."
    return "\n".join([first, *_reasons(refusals, absent, unknown)])


def no_match_details(available: int, unknown: UnknownNode | None = None) -> dict[str, str]:
    """Return the details of the event that reports that."""
    return {"IsError": "true", "NodesAvailable": str(available), **_hint(unknown)}


def _hint(unknown: UnknownNode | None) -> dict[str, str]:
    return {} if unknown is None else {HINT: unknown.hint}


def _reasons(
    refusals: Mapping[str, Refusal], absent: Mapping[str, str], unknown: UnknownNode | None
) -> list[str]:
    if unknown is not None:
        return [f"• {unknown.sentence}"]
    lines = []
    by_reason: dict[str, list[str]] = {}
    ordered = sorted(refusals.items(), key=lambda item: _LAST.get(item[1].obstacle, 0))
    meant = {node_id: refusal.reason for node_id, refusal in ordered if refusal.obstacle not in _LAST}
    reasons = {**meant, **absent, **{node_id: refusal.reason for node_id, refusal in ordered}}
    for node_id, reason in reasons.items():
        # One line each: a label, or a node's own words, must not look like the reason of another node.
        by_reason.setdefault(" ".join(reason.split()), []).append(node_id)
    for reason, node_ids in by_reason.items():
        if len(node_ids) == 1:
            lines.append(f"• Node {short_id(node_ids[0])}: {reason}")
        else:
            lines.append(f"• {len(node_ids)} of {len(reasons)} nodes: {reason}")
    return lines


def same_shortage(one: str, other: str) -> bool:
    """Whether two such texts differ in their numbers only (so the news is not worth an event)."""
    return _NUMBERS.sub("#", one) == _NUMBERS.sub("#", other)


def shortage_details(
    requested: int, available: int, suitable: int, unknown: UnknownNode | None = None
) -> dict[str, str]:
    """Return the details of the event that reports a shortage as an error."""
    return {
        "IsError": "true",
        "NodesRequested": str(requested),
        "NodesAvailable": str(available),
        "NodesSuitable": str(suitable),
        **_hint(unknown),
    }
