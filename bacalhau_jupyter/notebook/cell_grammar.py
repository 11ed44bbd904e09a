"""The first line of a ``%%bacalhau`` cell: the language, then the flags of ``docker run`` and ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from bacalhau_jupyter.grammar import Group
from bacalhau_jupyter.grammar.options import spec_options, wait_options

F = TypeVar("F", bound=Callable[..., Any])


class CellGroup(Group):
    """The languages; a line that starts with a flag is ``sh``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Insert the default language."""
        if not args or (args[0].startswith("-") and args[0] not in ("-h", "--help")):
            args = ["sh", *args]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the languages (no server verbs here)."""
        return sorted(self.commands)


def cell_options(function: F) -> F:
    """Flags only a cell has."""
    decorators: Sequence[Callable[[F], F]] = (
        click.option(
            "--in", "ins", multiple=True, metavar="NAME", help="Send a variable, or pass on a result."
        ),
        click.option(
            "--out",
            "outs",
            multiple=True,
            metavar="NAME",
            help="Bring a variable back (no Python body: the first table).",
        ),
        click.option(
            "--out-as",
            type=click.Choice(["pandas", "polars", "arrow"]),
            default=None,
            help="Library for tables of --out (default: that of the Python body, else pandas).",
        ),
        click.option("--detach", is_flag=True, help="Return the job at once; await it later."),
        click.option(
            "--on-interrupt", type=click.Choice(["stop", "detach"]), default="stop", help="What ■ does."
        ),
        click.option(
            "--engine", type=click.Choice(["docker", "process"]), default=None, help="What runs the body."
        ),
        click.option("--context", default=None, metavar="PROFILE", help="Which saved cluster."),
    )
    for decorator in reversed(decorators):
        function = decorator(function)
    return function


def _collect(language: str, **values: Any) -> dict[str, Any]:
    return {"language": language, **values}


@click.group(cls=CellGroup, context_settings={"help_option_names": ["-h", "--help"]})
def cell() -> None:
    """Run the cell's body as a Bacalhau job."""


def _language(name: str, text: str) -> None:
    @cell.command(name, help=text, context_settings={"help_option_names": ["-h", "--help"]})
    @spec_options()
    @wait_options
    @cell_options
    @click.option("--image", default="", help="Run in a container of this image.")
    def command(**values: Any) -> dict[str, Any]:
        return _collect(name, **values)


_language(
    "python", "Run the body with Python (this kernel's own environment when the node shares the machine)."
)
_language("sh", "Run the body with sh.")
_language("bash", "Run the body with bash.")


@cell.command("docker")
@spec_options()
@wait_options
@cell_options
@click.option("--entrypoint", multiple=True, help="Override the image's entrypoint.")
@click.argument("image")
@click.argument("command", nargs=-1, metavar="[-- COMMAND...]")
def docker(**values: Any) -> dict[str, Any]:
    """Run the body (by its #! line, else sh) in a container of IMAGE; without a body, COMMAND."""
    return _collect("docker", **values)


@cell.command("job")
@wait_options
@click.option("--force", is_flag=True, help="Submit even an unchanged spec.")
@click.option("--detach", is_flag=True, help="Return the job at once; await it later.")
@click.option("--on-interrupt", type=click.Choice(["stop", "detach"]), default="stop", help="What ■ does.")
@click.option("--context", default=None, metavar="PROFILE", help="Which saved cluster.")
def job(**values: Any) -> dict[str, Any]:
    """Submit the body: a job spec in YAML or JSON."""
    return _collect("job", **values)
