"""Help that opens with examples, and flags in groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from bacalhau_jupyter.grammar.examples import CELL_FIRST, EXAMPLES, Example
from bacalhau_jupyter.grammar.flags.elsewhere import with_whereabouts
from bacalhau_jupyter.grammar.session import settings_flags
from bacalhau_jupyter.grammar.words import modern_flags, old_options
from bacalhau_jupyter.lib.truth import parse_truth

_GROUPED_FROM = 9
"""Flags that a command needs before they are grouped."""

_GROUPS: Mapping[str, tuple[str, ...]] = {
    "Data": (
        "inputs",
        "outputs",
        "publisher",
        "ins",
        "outs",
        "out_as",
        "env",
        "parameters",
        "save_as",
        "template_vars",
        "template_envs",
        "no_template",
        "modules",
    ),
    "What runs it": (
        "engine",
        "image",
        "entrypoint",
        "module",
        "entry_point",
        "import_modules",
        "kernel",
        "workdir",
        "pip",
        "pips",
        "requirements",
        "no_binary",
        "network",
        "domains",
    ),
    "Resources and limits": ("cpu", "memory", "disk", "gpu", "timeout", "queue_timeout"),
    "Where, and how often": (
        "constraints",
        "host",
        "target",
        "count",
        "sweep",
        "sweeps",
        "sweep_limit",
        "context",
        "priority",
    ),
    "Names": ("name", "namespace", "labels", "task_name"),
    "What happens then": (
        "wait",
        "follow",
        "detach",
        "check",
        "on_interrupt",
        "id_only",
        "dry_run",
        "exact",
        "force",
        "hide_warnings",
        "wait_timeout_secs",
        "node_details",
        "group_events",
        "cache",
    ),
    "Which": (
        "limit",
        "next_token",
        "order_by",
        "order_reversed",
        "event_type",
        "execution_id",
        "version",
        "all_versions",
        "show",
        "filter_approval",
        "filter_status",
    ),
    "The node": (
        "orchestrator",
        "compute",
        "orchestrators",
        "computes",
        "hybrids",
        "bad_computes",
        "random_ports",
        "stack_repo",
        "config",
        "data_dir",
        "api_host",
        "api_port",
        "ipfs_connect",
    ),
    "Output": ("form", "pretty", "hide_header", "no_style", "wide", "show_secrets"),
}


OURS = frozenset(
    {
        "attach",
        "auth login",
        "auth logout",
        "cluster close",
        "cluster join",
        "cluster leave",
        "cluster open",
        "cluster show",
        "config auto-resources",
        "config default",
        "connect",
        "demo",
        "explain",
        "form",
        "host add",
        "host clean",
        "host list",
        "host pause",
        "host push",
        "host remove",
        "host resume",
        "host show",
        "host test",
        "image clean",
        "image list",
        "image load",
        "image pull",
        "image remove",
        "id",
        "job delete",
        "job diff",
        "job explain",
        "run-notebook",
        "wasm validate",
    }
)
"""The commands that the official command line does not have."""

_MARK = "+"
"""ASCII: a notebook's font may have no other plus."""


def with_settings(params: list[click.Parameter], path: str) -> list[click.Parameter]:
    """Return the parameters of a command and the flags for settings, hidden, as far as their names are free."""
    taken = {name for param in params for name in param.opts}
    hidden = [*settings_flags(hidden=True), *old_options(path)]
    flags = [flag for flag in hidden if taken.isdisjoint(flag.opts)]
    if any(param.nargs == -1 for param in params if isinstance(param, click.Argument)):
        # What follows such an argument are another program's words: `sh -c …`.
        for flag in flags:
            flag.opts = [name for name in flag.opts if name.startswith("--")]
    return params + flags


def plain_switches(params: Sequence[click.Parameter], args: Sequence[str]) -> list[str]:
    """Turn ``--switch=true`` and ``--switch=false``, which official clients take, into what click takes."""
    switches = {
        name: param
        for param in params
        if isinstance(param, click.Option) and param.is_flag
        for name in param.opts
        if name.startswith("--")
    }
    end = list(args).index("--") if "--" in args else len(args)
    plain: list[str] = []
    for word in args[:end]:
        name, equals, value = word.partition("=")
        truth = parse_truth(value) if equals and name in switches else None
        if truth is None:
            plain.append(word)
        elif truth:
            plain.append(name)
        else:
            plain += switches[name].secondary_opts[:1]
    return [*plain, *args[end:]]


class Verb(click.Command):
    """A command whose help opens with examples."""

    examples: Mapping[str, tuple[Example, ...]] = EXAMPLES

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the parameters, with the flags for settings (as in the official CLI, they may follow any verb)."""
        return with_settings(super().get_params(ctx), path_of(ctx))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse words, ``--wait=false`` and flags of older versions among them."""
        words = plain_switches(self.get_params(ctx), modern_flags(path_of(ctx), args))
        try:
            return super().parse_args(ctx, words)
        except click.NoSuchOption as error:
            raise with_whereabouts(error) from None

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write examples, usage, text, then flags in groups."""
        write_examples(ctx, formatter, self.examples)
        super().format_help(ctx, formatter)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the flags."""
        write_flags(self.get_params(ctx), ctx, formatter)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Say where the official command line does not have the command."""
        if path_of(ctx) in OURS:
            formatter.write("\nThe official Bacalhau command line does not have this command.\n")


def write_commands(group: click.Group, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    """Write the commands of a group; those that are ours have a mark, which is explained below them."""
    named = [(name, group.get_command(ctx, name)) for name in group.list_commands(ctx)]
    known = [(name, command) for name, command in named if command is not None and not command.hidden]
    if not known:
        return
    room = formatter.width - 8 - max(len(name) for name, _ in known)
    above = path_of(ctx)
    ours = {name for name, _ in known if f"{above} {name}".strip() in OURS}
    with formatter.section("Commands"):
        formatter.write_dl(
            [
                (f"{name} {_MARK}" if name in ours else name, command.get_short_help_str(room))
                for name, command in known
            ]
        )
    if ours:
        formatter.write(f"\n{_MARK} not in the official Bacalhau command line\n")


def path_of(context: click.Context) -> str:
    """Return the words of a command without the program's name: ``job list``."""
    words: list[str] = []
    # Not `command_path`: that asks for the parameters, which depend on these words.
    while context.parent is not None:
        words.insert(0, context.info_name or "")
        context = context.parent
    return " ".join(words)


def write_examples(
    context: click.Context, formatter: click.HelpFormatter, examples: Mapping[str, Sequence[Example]]
) -> None:
    """Write the examples of a command, a line of words above each."""
    program, path = context.find_root().info_name or "", path_of(context)
    chosen = examples.get(path, ())
    if program == "%bacalhau" and not path:
        chosen = (CELL_FIRST, *chosen)
    if not chosen:
        return
    with formatter.section("Examples"):
        for number, (lines, words) in enumerate(chosen):
            formatter.write(f"{'' if number == 0 else chr(10)}  # {words}\n")
            for line in lines.format(program=program).split("\n"):
                formatter.write(f"  {line}\n")
    formatter.write("\n")


def ungrouped(params: Sequence[click.Parameter]) -> list[str]:
    """Return the flags of a long command that no group holds."""
    names = {name for group in _GROUPS.values() for name in group}
    flags = [param.name or "" for param in params if isinstance(param, click.Option)]
    return [name for name in flags if name not in names] if len(flags) >= _GROUPED_FROM else []


def write_flags(
    params: Sequence[click.Parameter], context: click.Context, formatter: click.HelpFormatter
) -> None:
    """Write flags in groups; few flags are one group."""
    # Arguments stand in the usage.
    flags = [param for param in params if isinstance(param, click.Option)]
    records = {flag.name or "": record for flag in flags if (record := flag.get_help_record(context))}
    groups: dict[str, list[Any]] = {}
    if len(records) < _GROUPED_FROM:
        groups["Options"] = list(records.values())
    else:
        titles = {name: title for title, names in _GROUPS.items() for name in names}
        for title in (*_GROUPS, "Other"):
            rows = [record for name, record in records.items() if titles.get(name, "Other") == title]
            if rows:
                groups[title] = rows
    for title, rows in groups.items():
        with formatter.section(title):
            formatter.write_dl(rows)
