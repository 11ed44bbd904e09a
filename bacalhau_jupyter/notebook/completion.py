"""TAB after ``%bacalhau`` and ``%%bacalhau``: our words only, each with a line that says what it is.

The grammar knows what may follow (click's own completion, with `grammar.completing` for values); here are the parts
that a notebook adds: which word the cursor is in, files, and the form in which IPython passes completions on.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem, ShellComplete

from bacalhau_jupyter.grammar import completing
from bacalhau_jupyter.models.jobs.units import format_bytes
from bacalhau_jupyter.models.text import readable

_FILES_LIMIT = 200
_WORDS_LIMIT = 80
_OPEN = re.compile(r"""[^\s"'\\]|\\.|"(?:[^"\\]|\\.)*"|'[^']*'""")


@dataclass(frozen=True)
class Offer:
    """One completion.

    Attributes
    ----------
    start
        Where the text that it replaces begins, in characters of the line.
    text
        What to insert.
    words
        What it is, for people.
    """

    start: int
    text: str
    words: str


@dataclass(frozen=True)
class Typed:
    """A line up to the cursor: its complete words, and the one being typed."""

    words: list[str]
    prefix: str
    start: int
    quote: str = ""


def typed(line: str, start: int = 0) -> Typed:
    """Split a line, from ``start`` up to the cursor at its end, into words and the one being typed."""
    at, word_start = start, start
    while at < len(line):
        match = _OPEN.match(line, at)
        if match is not None:
            at = match.end()
        elif line[at].isspace():
            at += 1
            word_start = at
        else:
            # A quote that is still open.
            break
    quote = line[at] if at < len(line) and line[at] in "\"'" and at == word_start else ""
    before, raw = line[start:word_start], line[word_start + len(quote) :]
    words = _split(before)
    prefix = raw if quote else _unquoted(raw)
    begins = word_start + len(quote)
    flag, equals, value = prefix.partition("=")
    if equals and flag.startswith("--") and not quote:
        return Typed([*words, flag], value, begins + len(flag) + 1)
    return Typed(words, prefix, begins, quote)


def complete(root: click.Command, line: Typed, session: Any) -> list[Offer]:
    """Return what may follow.

    Parameters
    ----------
    root
        The grammar.
    line
        What stands before the cursor.
    session
        Answers for jobs, nodes and variables; None offers none.
    """
    token = completing.PROFILE.set(_profile(line.words))
    try:
        offers = _answers(root, line, line.prefix, session)
        if not offers and not line.prefix and line.words and not _waits_for_value(root, line.words):
            offers = _answers(root, line, "--", session)
    finally:
        completing.PROFILE.reset(token)
    return list({offer.text: offer for offer in offers}.values())


def _answers(root: click.Command, line: Typed, prefix: str, session: Any) -> list[Offer]:
    if not line.words and not prefix.startswith("-"):
        # The cell's grammar takes a missing language for `sh`; TAB asks for the languages.
        items = root.shell_complete(click.Context(root, obj=session), prefix)
    else:
        asked = ShellComplete(root, {"obj": session}, root.name or "bacalhau", "_UNUSED")
        items = asked.get_completions(list(line.words), prefix)
    return [offer for item in items for offer in _offers(item, line)]


def _profile(words: list[str]) -> str | None:
    """Return the saved connection that a line names."""
    named = [value for flag, value in pairwise(words) if flag == "--context"]
    named += [word.partition("=")[2] for word in words if word.startswith("--context=")]
    return named[-1] if named else None


def complete_words(text: str, start: int, session: Any, *, is_cell: bool) -> list[Offer]:
    """Answer TAB at the end of a line whose words begin at ``start``."""
    from bacalhau_jupyter.grammar import bacalhau
    from bacalhau_jupyter.notebook.cell_grammar import cell

    return complete(cell if is_cell else bacalhau, typed(text, start), session)


def variable_words(value: Any) -> str:
    """Say what a variable is: its type, and its size where it has one."""
    kind = type(value).__name__
    try:
        shape = getattr(value, "shape", None)
        if isinstance(shape, tuple):
            return f"{kind} {' × '.join(str(side) for side in shape)}"
        if isinstance(value, (list, dict, tuple, set, str, bytes)):
            return f"{kind} of {len(value)}"
    except Exception:
        return kind
    return kind


def _offers(item: CompletionItem, line: Typed) -> Iterator[Offer]:
    if item.type in ("file", "dir"):
        yield from (
            Offer(line.start, _quoted(name, line), words)
            for name, words in _files(str(item.value or line.prefix), only_folders=item.type == "dir")
            if completing.is_visible(name)
        )
        return
    text = str(item.value)
    # Short forms of flags add nothing to a list with words.
    if len(text) == 2 and text.startswith("-") and text != "--" and line.prefix != text:
        return
    yield Offer(line.start, _quoted(text, line), readable(item.help or "")[:_WORDS_LIMIT])


def _quoted(text: str, line: Typed) -> str:
    """Return a text as one word; a place to go on from gets no closing quote."""
    if line.quote or text == shlex.quote(text) or text.endswith(("=", "://", ":")):
        return text
    return shlex.quote(text)


def _files(prefix: str, *, only_folders: bool) -> list[tuple[str, str]]:
    """Return files here whose path starts with a prefix, directories with a slash."""
    head, _, name = prefix.rpartition("/")
    folder = Path(f"{head}/" if head or prefix.startswith("/") else ".").expanduser()
    try:
        with os.scandir(folder) as entries:
            listed = sorted(
                (entry for entry in entries if entry.name.startswith(name)), key=lambda entry: entry.name
            )[:_FILES_LIMIT]
            named = [entry for entry in listed if name.startswith(".") or not entry.name.startswith(".")]
            base = prefix[: len(prefix) - len(name)]
            return [
                (f"{base}{entry.name}/", "directory")
                if entry.is_dir()
                else (f"{base}{entry.name}", format_bytes(entry.stat().st_size))
                for entry in named
                if entry.is_dir() or not only_folders
            ]
    except OSError:
        return []


def _waits_for_value(root: click.Command, words: list[str]) -> bool:
    """Whether the last word is a flag that takes a value."""
    if not words[-1].startswith("-"):
        return False
    command: click.Command = root
    context = click.Context(root)
    for word in words:
        following = command.get_command(context, word) if isinstance(command, click.Group) else None
        if following is None:
            break
        context, command = click.Context(following, parent=context), following
    return any(
        isinstance(param, click.Option) and words[-1] in param.opts and not (param.is_flag or param.count)
        for param in command.params
    )


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def _unquoted(raw: str) -> str:
    try:
        return "".join(shlex.split(raw)) if raw else ""
    except ValueError:
        return raw
