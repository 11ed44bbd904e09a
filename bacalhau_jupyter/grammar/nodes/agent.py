"""``agent …`` and ``version``: the node that answers here."""

from __future__ import annotations

from typing import Any

import click

from bacalhau_jupyter.grammar.flags.printing import print_options
from bacalhau_jupyter.grammar.output import Details, Result, Table
from bacalhau_jupyter.grammar.root import bacalhau, client
from bacalhau_jupyter.models.errors import BacalhauError


@bacalhau.group()
def agent() -> None:
    """Show information about the connected node."""


@agent.command("alive")
@print_options
def agent_alive(**show: Any) -> Result:
    """Check whether the node answers."""
    return Details(client().call(lambda api: api.agent_alive()))


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
@click.option("--client", "only_client", is_flag=True, help="Only that of the client; ask no node.")
@print_options
def version(only_client: bool, **show: Any) -> Result:
    """Show the versions of client and server."""
    from bacalhau_jupyter._version import __version__

    if only_client:
        return Table(("client",), [(__version__,)], {"client": __version__})
    try:
        server = client().call(lambda api: api.agent_version()).git_version
    except BacalhauError as error:
        server = f"({error.message})"
    return Table(("client", "server"), [(__version__, server)], {"client": __version__, "server": server})
