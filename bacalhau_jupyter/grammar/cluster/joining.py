"""``cluster join|leave``: offers the connected node's machine to another cluster, beside its own."""

from __future__ import annotations

from typing import Any

import click

from bacalhau_jupyter.grammar.cluster.joining_lines import facts_of
from bacalhau_jupyter.grammar.cluster.opening import cluster
from bacalhau_jupyter.grammar.flags.printing import print_options
from bacalhau_jupyter.grammar.flags.small_files import content_of
from bacalhau_jupyter.grammar.output import Details, Result, Text
from bacalhau_jupyter.grammar.root import client
from bacalhau_jupyter.models.errors import NotImplementedHere
from bacalhau_jupyter.models.records.joining import FEATURE, JoinCluster


@cluster.command("join")
@click.argument("url")
@click.option(
    "--token-file", default="", metavar="FILE", help="File with the token of that cluster; nothing prints it."
)
@click.option(
    "--ca-file", default="", metavar="FILE", help="PEM file of the authority behind its certificate."
)
@click.option("--name", default="", help="ID of this machine in that cluster (default: a new one).")
@print_options
def cluster_join(url: str, token_file: str, ca_file: str, name: str, **show: Any) -> Result:
    """Let the connected node run jobs of the orchestrator at URL (nats://HOST:PORT), beside its own jobs.

    The node gives no CPU, memory or GPU away twice. It stays with that cluster, after a restart, too, until
    `cluster leave`.
    """
    _require_feature()
    order = JoinCluster(
        url=url,
        token=content_of(token_file, "--token-file", "token").strip() if token_file else "",
        authority=content_of(ca_file, "--ca-file", "authority") if ca_file else "",
        name=name,
    )
    joined = client().call(lambda api: api.clusters.join(order))
    return Details(joined, [("Joined", facts_of(joined))])


@cluster.command("leave")
@click.argument("url")
def cluster_leave(url: str) -> Result:
    """Take the connected node back from the cluster at URL; what runs for it is stopped."""
    _require_feature()
    left = client().call(lambda api: api.clusters.leave(url))
    stopped = f"; {left.executions} of its executions were stopped" if left.executions else ""
    return Text(f"This machine runs no more jobs of {left.url}{stopped}.")


def _require_feature() -> None:
    if FEATURE not in client().info.features:
        raise NotImplementedHere(
            "the connected node can't offer its machine to another cluster",
            hint="it is not one of bacalhau-jupyter, or an older one; `connect --own` leads back to your own node, "
            "`bacalhau-jupyter serve --compute -c Compute.Orchestrators=URL` starts a node that only does that",
        )
