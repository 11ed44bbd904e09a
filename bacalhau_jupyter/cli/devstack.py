"""``devstack``: a cluster of nodes in one process, for trying things out; nothing of it stays."""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bacalhau_jupyter.grammar.help import Verb
from bacalhau_jupyter.grammar.session import overrides, without_directory
from bacalhau_jupyter.lib.removal import remove_tree
from bacalhau_jupyter.lib.text import read_text, write_text
from bacalhau_jupyter.models.errors import BadRequest, Conflict

if TYPE_CHECKING:
    from bacalhau_jupyter.node.node import Node
    from bacalhau_jupyter.node.roles.devstack import StackShape
    from bacalhau_jupyter.node.roles.stack_processes import FarNodes

PORT_FILE, PID_FILE = "bacalhau-devstack.port", "bacalhau-devstack.pid"
IGNORE_FILES = "IGNORE_PID_AND_PORT_FILES"


@click.command("devstack", cls=Verb, short_help="Start a cluster of nodes in one process, to try things out.")
@click.option(
    "--orchestrators", "--requester-nodes", default=1, show_default=True, help="Nodes that place jobs."
)
@click.option("--computes", "--compute-nodes", default=3, show_default=True, help="Nodes that run jobs.")
@click.option("--hybrids", "--hybrid-nodes", default=0, show_default=True, help="Nodes that do both.")
@click.option(
    "--bad-computes",
    "--bad-compute-actors",
    default=0,
    show_default=True,
    help="How many of the nodes that run jobs fail them all.",
)
@click.option(
    "--nats", is_flag=True, help="Give each node that runs jobs a process, and join them over NATS."
)
@click.option(
    "--stock",
    default=0,
    show_default=True,
    metavar="N",
    help="With --nats: further nodes, of the official program that BACALHAU_STOCK_BINARY names.",
)
@click.option("--random-ports", is_flag=True, help="Listen on any free port, not on API.Port (1234).")
@click.option("--stack-repo", default=None, metavar="DIR", help="Keep the nodes' directories here.")
@click.option("-c", "--config", "config", multiple=True, metavar="KEY=VALUE|FILE", help="Set a config key.")
@click.option("--cpu-profiling-file", default=None, hidden=True, help="Not written here.")
@click.option("--memory-profiling-file", default=None, hidden=True, help="Not written here.")
def devstack(
    *,
    orchestrators: int,
    computes: int,
    hybrids: int,
    bad_computes: int,
    nats: bool,
    stock: int,
    random_ports: bool,
    stack_repo: str | None,
    config: tuple[str, ...],
    cpu_profiling_file: str | None,
    memory_profiling_file: str | None,
) -> int:
    """Start several Bacalhau nodes in one process and keep them running until Ctrl-C.

    One node places jobs (--orchestrators 1, or --orchestrators 0 --hybrids 1 for one that runs some, too); the
    others run them. Each believes that it may use most of this machine. Without --stack-repo, jobs are
    stopped at the end and nothing stays on the disk. With --nats the others are processes of their own.
    """
    from bacalhau_jupyter.config.config import Config
    from bacalhau_jupyter.node.roles.devstack import StackShape
    from bacalhau_jupyter.node.run import run_devstack

    if cpu_profiling_file or memory_profiling_file:
        click.echo("Profiles are not written here: py-spy and memray look into any Python process.", err=True)
    shape = StackShape(orchestrators, computes, hybrids, bad_computes)
    shape.check()
    if stock and not nats:
        raise BadRequest("--stock needs --nats: official nodes join over NATS only", component="Devstack")
    far = _far_nodes(shape, stock) if nats else None
    own_settings, directory = without_directory(overrides())
    kept = stack_repo or directory
    with _directory(kept) as base:
        settings = Config.from_sources(
            flags={"DataDir": str(base), "API.Port": 0 if random_ports else None},
            overrides=(*own_settings, *config),
            server=True,
        )
        with _files() as write_files:

            def ready(node: Node) -> None:
                write_files(node.record.port)
                _greet(node, shape, stock)

            near = shape if far is None else replace(shape, computes=0)
            run_devstack(settings, base, near, keep=kept is not None, on_ready=ready, far=far)
    click.echo("\nShutting down devstack")
    return 0


def _far_nodes(shape: StackShape, stock: int) -> FarNodes:
    from bacalhau_jupyter.node.roles.stack_processes import PROGRAM_VARIABLE, FarNodes

    if shape.bad:
        raise BadRequest("--bad-computes does not go with --nats", component="Devstack")
    program = os.environ.get(PROGRAM_VARIABLE, "")
    far = FarNodes(shape.computes, stock, str(Path(program).absolute()) if program else "")
    far.check()
    return far


@contextmanager
def _directory(kept: str | None) -> Iterator[Path]:
    """Give the stack its directory; one that nobody asked for goes at the end."""
    if kept is not None:
        yield Path(kept).expanduser().absolute()
        return
    base = Path(tempfile.mkdtemp(prefix="bacalhau-devstack-"))
    try:
        yield base
    finally:
        if (error := remove_tree(base)) is not None:
            click.echo(f"Not all of {base} could be removed: {error.strerror}", err=True)


@contextmanager
def _files() -> Iterator[Callable[[int], None]]:
    """Tell scripts where the stack is, as the official command does; two stacks can't both be that one."""
    if IGNORE_FILES in os.environ:
        yield lambda port: None
        return
    port_file, pid_file = (Path(tempfile.gettempdir()) / name for name in (PORT_FILE, PID_FILE))
    if _runs(pid_file):
        raise Conflict(
            f"found file {pid_file} - Devstack likely already running",
            hint=f"end that one, or set {IGNORE_FILES}=1 and --random-ports to start another beside it",
            component="Devstack",
        )
    written: list[Path] = []

    def write(port: int) -> None:
        for path, number in ((port_file, port), (pid_file, os.getpid())):
            path.unlink(missing_ok=True)
            # Nobody else's file, and no link to one: the directory is everybody's.
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            written.append(path)
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
                file.write(str(number))

    try:
        yield write
    finally:
        for path in written:
            path.unlink(missing_ok=True)


def _runs(pid_file: Path) -> bool:
    """Whether the process of an earlier stack is there; one that was killed left its file behind."""
    try:
        os.kill(int(read_text(pid_file)), 0)
    except (OSError, ValueError, OverflowError) as error:
        return isinstance(error, PermissionError) and pid_file.exists()
    return True


def _greet(node: Node, shape: StackShape, stock: int) -> None:
    """Print what the official command prints: scripts read it."""
    lines = [f"export {name}={shlex.quote(value)}" for name, value in node.record.variables().items()]
    if path := os.environ.get("DEVSTACK_ENV_FILE"):
        try:
            write_text(Path(path), "".join(f"{line}\n" for line in lines))
        except OSError as error:
            click.echo(f"{path} (DEVSTACK_ENV_FILE) can't be written: {error.strerror}", err=True)
    click.echo(
        "\nDevstack is ready!\n"
        f"No. of requester only nodes: {shape.orchestrators}\n"
        f"No. of compute only nodes: {shape.computes}\n"
        f"No. of hybrid nodes: {shape.hybrids}\n"
        + (f"No. of official compute nodes: {stock}\n" if stock else "")
        + "To use the devstack, run the following commands in your shell:\n"
    )
    for line in lines:
        click.echo(line)
    click.echo()
