"""Placeholders of a job spec, ``{{.name}}``: the part of Go's templates that job specs use.

The official client runs the whole file through Go's ``text/template``. Here that is: values (``{{.name}}``), comments
and trimmed spaces (``{{- … -}}``). Whatever else Go knows is refused in a sentence, never run as it stands.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from functools import partial

from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.text import readable

MOST_CHARACTERS = 10_000_000
"""Of a spec whose placeholders are filled in: what the API takes."""

_TRIMS_BEFORE, _TRIMS_AFTER = re.compile(r"-\s"), re.compile(r"\s-$")
_COMMENT = re.compile(r"/\*.*\*/", re.DOTALL)
_FIELD = re.compile(r"\.([^\W\d]\w*)")
_SHOWN = 60


def filled_in(text: str, values: Mapping[str, str], what: str) -> str:
    """Return a spec with its placeholders replaced; what a value holds is not looked at again.

    Parameters
    ----------
    text
        The spec.
    values
        Name → value.
    what
        What the text is, for the error's sentence.

    Raises
    ------
    BadRequest
        A placeholder has no value, is not closed, or says something that is not supported here.
    """
    parts: list[str] = []
    size = start = 0
    trims = False
    # Not by a pattern: that would look for the end of each of many braces anew.
    while (opens := text.find("{{", start)) >= 0:
        place = partial(_place, text, opens, what)
        closes = text.find("}}", opens + 2)
        if closes < 0:
            raise BadRequest(f"{place()}: a placeholder begins with {{{{ and never ends", hint=_AS_IT_IS)
        inside = text[opens + 2 : closes]
        trims_before, trims_after = _TRIMS_BEFORE.match(inside), _TRIMS_AFTER.search(inside[-2:])
        literal = _trimmed(text[start:opens], left=trims, right=trims_before is not None)
        inside = inside[1 if trims_before else 0 : -1 if trims_after else None]
        value = _value(inside.strip(), values, place)
        start, trims = closes + 2, trims_after is not None
        parts += [literal, value]
        size += len(literal) + len(value)
        if size > MOST_CHARACTERS:
            raise BadRequest(f"{place()}: filled in, it has more than {MOST_CHARACTERS:,} characters")
    parts.append(_trimmed(text[start:], left=trims, right=False))
    return "".join(parts)


_AS_IT_IS = "--no-template takes the spec as it stands"


def _value(inside: str, values: Mapping[str, str], place: Callable[[], str]) -> str:
    if _COMMENT.fullmatch(inside):
        return ""
    field = _FIELD.fullmatch(inside)
    if field is None:
        shown = readable(inside)[:_SHOWN]
        raise BadRequest(
            f"{place()}: {{{{{shown}}}}} is not supported; placeholders are written {{{{.name}}}}",
            hint=_AS_IT_IS,
        )
    name = field[1]
    if name not in values:
        name = name[:_SHOWN]
        near = difflib.get_close_matches(name, values, 1)
        raise BadRequest(
            f"{place()}: there is no value for {{{{.{name}}}}}",
            hint=(f"did you mean {{{{.{near[0]}}}}}? " if near else "")
            + f"give one with -V {name}=VALUE, or take it from the environment with -E {name}; {_AS_IT_IS}",
        )
    return values[name]


def _trimmed(literal: str, *, left: bool, right: bool) -> str:
    """Trim a text as Go does: spaces, tabs and line ends only."""
    blanks = " \t\r\n"
    literal = literal.lstrip(blanks) if left else literal
    return literal.rstrip(blanks) if right else literal


def _place(text: str, offset: int, what: str) -> str:
    return f"{what} at line {text.count(chr(10), 0, offset) + 1}"


def template_values(
    chosen: Mapping[str, str], pattern: str, environment: Mapping[str, str]
) -> dict[str, str]:
    """Return the values of placeholders: chosen ones, then variables whose names a pattern is found in.

    ``*`` stands for all variables, as officially.

    Raises
    ------
    BadRequest
        The pattern is not a regular expression.
    """
    if not pattern:
        return dict(chosen)
    try:
        expression = re.compile(".*" if pattern == "*" else pattern)
    except re.error as error:
        raise BadRequest(f"-E {readable(pattern)!r} is not a regular expression: {error}") from error
    return {name: value for name, value in environment.items() if expression.search(name)} | dict(chosen)
