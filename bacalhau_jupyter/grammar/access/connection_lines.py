"""What ``connect`` tells of a cluster: who answers, what it can't do, and the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bacalhau_jupyter.grammar.session import current
from bacalhau_jupyter.models.records.node import NodeConnection, for_people
from bacalhau_jupyter.models.text import readable, typed

if TYPE_CHECKING:
    from bacalhau_jupyter.client.connection.introduction import Introduction
    from bacalhau_jupyter.config.endpoint import Endpoint
    from bacalhau_jupyter.config.profiles import Profile


def described(endpoint: Endpoint, introduction: Introduction, name: str) -> list[str]:
    """Return the lines about a cluster that answered; ``name`` is that of the saved connection, empty for none."""
    from bacalhau_jupyter.client.connection.abilities import engines_of, is_official, lacks_of

    info = introduction.info
    kind = "official Bacalhau" if is_official(info) else f"bacalhau-jupyter {info.jupyter_version}"
    nodes = introduction.nodes
    connected = [node.info for node in nodes or [] if node.connection is NodeConnection.CONNECTED]
    engines = engines_of(connected or [info])
    counted = "" if nodes is None else _counted(len(nodes))
    facts = [f"{kind} {introduction.version}" if is_official(info) else kind, counted]
    if engines:
        facts.append(f"engines {', '.join(map(readable, for_people(engines)))}")
    source = f"saved as {readable(name)}" if name else endpoint.source
    lines = [f"Connected to {endpoint.url} ({source}): {'; '.join(filter(None, facts))}"]
    lacks = lacks_of(info, engines)
    if lacks:
        lines.append("This cluster")
        lines += [f"  {lack.what}: {typed(lack.instead, current().program)}" for lack in lacks]
    if not endpoint.embedded:
        lines.append(f"{current().program} connect --own leads back to your own node")
    return lines


def _counted(nodes: int) -> str:
    return "1 node" if nodes == 1 else f"{nodes} nodes"


def notes_on(profile: Profile) -> list[str]:
    """Return what the official program can't use of a saved connection."""
    notes = []
    if profile.user:
        notes.append(
            "The official program reads no user name from a saved connection, so it needs a token or variables"
        )
    if profile.ca_file:
        notes.append(
            "The official program reads no authority from a saved connection: API.TLS.CAFile names it there"
        )
    return notes
