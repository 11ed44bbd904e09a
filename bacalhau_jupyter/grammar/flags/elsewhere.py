"""Says where a flag belongs that stands with a verb that does not have it."""

from __future__ import annotations

from collections.abc import Iterator

import click

from bacalhau_jupyter.config.words import table
from bacalhau_jupyter.config.words.word import Kind, Standing, Word

_SHOWN = 3


def with_whereabouts(error: click.NoSuchOption) -> click.UsageError:
    """Return an error that says which verbs have the flag; the same one where none has."""
    context = error.ctx
    sentence = "" if context is None else whereabouts(error.option_name, context.find_root())
    if not sentence:
        return error
    return click.UsageError(f"No such option '{error.option_name}'. {sentence}", context)


def whereabouts(flag: str, root: click.Context) -> str:
    """Say which verbs have a flag, by its name of today or of older documents; empty where none has."""
    word = table.of(Kind.FLAG).get(flag)
    if word is not None and word.standing is not Standing.WORKS:
        return f"It is a flag of {_listed(word.where)}{_meaning(word)}."
    verbs = [path for path, command in _verbs(root.command, root) if _has(command, flag)]
    return f"It is a flag of {_listed(verbs)}." if verbs else ""


def _meaning(word: Word) -> str:
    if word.values is None:
        return ""
    return f", and sets {word.modern}"


def _verbs(
    command: click.Command, context: click.Context, path: str = ""
) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield path, command
        return
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        if below is not None:
            inside = click.Context(below, info_name=name, parent=context)
            yield from _verbs(below, inside, f"{path} {name}".strip())


def _has(command: click.Command, flag: str) -> bool:
    return any(
        flag in (*param.opts, *param.secondary_opts)
        for param in command.params
        if not getattr(param, "hidden", False)
    )


def _listed(verbs: tuple[str, ...] | list[str]) -> str:
    shown = list(verbs[:_SHOWN])
    if len(verbs) > _SHOWN:
        return f"{', '.join(shown)} and {len(verbs) - _SHOWN} more"
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
