"""The root of the grammar, and what every verb needs: the group, the session's client."""

from __future__ import annotations

import difflib
import importlib
from typing import TYPE_CHECKING

import click

from bacalhau_jupyter.grammar import completing
from bacalhau_jupyter.grammar.examples import EXAMPLES
from bacalhau_jupyter.grammar.flags.elsewhere import with_whereabouts
from bacalhau_jupyter.grammar.help import Verb, path_of, with_settings, write_commands, write_examples
from bacalhau_jupyter.grammar.session import PROFILE, current, overrides, settings_flags
from bacalhau_jupyter.grammar.words import old_options, old_verb
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.names import shown

if TYPE_CHECKING:
    from bacalhau_jupyter.client.client import Client

_LAZY = {
    "serve": "bacalhau_jupyter.cli.serve:serve",
    "demo": "bacalhau_jupyter.cli.demo:demo",
    "devstack": "bacalhau_jupyter.cli.devstack:devstack",
}
"""Verbs whose modules belong to a server; they are imported when they are used."""

_OTHER_WORDS = {
    "kill": ("stop",),
    "rm": ("stop", "remove", "delete"),
    "rmi": ("remove",),
    "prune": ("clean",),
    "submit": ("run",),
    "ps": ("list",),
    "ls": ("list",),
}
"""What other programs call verbs; of several, a group means the first that it has."""


PROGRAM = "bacalhau-jupyter"
COMPLETE_VARIABLE = "_BACALHAU_JUPYTER_COMPLETE"
"""By this variable a shell asks the program for completions."""


class Group(click.Group):
    """A group that loads server verbs lazily; its help, and that of its commands, opens with examples."""

    command_class = Verb
    group_class = type
    examples = EXAMPLES

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples first."""
        write_examples(ctx, formatter, self.examples)
        super().format_help(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Mark the commands that the official command line does not have."""
        write_commands(self, ctx, formatter)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a wrong word names the right ones, also those of other groups."""
        word = args[0] if args else ""
        if ctx.resilient_parsing or word.startswith("-") or self.get_command(ctx, word) is not None:
            return super().resolve_command(ctx, args)
        near = self._nearest(ctx, word)
        hint = f" Did you mean {' or '.join(repr(name) for name in near)}?" if near else ""
        ctx.fail(f"No such command {shown(word)!r}.{hint}")

    def _nearest(self, context: click.Context, word: str) -> list[str]:
        names = self.list_commands(context)
        meant = _OTHER_WORDS.get(word, (word,))
        if context.parent is not None and (own := [name for name in meant if name in names]):
            return own[:1]
        near = difflib.get_close_matches(word, names, 1)
        if near or context.parent is not None:
            return near
        groups = [(name, self.get_command(context, name)) for name in names if name not in _LAZY]
        return [
            f"{name} {meant[0]}"
            for name, group in groups
            if isinstance(group, click.Group) and meant[0] in group.commands
        ]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse words; a flag that belongs to a verb says so."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            raise with_whereabouts(error) from None

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the parameters; settings may stand behind each word of a command, as officially."""
        params = super().get_params(ctx)
        return params if ctx.parent is None else with_settings(params, path_of(ctx))

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
        if command is None and isinstance(ctx.find_root().command, Root):
            return old_verb(
                f"{path_of(ctx)} {cmd_name}".strip(), lambda words: _by_words(ctx.find_root(), words)
            )
        return command


class Root(Group):
    """The group of all verbs, those of older documents among them."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the parameters, with those of older documents that stood before any verb."""
        return [*super().get_params(ctx), *old_options("")]


def _by_words(context: click.Context, words: str) -> click.Command | None:
    command: click.Command | None = context.command
    for word in words.split():
        if not isinstance(command, click.Group):
            return None
        command = command.commands.get(word)
    return command


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--context",
    default=None,
    metavar="PROFILE",
    help="Saved connection (profile) to use.",
    shell_complete=completing.contexts,
)
@click.pass_context
def bacalhau(ctx: click.Context, context: str | None) -> None:
    """Run jobs where the data is, with Bacalhau."""
    if context:
        ctx.meta[PROFILE] = context


bacalhau.params.extend(settings_flags())


@bacalhau.command("help")
@click.argument("words", nargs=-1, metavar="[COMMAND...]", shell_complete=completing.verbs)
@click.pass_context
def show_help(context: click.Context, words: tuple[str, ...]) -> None:
    """Show the help of a command (help job list)."""
    described = context.find_root()
    for word in words:
        group = described.command
        command = group.get_command(described, word) if isinstance(group, click.Group) else None
        if command is None:
            raise BadRequest(f"there is no command {' '.join(words)!r}", hint="--help lists the commands")
        described = click.Context(command, info_name=word, parent=described)
    click.echo(described.get_help())


_COMPLETION_HELP = """Print a script that lets TAB complete commands, flags and IDs in SHELL.

Load it in the shell's start-up file:

\b
bash:  eval "$(bacalhau-jupyter completion bash)"  in ~/.bashrc
zsh:   eval "$(bacalhau-jupyter completion zsh)"   in ~/.zshrc
fish:  bacalhau-jupyter completion fish | source   in ~/.config/fish/config.fish
"""


@bacalhau.command("completion", help=_COMPLETION_HELP)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.option("--no-descriptions", is_flag=True, hidden=True)
def completion(shell: str, no_descriptions: bool) -> None:
    """Print a shell's completion script."""
    from click.shell_completion import get_completion_class

    # The scripts ask for words and descriptions in one; a shell that shows none drops them.
    del no_descriptions

    kind = get_completion_class(shell)
    if kind is None:
        raise BadRequest(f"there is no completion for {shell}")
    click.echo(kind(bacalhau, {}, PROGRAM, COMPLETE_VARIABLE).source())


def client() -> Client:
    """Return the client of the running command: of ``--context`` or ``-c``, else the one that is found."""
    return current().client(chosen_profile(), overrides())


def chosen_profile() -> str | None:
    """Return the saved connection that ``--context`` or ``--profile`` names."""
    name: str | None = click.get_current_context().find_root().meta.get(PROFILE)
    return name


def job_or_last(connected: Client, job_id: str | None, verb: str) -> str:
    """Return the job that a verb names, else the last one that was submitted from here.

    Raises
    ------
    BadRequest
        There is none.
    """
    chosen = job_id or current().last_job_id(connected)
    if not chosen:
        raise BadRequest(
            "no job was submitted from here",
            hint=f"%bacalhau job list shows all jobs, %bacalhau {verb} JOB one",
        )
    return chosen
