"""``$name`` and ``{expression}`` in a magic's line: the notebook's values, each as one word; never in bodies.

The rules are IPython's, with three differences that keep surprises away: a value stays one word whatever it holds;
in single quotes nothing is filled in, as in a shell; and ``{jobID}`` and the other names that Bacalhau itself fills in
stay as they are.
"""

from __future__ import annotations

import ast
import builtins
import re
import shlex
from collections.abc import Collection, Mapping
from typing import Any

from bacalhau_jupyter.models.errors import BadRequest

OFFICIAL = frozenset({"jobID", "executionID", "nodeID", "date", "time"})
"""What publishers fill in when they write a result."""

_NAME = re.compile(r"\$([A-Za-z_]\w*)")
_LONGEST = 2000
_AWAITS_VALUE = re.compile(r"-[^-]|--[^=]+")
"""A flag without its value: not ``--name=x``, nor ``-p80``."""
_OPEN, _CLOSE = "\ue0f0", "\ue0f1"
_MARK = re.compile(f"{_OPEN}(\\d+){_CLOSE}")


def words_of(line: str, names: Mapping[str, Any], switches: Collection[str] = ()) -> list[str]:
    """Split a line as a shell would, with the notebook's values filled in.

    Parameters
    ----------
    line
        The line after the magic's name.
    names
        The notebook's variables.
    switches
        Flags that take no value, so that what follows one is not its value.

    Raises
    ------
    BadRequest
        A quote is open, an expression fails, or a value would be read as a flag.
    """
    marked, values = _marked(line.replace(_OPEN, "").replace(_CLOSE, ""), names)
    try:
        words = shlex.split(marked)
    except ValueError as error:
        raise BadRequest(f"the line can't be read: {error}") from None
    filled: list[str] = []
    for place, word in enumerate(words):
        text = _MARK.sub(lambda mark: values[int(mark[1])][1], word)
        first = _MARK.match(word)
        # As the person wrote them: a value that begins with - makes no flag of itself.
        before = words[:place]
        awaits = place > 0 and before[-1] not in switches and _AWAITS_VALUE.fullmatch(before[-1])
        is_value = "--" in before or bool(awaits)
        if first is not None and text.startswith("-") and text != "-" and not is_value:
            raise BadRequest(
                f"the value of {values[int(first[1])][0]} begins with -: it would be read as a flag",
                hint="only values of flags, and words after --, may begin with -",
            )
        filled.append(text)
    return filled


def _marked(line: str, names: Mapping[str, Any]) -> tuple[str, list[tuple[str, str]]]:
    """Replace what is filled in by marks, which hold no space and no quote; return the sources and values, too."""
    out: list[str] = []
    values: list[tuple[str, str]] = []
    at, quote = 0, ""

    def put(source: str, value: str) -> None:
        out.append(f"{_OPEN}{len(values)}{_CLOSE}")
        values.append((source, value))

    while at < len(line):
        sign = line[at]
        if quote == "'":
            quote = "" if sign == "'" else quote
        elif sign == "\\" and at + 1 < len(line):
            out.append(line[at : at + 2])
            at += 2
            continue
        elif sign in "\"'" and quote in ("", sign):
            quote = "" if quote else sign
        elif sign == "$" and (name := _NAME.match(line, at)) and name[1] in names:
            put(name[0], str(names[name[1]]))
            at = name.end()
            continue
        elif line.startswith("{{", at) and (end := line.find("}}", at)) >= 0:
            out.append(line[at + 1 : end + 1])
            at = end + 2
            continue
        elif sign == "{" and not line.endswith("$", 0, at) and (end := _end_of_expression(line, at, names)):
            source = line[at:end]
            put(source, _value(source, names))
            at = end
            continue
        out.append(sign)
        at += 1
    return "".join(out), values


def _end_of_expression(line: str, start: int, names: Mapping[str, Any]) -> int:
    """Return where the Python expression in braces ends; 0 if there is none to be filled in."""
    end = start
    while (end := line.find("}", end + 1, start + _LONGEST)) >= 0:
        text = line[start + 1 : end]
        if _parsed(text) is not None:
            name = text.strip()
            # `awk '{print}'` means no function of the notebook.
            is_foreign = name in OFFICIAL or (hasattr(builtins, name) and name not in names)
            return 0 if is_foreign else end + 1
    return 0


def _parsed(text: str) -> tuple[ast.Expression, str] | None:
    """Return an expression and its format (``lr:.3f``); None if it is not one."""
    expression, colon, form = text, "", ""
    while True:
        try:
            tree = ast.parse(expression.strip(), mode="eval")
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            if colon or ":" not in text:
                return None
            expression, colon, form = text.rpartition(":")
            continue
        # `{"a":1}` is JSON, `{1}` and `{a,b}` belong to a shell: no value of the notebook.
        is_value = not isinstance(tree.body, ast.Constant | ast.Tuple)
        return (tree, form) if is_value else None


def _value(source: str, names: Mapping[str, Any]) -> str:
    parsed = _parsed(source[1:-1])
    if parsed is None:  # pragma: no cover
        return source
    tree, form = parsed
    try:
        # The person's own expression, in the person's own notebook.
        value = eval(compile(tree, "<line>", "eval"), dict(names))
        return format(value, form) if form else str(value)
    except Exception as error:
        raise BadRequest(
            f"{source} can't be filled in: {type(error).__name__}: {error}",
            hint="in single quotes, and as {{…}}, braces stay as they are",
        ) from None
