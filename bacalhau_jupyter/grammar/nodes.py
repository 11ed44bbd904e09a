"""``node …``, ``agent …`` and ``version``: what the cluster is made of."""

from __future__ import annotations

from typing import Any

import click

from bacalhau_jupyter.grammar.options import print_options
from bacalhau_jupyter.grammar.output import Details, Result, Table
from bacalhau_jupyter.grammar.root import bacalhau, client
from bacalhau_jupyter.grammar.views import nodes_table
from bacalhau_jupyter.models.errors import BacalhauError


@bacalhau.group()
def node() -> None:
    """Look at nodes."""


@node.command("list")
@click.option("--labels", default="", metavar="SELECTOR", help="Only nodes whose labels match.")
@click.option("--filter-approval", default="", help="approved, pending or rejected.")
@click.option("--filter-status", default="", help="connected or disconnected.")
@click.option("--limit", default=0, help="How many.")
@click.option("--order-by", default="", help="Order.")
@click.option("--order-reversed", is_flag=True, help="Reverse the order.")
@print_options
def node_list(
    labels: str,
    filter_approval: str,
    filter_status: str,
    limit: int,
    order_by: str,
    order_reversed: bool,
    **show: Any,
) -> Result:
    """List nodes."""
    page = client().call(
        lambda api: api.nodes(
            labels=labels,
            approval=filter_approval,
            status=filter_status,
            limit=limit,
            order_by=order_by,
            reverse=order_reversed,
        )
    )
    return nodes_table(page.nodes, wide=show["wide"])


@node.command("describe")
@click.argument("node_id")
@print_options
def node_describe(node_id: str, **show: Any) -> Result:
    """Show everything about a node."""
    return Details(client().call(lambda api: api.node(node_id)).node)


@bacalhau.group()
def agent() -> None:
    """Ask the connected node about itself."""


@agent.command("alive")
@print_options
def agent_alive(**show: Any) -> Result:
    """Ask whether it answers."""
    status = client().call(lambda api: api.agent_alive())
    return Table(("status",), [(status.status,)], status)


@agent.command("node")
@print_options
def agent_node(**show: Any) -> Result:
    """Show the node's description of itself."""
    return Details(client().call(lambda api: api.agent_node()))


@agent.command("version")
@print_options
def agent_version(**show: Any) -> Result:
    """Show the node's version."""
    info = client().call(lambda api: api.agent_version())
    return Table(
        ("version", "commit", "os", "arch"),
        [(info.git_version, info.git_commit[:8], info.goos, info.goarch)],
        info,
    )


@agent.command("config")
@print_options
def agent_config(**show: Any) -> Result:
    """Show the node's effective configuration, secrets masked."""
    return Details(client().call(lambda api: api.agent_config()))


@bacalhau.command()
@print_options
def version(**show: Any) -> Result:
    """Show the versions of client and server."""
    from bacalhau_jupyter._version import __version__

    try:
        server = client().call(lambda api: api.agent_version()).git_version
    except BacalhauError as error:
        server = f"({error.message})"
    return Table(("client", "server"), [(__version__, server)], {"client": __version__, "server": server})
