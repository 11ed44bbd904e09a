"""The root of the grammar, and what every verb needs: the group, the session's client."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import click

from bacalhau_jupyter.grammar.session import current

if TYPE_CHECKING:
    from bacalhau_jupyter.client.client import Client

_LAZY = {"serve": "bacalhau_jupyter.cli.serve:serve", "demo": "bacalhau_jupyter.cli.demo:demo"}
"""Verbs whose modules belong to a server; they are imported when they are used."""


class Group(click.Group):
    """A group that loads server verbs lazily and names the nearest verb for a wrong one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all verbs, the lazy ones among them."""
        lazy = _LAZY if ctx.parent is None else {}
        return sorted({*super().list_commands(ctx), *lazy})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a verb, importing it when it is lazy."""
        command = super().get_command(ctx, cmd_name)
        if command is None and ctx.parent is None and cmd_name in _LAZY:
            module, _, name = _LAZY[cmd_name].partition(":")
            command = getattr(importlib.import_module(module), name)
        return command


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--context", default=None, metavar="PROFILE", help="Which saved cluster to talk to.")
@click.pass_context
def bacalhau(ctx: click.Context, context: str | None) -> None:
    """Run jobs where the data is, with Bacalhau."""
    ctx.meta["bacalhau.context"] = context


def client() -> Client:
    """Return the client of the running command: of ``--context``, else the one that is found."""
    return current().client(click.get_current_context().find_root().meta.get("bacalhau.context"))
