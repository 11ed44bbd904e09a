"""Label selectors: Kubernetes' grammar in, constraints out, and what they match.

::

    selector    = [requirement {"," requirement}]
    requirement = key | "!" key | key ("=" | "==" | "!=" | ">" | "<") value | key ("in" | "notin") "(" values ")"
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.jobs.spec import Constraint, replace

FAVOUR_PREFIX = "favour_"
"""A constraint whose key starts so is a preference, not a condition."""

OPERATORS = ("=", "==", "!=", "in", "notin", "exists", "!", "gt", "lt")
"""Every operator of a `Constraint`."""

_TOKEN = re.compile(r"\s*(==|!=|[=!(),<>]|[^\s=!(),<>]+)")
_INTEGER = re.compile(r"[+-]?\d{1,19}", re.ASCII)
_WORDS = {">": "gt", "<": "lt"}


class _Token(NamedTuple):
    """A word or symbol with its position, counted from 1."""

    text: str
    at: int

    @property
    def is_word(self) -> bool:
        return bool(self.text) and self.text[0] not in "=!(),<>"


def parse_selector(text: str) -> list[Constraint]:
    """Turn selector text such as ``zone=eu,gpu in (a,b),!spot,cores>4`` into constraints.

    Raises
    ------
    BadRequest
        The text breaks the grammar; what was found where is named.
    """
    tokens = _tokens(text)
    constraints: list[Constraint] = []
    while tokens:
        constraints.append(_requirement(text, tokens))
        if tokens:
            comma = tokens.pop(0)
            if comma.text != "," or not tokens:
                raise _error(text, comma, "a comma and another requirement")
    return constraints


def parse_selectors(texts: Iterable[str]) -> list[Constraint]:
    """Turn several selector texts, all of which must hold, into constraints."""
    return [constraint for text in texts for constraint in parse_selector(text)]


def matches(constraints: Iterable[Constraint], labels: Mapping[str, str]) -> bool:
    """Whether the labels meet every constraint.

    ``!=`` and ``notin`` also hold where the key is missing; ``gt`` and ``lt`` compare integers and never hold for
    other text.
    """
    return all(_holds(constraint, labels.get(constraint.key)) for constraint in constraints)


def split_favoured(constraints: Iterable[Constraint]) -> tuple[list[Constraint], list[Constraint]]:
    """Separate conditions from preferences; the preferences come back without their ``favour_`` prefix."""
    required, favoured = [], []
    for constraint in constraints:
        if constraint.key.startswith(FAVOUR_PREFIX):
            favoured.append(replace(constraint, key=constraint.key.removeprefix(FAVOUR_PREFIX)))
        else:
            required.append(constraint)
    return required, favoured


def describe(constraints: Iterable[Constraint]) -> str:
    """Write constraints the way Bacalhau's reasons do: ``[zone = eu gpu in a|b]``."""
    return "[" + " ".join(f"{c.key} {c.operator} {'|'.join(c.values)}" for c in constraints) + "]"


def constraint_problems(constraint: Constraint) -> list[str]:
    """Return one sentence per rule the constraint breaks, in the official words where they exist."""
    problems = []
    if not constraint.key.strip():
        problems.append("selector key cannot be blank")
    operator, values = constraint.operator, constraint.values
    if operator in ("in", "notin"):
        if not values:
            problems.append("selector values cannot be empty for In or NotIn operators")
    elif operator in ("exists", "!"):
        if values:
            problems.append("selector values must be empty for Exists or KeyNotInImap operators")
    elif len(values) != 1:
        problems.append("selector values must have exactly one value for other operators")
    elif operator in ("gt", "lt") and not _INTEGER.fullmatch(values[0]):
        problems.append(f'selector value "{values[0]}" must be an integer for the operator {operator}')
    if operator not in OPERATORS:
        problems.append(f'selector operator "{operator}" is not supported, only {", ".join(OPERATORS)}')
    return problems


def _holds(constraint: Constraint, label: str | None) -> bool:
    match constraint.operator:
        case "=" | "==" | "in":
            return label in constraint.values
        case "!=" | "notin":
            return label not in constraint.values
        case "exists":
            return label is not None
        case "!":
            return label is None
        case "gt" | "lt":
            if label is None or not constraint.values:
                return False
            bound = constraint.values[0]
            if not _INTEGER.fullmatch(label) or not _INTEGER.fullmatch(bound):
                return False
            return int(label) > int(bound) if constraint.operator == "gt" else int(label) < int(bound)
        case _:
            return False


def _tokens(text: str) -> list[_Token]:
    tokens = []
    end = len(text.rstrip())
    at = 0
    while at < end:
        match = _TOKEN.match(text, at)
        assert match is not None  # every character but white space is part of some token
        tokens.append(_Token(match[1], match.start(1) + 1))
        at = match.end()
    return tokens


def _requirement(text: str, tokens: list[_Token]) -> Constraint:
    token = tokens.pop(0)
    if token.text == "!":
        return Constraint(key=_word(text, tokens, "a label key"), operator="!")
    if not token.is_word:
        raise _error(text, token, "a label key")
    if not tokens or tokens[0].text == ",":
        return Constraint(key=token.text, operator="exists")
    operator = tokens.pop(0)
    if operator.text in ("in", "notin"):
        return Constraint(key=token.text, operator=operator.text, values=_values(text, tokens))
    if operator.text in ("=", "==", "!="):
        empty = not tokens or tokens[0].text == ","
        value = "" if empty else _word(text, tokens, "a value")
        return Constraint(key=token.text, operator=operator.text, values=[value])
    if operator.text in _WORDS:
        at = tokens[0] if tokens else None
        value = _word(text, tokens, "an integer")
        if at is not None and not _INTEGER.fullmatch(value):
            raise _error(text, at, "an integer")
        return Constraint(key=token.text, operator=_WORDS[operator.text], values=[value])
    raise _error(text, operator, "one of = == != in notin > <")


def _values(text: str, tokens: list[_Token]) -> list[str]:
    opening = tokens.pop(0) if tokens else None
    if opening is None or opening.text != "(":
        raise _error(text, opening, '"("')
    values = [""]
    while True:
        token = tokens.pop(0) if tokens else None
        if token is None or (token.text not in (",", ")") and not (token.is_word and values[-1] == "")):
            raise _error(text, token, '"," or ")"')
        if token.text == ")":
            return values
        if token.text == ",":
            values.append("")
        else:
            values[-1] = token.text


def _word(text: str, tokens: list[_Token], expected: str) -> str:
    token = tokens.pop(0) if tokens else None
    if token is None or not token.is_word:
        raise _error(text, token, expected)
    return token.text


def _error(text: str, token: _Token | None, expected: str) -> BadRequest:
    place = f'"{token.text}" at position {token.at}' if token else f"the end at position {len(text) + 1}"
    return BadRequest(
        f'label selector "{text}" is wrong: found {place}, expected {expected}',
        hint="Examples: zone=eu · zone in (eu,us) · !spot · cores>4",
        component="Selector",
    )
