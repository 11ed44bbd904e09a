"""Placeholders of a job spec, ``{{.name}}``: the part of Go's templates that job specs use.

The official client runs the whole file through Go's ``text/template``. Here that is: values (``{{.name}}``), comments
and trimmed spaces (``{{- … -}}``). Whatever else Go knows is refused in a sentence, never run as it stands.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.text import readable

_ACTION = re.compile(r"\{\{(?P<before>-(?=\s))?(?P<inside>.*?)(?P<after>(?<=\s)-)?\}\}", re.DOTALL)
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
    end, trims = 0, False
    for action in _ACTION.finditer(text):
        literal = text[end : action.start()]
        parts.append(_trimmed(literal, left=trims, right=bool(action["before"])))
        parts.append(_value(action["inside"].strip(), values, _place(text, action.start(), what)))
        end, trims = action.end(), bool(action["after"])
    rest = text[end:]
    if "{{" in rest:
        place = _place(text, end + rest.index("{{"), what)
        raise BadRequest(f"{place}: a placeholder begins with {{{{ and never ends", hint=_AS_IT_IS)
    parts.append(_trimmed(rest, left=trims, right=False))
    return "".join(parts)


_AS_IT_IS = "--no-template takes the spec as it stands"


def _value(inside: str, values: Mapping[str, str], place: str) -> str:
    if _COMMENT.fullmatch(inside):
        return ""
    field = _FIELD.fullmatch(inside)
    if field is None:
        shown = readable(inside)[:_SHOWN]
        raise BadRequest(
            f"{place}: {{{{{shown}}}}} is not supported; placeholders are written {{{{.name}}}}",
            hint=_AS_IT_IS,
        )
    name = field[1]
    if name not in values:
        near = difflib.get_close_matches(name, values, 1)
        raise BadRequest(
            f"{place}: there is no value for {{{{.{name}}}}}",
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
