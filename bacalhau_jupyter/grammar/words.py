"""Verbs and flags of older documents: they work, hidden from help, with a notice of their names of today."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import click

from bacalhau_jupyter.config.key import Kind as ValueKind
from bacalhau_jupyter.config.parsing import known_key
from bacalhau_jupyter.config.words import table
from bacalhau_jupyter.config.words.notices import tell
from bacalhau_jupyter.config.words.word import Kind, Standing, Word
from bacalhau_jupyter.grammar.session import keep_setting
from bacalhau_jupyter.models.errors import BadRequest

_SHORT = {"-s": "--selector", "-n": "--number"}


def old_verb(path: str, find: Callable[[str], click.Command | None]) -> click.Command | None:
    """Return the command that a verb of older documents means; None where it is not such a verb.

    Parameters
    ----------
    path
        The verb with the words before it: ``logs``, ``job exec``.
    find
        Finds the verb of today by its words.
    """
    word = table.of(Kind.VERB).get(path)
    if word is None or word.standing is Standing.WORKS:
        return None
    if word.standing is Standing.REPLACED:
        return _gone(word)
    command = find(word.modern)
    return _moved(command, word) if command is not None else None


def old_options(verb: str) -> list[click.Option]:
    """Return the hidden options of a verb that set config keys, or print that they have no effect."""
    return [_option(word) for word in table.flags_of(verb) if not _is_alias(word)]


def _option(word: Word) -> click.Option:
    # `--switch=false` becomes the second name.
    name = f"{word.name}/--no-{word.name.removeprefix('--')}" if word.is_switch else word.name
    return click.Option(
        (name, "old" + word.name.replace("-", "_")),
        default=None,
        multiple=not word.is_switch,
        hidden=True,
        expose_value=False,
        callback=_keeping(word),
    )


def modern_flags(verb: str, args: Sequence[str]) -> list[str]:
    """Return the words of a command with its flags by their names of today."""
    aliases = {word.name: word for word in table.flags_of(verb) if _is_alias(word)}
    end = list(args).index("--") if "--" in args else len(args)
    modern = []
    for text in args[:end]:
        name, equals, value = text.partition("=")
        name = _SHORT.get(name, name)
        if word := aliases.get(name):
            # In the word that was typed: `-s` is another one than `--selector`.
            tell(dataclasses.replace(word, name=text.partition("=")[0]).notice)
            text = f"{word.modern}{equals}{value}"
        modern.append(text)
    return [*modern, *args[end:]]


def _is_alias(word: Word) -> bool:
    """Whether a flag is only another name for one of today."""
    return word.standing is Standing.RENAMED and word.values is None


def _keeping(word: Word) -> Callable[[click.Context, click.Parameter, Any], None]:
    def keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
        del parameter
        texts = value if isinstance(value, tuple) else (value,)
        if len(texts) > 1 and _is_listed(word):
            # A flag that is given several times adds to its list.
            texts = (",".join(texts),)
        for text in texts:
            if text is None:
                continue
            tell(word.notice)
            said = str(text).lower() if word.is_switch else str(text)
            for key, converted in (word.values(said) if word.values else {}).items():
                keep_setting(context, f"{key}={converted}")

    return keep


def _is_listed(word: Word) -> bool:
    keys = word.values("") if word.values is not None else {}
    return bool(keys) and all(known_key(name).kind in (ValueKind.LIST, ValueKind.MAP) for name in keys)


def _moved(command: click.Command, word: Word) -> click.Command:
    moved = copy.copy(command)
    moved.name, moved.hidden = word.name, True
    callback = command.callback

    def run(*args: Any, **values: Any) -> Any:
        tell(word.notice)
        return callback(*args, **values) if callback is not None else None

    moved.callback = run
    return moved


def _gone(word: Word) -> click.Command:
    def refuse(words: tuple[str, ...]) -> None:
        del words
        raise BadRequest(f"{word.name} is gone: {word.sentence}")

    return click.Command(
        word.name.split()[-1],
        callback=refuse,
        params=[click.Argument(("words",), nargs=-1, type=click.UNPROCESSED)],
        context_settings={"ignore_unknown_options": True, "help_option_names": []},
        hidden=True,
    )
