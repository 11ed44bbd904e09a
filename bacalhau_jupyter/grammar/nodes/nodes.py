"""``node …``: lists the nodes of a cluster, and approves or rejects them."""

from __future__ import annotations

from typing import Any

import click

from bacalhau_jupyter.grammar import completing
from bacalhau_jupyter.grammar.flags.printing import list_options, print_options
from bacalhau_jupyter.grammar.nodes.columns import LINK, NODE_COLUMNS, SHOWN_OF_NODES, nodes_table
from bacalhau_jupyter.grammar.output import Details, Result, Text
from bacalhau_jupyter.grammar.root import bacalhau, client
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest

_GROUPS = (*NODE_COLUMNS, LINK)
_ORDERS = ("id", "type", "available_cpu", "available_memory", "available_disk", "available_gpu", "status")


@bacalhau.group()
def node() -> None:
    """List, describe, approve and reject nodes."""


@node.command("list")
@click.option(
    "--labels",
    default="",
    metavar="SELECTOR",
    shell_complete=completing.constraints,
    help="Only nodes whose labels match.",
)
@click.option(
    "--show",
    default=",".join(SHOWN_OF_NODES),
    metavar="GROUPS",
    help=f"Groups of columns to show, with commas: {', '.join(_GROUPS)}.",
)
@click.option(
    "--filter-approval",
    type=click.Choice(["approved", "pending", "rejected"], case_sensitive=False),
    default=None,
    help="Only nodes that are approved, pending or rejected.",
)
@click.option(
    "--filter-status",
    type=click.Choice(["connected", "disconnected"], case_sensitive=False),
    default=None,
    help="Only nodes that are connected or disconnected.",
)
@list_options(limit=0, orders=_ORDERS)
@print_options
def node_list(
    labels: str, show: str, filter_approval: str | None, filter_status: str | None, **values: Any
) -> Result:
    """List nodes."""
    groups = [name.strip() for name in show.split(",") if name.strip()]
    for name in groups:
        if name not in _GROUPS:
            raise BadRequest(
                f"--show: there are no columns {name!r}", hint=f"choose among {', '.join(_GROUPS)}"
            )
    page = client().call(
        lambda api: api.nodes(
            labels=labels,
            approval=filter_approval or "",
            status=filter_status or "",
            limit=values["limit"],
            next_token=values["next_token"],
            order_by=values["order_by"] or "",
            reverse=values["order_reversed"],
        )
    )
    return nodes_table(page.nodes, wide=values["wide"], groups=groups)


@node.command("describe")
@click.argument("node_id", shell_complete=completing.nodes)
@print_options
def node_describe(node_id: str, **show: Any) -> Result:
    """Show everything about a node."""
    return Details(client().call(lambda api: api.node(node_id)).node)


def _action(name: str, summary: str, done: str) -> None:
    @node.command(name, help=summary)
    @click.argument("node_id", shell_complete=completing.nodes)
    @click.option("-m", "--message", default="", help="Reason to note with it.")
    def act(node_id: str, message: str) -> Result:
        answer = client().call(lambda api: api.change_node(node_id, name, message))
        if not answer.success:
            raise BacalhauError(
                f"the cluster did not {name} node {node_id}: {answer.error or 'no reason given'}"
            )
        return Text(f"Node {node_id} is {done}.")


_action("approve", "Let a node run jobs.", "approved")
_action("reject", "Let a node run no more jobs.", "rejected")
_action("delete", "Forget a node; one that still runs may join again.", "deleted")
