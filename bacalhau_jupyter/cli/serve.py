"""``serve``: start the node by hand (or, with a hidden flag, as the one that notebooks share)."""

from __future__ import annotations

import shlex
from functools import partial
from typing import TYPE_CHECKING

import click

from bacalhau_jupyter.grammar import session
from bacalhau_jupyter.grammar.help import Verb

if TYPE_CHECKING:
    from bacalhau_jupyter.node.joining.elsewhere import Elsewhere
    from bacalhau_jupyter.node.node import Node


@click.command("serve", cls=Verb, short_help="Start a node.")
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
@click.option(
    "--ipfs-connect",
    default=None,
    metavar="MULTIADDR",
    help="RPC API of the IPFS node for inputs and results, such as /ip4/127.0.0.1/tcp/5001.",
)
@click.option("--embedded", is_flag=True, hidden=True, help="End when no lease is held.")
def serve(
    *,
    orchestrator: bool,
    compute: bool,
    name: str,
    config: tuple[str, ...],
    data_dir: str | None,
    api_host: str | None,
    api_port: str | None,
    ipfs_connect: str | None,
    embedded: bool,
) -> int:
    """Start a Bacalhau node and keep it running until Ctrl-C.

    With --orchestrator --compute one process does everything. Without either it only places jobs, as the
    official command does.
    """
    from bacalhau_jupyter.config.config import Config
    from bacalhau_jupyter.config.words.notices import tell
    from bacalhau_jupyter.config.words.table import notices_about_files
    from bacalhau_jupyter.node.run import run_node
    from bacalhau_jupyter.transfer.ipfs.multiaddr import rpc_url

    if ipfs_connect:
        # A typing error must not just leave IPFS out.
        rpc_url(ipfs_connect)
    settings = Config.from_sources(
        flags={
            "Orchestrator.Enabled": True if orchestrator else None,
            "Compute.Enabled": True if compute else None,
            "DataDir": data_dir,
            "API.Host": api_host,
            "API.Port": api_port,
            # One flag for three keys, as in the official command.
            "InputSources.Types.IPFS.Endpoint": ipfs_connect,
            "Publishers.Types.IPFS.Endpoint": ipfs_connect,
            "ResultDownloaders.Types.IPFS.Endpoint": ipfs_connect,
        },
        overrides=(*session.overrides(), *config),
        server=True,
    )
    for sentence in notices_about_files(settings.data_dir):
        tell(sentence)
    if not (settings["Orchestrator.Enabled"] or settings["Compute.Enabled"]):
        settings = settings.replace({"Orchestrator.Enabled": True})
        click.echo(
            "Neither --orchestrator nor --compute was given: this node schedules jobs and runs none.",
            err=True,
        )
        click.echo("Hint: bacalhau-jupyter serve --orchestrator --compute does both.", err=True)
    return run_node(
        settings, embedded=embedded, name=name, on_ready=lambda node: _greet(node, embedded, ipfs_connect)
    )


def _joining(there: Elsewhere, problem: str, hint: str) -> str:
    if problem:
        line = f"  no jobs yet from the orchestrator at {there.place}, which is tried again: {problem}"
        return f"{line}\n  Hint: {hint}" if hint else line
    return f"  jobs come from the orchestrator at {there.place}"


def _greet(node: Node, embedded: bool, ipfs: str | None) -> None:
    if embedded:
        return
    from bacalhau_jupyter.node.roles.trust import knows_others

    # Standard output has one JSON object per line then.
    say = partial(click.echo, err=node.config["Logging.Mode"] in ("json", "combined"))
    say(f"Node {node.node_id} is ready at {node.url}")
    if node.compute is not None:
        information = node.compute.info().compute_node_info
        for engine, runtime in sorted(information.engine_runtimes.items()):
            say(f"  engine {engine}: {runtime}")
        for engine, problem in sorted(information.engine_problems.items()):
            say(f"  engine {engine} is off: {problem}")
        for name, problem in sorted(information.gpu_problems.items()):
            say(f"  GPUs: {name}: {problem}")
        if ipfs and "ipfs" not in (information.storage_sources or ()):
            say(f"  ipfs is off until the IPFS node at {ipfs} answers")
        if node.elsewhere is not None:
            say(_joining(node.elsewhere, node.compute.problem, node.compute.hint))
    if (link := node.link) is not None and link.opened is not None:
        say(f"Nodes of other processes join at {link.address}: `bacalhau-jupyter cluster show` says how.")
        if link.plan is not None and not link.plan.token:
            say("  No token is set: any program of this machine may join (Orchestrator.Auth.Token).")
    elif link is not None and link.plan is not None:
        say(f"Nodes of other processes can't join yet: {link.state.reason}")
    say("To use it from another terminal of this user, with any Bacalhau client:")
    variables = (f"{name}={shlex.quote(value)}" for name, value in node.record.variables().items())
    say(f"  export {' '.join(variables)}")
    key = f"the key in {node.repo.api_key_file} (BACALHAU_API_KEY)"
    if knows_others(node.config):
        say(f"Other callers need their own credential, or {key}.")
    else:
        say(f"Other users and browsers need {key}.")
    if node.page is not None:
        say(f"The web page, logged in (once, within the hour): {node.page.login_link()}")
        if node.page.is_open_to_others:
            click.echo(
                "The web page is open to other machines, unencrypted: put a TLS proxy in front of it.",
                err=True,
            )
