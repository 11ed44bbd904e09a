"""Where the functions of a text begin: the compiler names a place in the module where a function is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|;;[^\n]*|\(;|\(|\)|[^\s()";]+|;')
_COMMENT_END = re.compile(r"\(;|;\)")


def line_of_function(text: str, number: int) -> int:
    """Return the line, from 1 on, in which a function begins.

    Parameters
    ----------
    text
        The text form of a module that compiles.
    number
        Which of its own functions, from 0 on; imported ones don't count.

    Returns
    -------
    int
        0 where it can't be found.
    """
    places = [start for start, is_imported in _functions(text) if not is_imported]
    return text.count("\n", 0, places[number]) + 1 if number < len(places) else 0


def _functions(text: str) -> Iterator[tuple[int, bool]]:
    """Yield where each function field of the module begins, and whether it is an import."""
    depth, field_depth, opened = 0, 1, -1
    current: list[tuple[int, bool]] = []
    for start, token in _tokens(text):
        if token == "(":
            opened = start
            depth += 1
            continue
        if token == ")":
            depth -= 1
            if current and depth < field_depth:
                yield current.pop()
            opened = -1
            continue
        if opened >= 0:
            if token == "module" and depth == 1:
                field_depth = 2
            elif token == "func" and depth == field_depth:
                current.append((opened, False))
            elif token == "import" and current and depth == field_depth + 1:
                current[-1] = (current[-1][0], True)
        opened = -1


def _tokens(text: str) -> Iterator[tuple[int, str]]:
    at = 0
    while match := _TOKEN.search(text, at):
        at = match.end()
        if match[0] == "(;":
            at = _behind_comment(text, at)
        elif not match[0].startswith(";;"):
            yield match.start(), match[0]


def _behind_comment(text: str, at: int) -> int:
    """Return where a comment ends; comments may hold others."""
    depth = 1
    while depth:
        match = _COMMENT_END.search(text, at)
        if match is None:
            return len(text)
        depth += 1 if match[0] == "(;" else -1
        at = match.end()
    return at
