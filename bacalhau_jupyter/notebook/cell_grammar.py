"""The first line of a ``%%bacalhau`` cell: the language, then the flags of ``docker run`` and ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from bacalhau_jupyter.grammar import Group, completing
from bacalhau_jupyter.grammar.engines.wasm import module_options
from bacalhau_jupyter.grammar.examples import CELLS
from bacalhau_jupyter.grammar.flags.options import (
    modules_option,
    pip_options,
    spec_options,
    template_options,
)
from bacalhau_jupyter.grammar.flags.waiting import wait_options
from bacalhau_jupyter.grammar.help import Verb
from bacalhau_jupyter.grammar.session import PROFILE, overrides

F = TypeVar("F", bound=Callable[..., Any])

_ON_INTERRUPT = "What ■ does with the job (default: stop; a service or daemon job continues)."


class Language(Verb):
    """A language."""

    examples = CELLS


class CellGroup(Group):
    """The languages; a line that starts with a flag is ``sh``."""

    command_class = Language
    examples = CELLS

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
            "--in",
            "ins",
            multiple=True,
            metavar="NAME",
            shell_complete=completing.variables,
            help="Send a variable, or the result of a job.",
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
        click.option(
            "--sweep",
            "sweeps",
            multiple=True,
            metavar="NAME=A,B",
            help="Run one job per combination of values (n=1:9:2 is a range); --out joins them.",
        ),
        click.option(
            "--sweep-limit",
            type=int,
            default=None,
            metavar="N",
            help="Combinations that need no question (100).",
        ),
        click.option(
            "--cache/--no-cache",
            "cache",
            default=None,
            help="Take the results of an identical finished job; with --no-cache run it anew for later ones.",
        ),
        click.option("--detach", is_flag=True, help="Return the job at once; await it later."),
        click.option(
            "--on-interrupt",
            type=click.Choice(["stop", "detach"]),
            default=None,
            help=_ON_INTERRUPT,
        ),
        click.option(
            "--engine",
            type=click.Choice(["docker", "process", "wasm"]),
            default=None,
            help="Engine that runs the body (wasm: pure Python).",
        ),
        click.option(
            "--context",
            default=None,
            metavar="PROFILE",
            shell_complete=completing.contexts,
            help="Saved connection (profile) to use.",
        ),
    )
    for decorator in reversed(decorators):
        function = decorator(function)
    return function


def _unchanged(function: F) -> F:
    return function


def _collect(language: str, **values: Any) -> dict[str, Any]:
    root = click.get_current_context().find_root()
    # Flags for settings, and --profile, stand behind any language.
    values["context"] = values.get("context") or root.meta.get(PROFILE)
    return {"language": language, **values, "settings": overrides()}


@click.group(cls=CellGroup, context_settings={"help_option_names": ["-h", "--help"]})
def cell() -> None:
    """Run the cell's body as a Bacalhau job."""


def _language(name: str, text: str) -> None:
    @cell.command(name, help=text, context_settings={"help_option_names": ["-h", "--help"]})
    @spec_options()
    @wait_options
    @cell_options
    @click.option(
        "--image", default="", shell_complete=completing.images, help="Run in a container of this image."
    )
    @(pip_options if name in ("python", "sql") else _unchanged)
    @(modules_option if name == "python" else _unchanged)
    def command(**values: Any) -> dict[str, Any]:
        return _collect(name, **values)


_language(
    "python", "Run the body with Python (this kernel's own environment when the node shares the machine)."
)
_language("sh", "Run the body with sh.")
_language("bash", "Run the body with bash.")
_language(
    "sql",
    "Run the body with DuckDB, over inputs/ and over the frames of --in; the value is what the last statement returns.",
)


@cell.command("docker")
@spec_options()
@wait_options
@cell_options
@pip_options
@modules_option
@click.option("--entrypoint", multiple=True, help="Override the image's entrypoint.")
@click.argument("image", shell_complete=completing.images)
@click.argument("command", nargs=-1, metavar="[-- COMMAND...]")
def docker(**values: Any) -> dict[str, Any]:
    """Run the body (by its #! line, else sh) in a container of IMAGE; without a body, COMMAND."""
    return _collect("docker", **values)


@cell.command("wasm")
@spec_options()
@module_options
@wait_options
@cell_options
@click.option(
    "--module",
    default="",
    metavar="FILE|URI",
    shell_complete=completing.inputs,
    help="Run this module; the cell has no body then.",
)
@click.argument("command", nargs=-1, metavar="[-- ARGUMENTS...]")
def wasm(**values: Any) -> dict[str, Any]:
    """Run the body, which is WebAssembly text, or the module of --module."""
    return _collect("wasm", **values)


# A module has no working directory, and one engine.
wasm.params = [param for param in wasm.params if param.name not in ("workdir", "engine")]


@cell.command("job")
@template_options
@wait_options
@click.option("--force", is_flag=True, help="Submit even an unchanged spec.")
@click.option("--detach", is_flag=True, help="Return the job at once; await it later.")
@click.option("--on-interrupt", type=click.Choice(["stop", "detach"]), default=None, help=_ON_INTERRUPT)
@click.option(
    "--context",
    default=None,
    metavar="PROFILE",
    shell_complete=completing.contexts,
    help="Saved connection (profile) to use.",
)
def job(**values: Any) -> dict[str, Any]:
    """Submit the body: a job spec in YAML or JSON."""
    return _collect("job", **values)
