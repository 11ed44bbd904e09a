"""``cluster open|close|show``: the link of the connected node, and what to type on the machines that join it."""

from __future__ import annotations

from typing import Any

import click

from bacalhau_jupyter.grammar.cluster.joining_lines import facts_of, joining, stays_here, trust
from bacalhau_jupyter.grammar.flags.printing import print_options
from bacalhau_jupyter.grammar.output import Details, Result, Text
from bacalhau_jupyter.grammar.root import bacalhau, client
from bacalhau_jupyter.models.errors import NotImplementedHere
from bacalhau_jupyter.models.jobs.spec import replace
from bacalhau_jupyter.models.records.cluster import (
    CLOSED,
    FEATURE,
    OPENING,
    ClusterState,
    LinkStatus,
    OpenCluster,
)
from bacalhau_jupyter.models.records.joining import FEATURE as JOINING


@bacalhau.group()
def cluster() -> None:
    """Let other nodes join the connected one, and show how they do."""


@cluster.command("open")
@click.option(
    "--host",
    default="",
    metavar="ADDRESS",
    help="Address to listen on (default: 127.0.0.1; 0.0.0.0 lets other machines in).",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Port (default: 4222 where it is free)."
)
@click.option(
    "--advertise",
    default="",
    metavar="HOST[:PORT]",
    help="Address at which other machines reach this one (default: its own on the network).",
)
@click.option(
    "--tls", "encrypt", is_flag=True, help="Encrypt, with a certificate of the node's own authority."
)
@print_options
def cluster_open(host: str, port: int, advertise: str, encrypt: bool, **show: Any) -> Result:
    """Let nodes of other processes and machines join; prints what to type there."""
    _require_feature()
    order = OpenCluster(host=host, port=port, advertise=advertise, encrypt=encrypt)
    return shown(client().call(lambda api: api.clusters.open(order)))


@cluster.command("close")
def cluster_close() -> Result:
    """Let no other node join any more; those that joined go on with what they run, and get nothing new."""
    _require_feature()
    client().call(lambda api: api.clusters.close())
    return Text(
        "The cluster is closed. The token stays: who has it can join when the cluster is opened again."
    )


@cluster.command("show")
@print_options
def cluster_show(**show: Any) -> Result:
    """Show whether other nodes can join, and how; and which clusters the node has joined itself."""
    _require_feature()
    state = client().call(lambda api: api.clusters.state())
    if JOINING not in client().info.features:
        return shown(state)
    clusters = client().call(lambda api: api.clusters.joined())
    return shown(replace(state, joined=clusters.items))


def _require_feature() -> None:
    if FEATURE not in client().info.features:
        raise NotImplementedHere(
            "the connected node does not say how others join it",
            hint="it is not one of bacalhau-jupyter, or an older one; `node list` shows the nodes that it has, "
            "`connect --own` leads back to your own node",
        )


def _words(link: LinkStatus) -> str:
    if link.is_up:
        return "up"
    return "opening" if link.reason == OPENING else f"down: {link.reason}"


def shown(state: ClusterState) -> Details:
    """Return what ``cluster show`` says of a link."""
    facts: dict[str, object] = {"Open": "yes" if state.is_open else "no"}
    joined = [("Also runs jobs of", facts_of(each)) for each in state.joined]
    if not state.is_open:
        if state.link.reason == OPENING:
            facts["Open"] = "opening"
        else:
            if state.link.reason not in ("", CLOSED):
                facts["Why"] = state.link.reason
            facts["Open it"] = "cluster open"
        return Details(state, [("Cluster", facts), *joined])
    if state.opened_by:
        facts["Open because of"] = state.opened_by
    facts["Address"] = state.address
    facts["Link"] = _words(state.link)
    facts["Nodes that joined"] = state.nodes
    if state.needs_token:
        facts["Token"] = state.token_file or "in the node's configuration"
    if state.ca_file:
        facts["Certificate authority"] = state.ca_file
    return Details(
        state,
        [
            ("Cluster", facts),
            *joined,
            ("To join" if stays_here(state) else "On another machine", joining(state)),
            ("What joining means", trust(state)),
        ],
    )
