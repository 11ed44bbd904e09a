"""``serve``: start the node by hand (or, with a hidden flag, as the one that notebooks share)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from bacalhau_jupyter.node.node import Node


@click.command("serve", short_help="Start a node.")
@click.option("--orchestrator", is_flag=True, help="Place jobs.")
@click.option("--compute", is_flag=True, help="Run jobs.")
@click.option("--name", default="", help="The node's name; a data directory keeps it.")
@click.option(
    "-c",
    "--config",
    "config",
    multiple=True,
    metavar="KEY=VALUE|FILE",
    help="Set a config key, or read a file.",
)
@click.option("--data-dir", default=None, metavar="DIR", help="Directory of all state (BACALHAU_DIR).")
@click.option("--api-host", default=None, metavar="HOST", help="Address the API listens on.")
@click.option("--api-port", default=None, metavar="PORT", help="Port the API listens on; 0 takes any.")
@click.option("--embedded", is_flag=True, hidden=True, help="End when nobody holds a lease.")
def serve(
    orchestrator: bool,
    compute: bool,
    name: str,
    config: tuple[str, ...],
    data_dir: str | None,
    api_host: str | None,
    api_port: str | None,
    embedded: bool,
) -> int:
    """Start a Bacalhau node and keep it running until Ctrl-C.

    With --orchestrator --compute one process does everything. Without either it only places jobs, as the
    official command does.
    """
    from bacalhau_jupyter.config.config import Config
    from bacalhau_jupyter.node.run import run_node

    settings = Config.from_sources(
        flags={
            "Orchestrator.Enabled": True if orchestrator else None,
            "Compute.Enabled": True if compute else None,
            "DataDir": data_dir,
            "API.Host": api_host,
            "API.Port": api_port,
        },
        overrides=config,
        server=True,
    )
    if not (settings["Orchestrator.Enabled"] or settings["Compute.Enabled"]):
        settings = settings.replace({"Orchestrator.Enabled": True})
        click.echo(
            "Neither --orchestrator nor --compute was given: this node places jobs and runs none.", err=True
        )
        click.echo("Hint: bacalhau-jupyter serve --orchestrator --compute does both.", err=True)
    return run_node(settings, embedded=embedded, name=name, on_ready=lambda node: _greet(node, embedded))


def _greet(node: Node, embedded: bool) -> None:
    if embedded:
        return
    click.echo(f"Node {node.node_id} is ready at {node.url}")
    if node.compute is not None:
        information = node.compute.info().compute_node_info
        for engine, runtime in sorted(information.engine_runtimes.items()):
            click.echo(f"  engine {engine}: {runtime}")
        for engine, problem in sorted(information.engine_problems.items()):
            click.echo(f"  engine {engine} is off: {problem}")
    click.echo("To use it from another terminal of this user, with any Bacalhau client:")
    click.echo(f"  export BACALHAU_API_HOST={node.record.api_host} BACALHAU_API_PORT={node.record.port}")
    click.echo(f"Other users and browsers need the key in {node.repo.api_key_file} (BACALHAU_API_KEY).")
