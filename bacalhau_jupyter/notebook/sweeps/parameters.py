"""The words of ``--sweep NAME=VALUE,START:STOP:STEP``, and the combinations that they span."""

from __future__ import annotations

import itertools
import json
import keyword
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.notebook.sweeps.ranges import NumberRange, looks_like_range, read_range

PARAMETERS = "SWEEP_PARAMETERS"
"""Environment variable with the parameters of a combination, as JSON; a spec may not set one of Bacalhau's names."""

FLAG = "--sweep"
LIMIT_FLAG = "--sweep-limit"
ASKED_FROM = 100
"""A sweep of more combinations asks first."""
REFUSED_FROM = 10_000
"""A sweep of so many does not even ask: the flag has to say it."""
MOST = 1_000_000
"""Combinations of the largest sweep: no flag allows more."""

_OPENING = '"[{'


@dataclass(frozen=True)
class Value:
    """One value: as Python has it, and as it was written."""

    value: Any
    text: str


@dataclass(frozen=True)
class Combination:
    """One job's parameters: name → value."""

    values: Mapping[str, Value]

    @property
    def parameters(self) -> dict[str, Any]:
        """The values as Python has them."""
        return {name: each.value for name, each in self.values.items()}

    @property
    def label(self) -> str:
        """What distinguishes the job, for people."""
        return ", ".join(f"{name}={each.text}" for name, each in self.values.items())

    def environment(self, *, is_python: bool) -> dict[str, str]:
        """Return how the job learns of them: Python and SQL as JSON, others as variables of the environment.

        Those are upper case, as Bacalhau wants them.
        """
        if is_python:
            return {PARAMETERS: json.dumps(self.parameters)}
        return {name.upper(): _as_text(each) for name, each in self.values.items()}


@dataclass(frozen=True)
class Axis:
    """The values of one parameter: single values and ranges, in the order in which they were written."""

    parts: Sequence[Value | NumberRange]

    @property
    def count(self) -> int:
        """How many values there are."""
        return sum(part.count if isinstance(part, NumberRange) else 1 for part in self.parts)

    def __iter__(self) -> Iterator[Value]:
        for part in self.parts:
            if isinstance(part, NumberRange):
                yield from (Value(number, repr(number)) for number in part)
            else:
                yield part


@dataclass(frozen=True)
class Space:
    """What the ``--sweep`` flags of a cell span: it is counted before a combination is made.

    Attributes
    ----------
    axes
        The values of each parameter, by name.
    """

    axes: Mapping[str, Axis]

    @property
    def count(self) -> int:
        """How many combinations there are."""
        return math.prod(axis.count for axis in self.axes.values())

    def __iter__(self) -> Iterator[Combination]:
        """Make every combination, the last parameter changing fastest."""
        for values in itertools.product(*self.axes.values()):
            yield Combination(dict(zip(self.axes, values, strict=True)))

    def first(self) -> Combination:
        """Make the first combination only."""
        return Combination({name: next(iter(axis)) for name, axis in self.axes.items()})


def spanned(texts: Sequence[str], *, taken: Collection[str] = ()) -> Space:
    """Return what the values of all parameters span.

    Parameters
    ----------
    texts
        ``NAME=VALUE,VALUE``, one per parameter; a value may be a range ``START:STOP:STEP``.
    taken
        Names that mean something else in the cell.

    Raises
    ------
    BadRequest
        A text can't be read, a name is there twice, or there are more than `MOST` combinations.
    """
    axes: dict[str, Axis] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        name = name.strip()
        if not equals or not name.isidentifier() or keyword.iskeyword(name):
            raise BadRequest(f"{FLAG} needs NAME=VALUE,VALUE, not {text!r}", hint=f"{FLAG} lr=0.1,0.01")
        if name.upper() in (other.upper() for other in axes):
            raise BadRequest(f"{FLAG} names {name} twice", hint=f"all its values in one: {FLAG} {name}=A,B")
        if name in taken or name.upper() in taken:
            raise BadRequest(f"{FLAG} {name}: the cell's --in, --out or --env uses that name")
        axes[name] = axis_of(values, name)
    space = Space(axes)
    if space.count > MOST:
        raise BadRequest(
            f"{FLAG} spans {_many(space.count)} combinations", hint="sweep fewer values at a time"
        )
    return space


def axis_of(text: str, name: str) -> Axis:
    """Read values that commas separate: numbers with colons are a range, what JSON reads is that, all else is text.

    A value that holds a comma is written in double quotes, as JSON writes it; a quoted value is always text.

    Raises
    ------
    BadRequest
        A value is empty, a quote or bracket does not end, or a range can't be read.
    """
    parts: list[Value | NumberRange] = []
    position = 0
    while True:
        part, position = _next_part(text, position, name)
        parts.append(part)
        if position >= len(text):
            return Axis(parts)
        position += 1


def _next_part(text: str, start: int, name: str) -> tuple[Value | NumberRange, int]:
    """Return the value or range that starts there, and the place of the comma behind it (or the end)."""
    if text[start : start + 1] and text[start] in _OPENING:
        try:
            value, end = json.JSONDecoder().raw_decode(text, start)
        except (ValueError, RecursionError) as error:
            raise BadRequest(
                f"{FLAG} {name}: {text[start : start + 200]!r} does not end as JSON would: {error}",
                hint="quote the whole word for the line, too: --sweep 'name=\"a,b\",c'",
            ) from None
        if text[end : end + 1] not in ("", ","):
            raise BadRequest(f"{FLAG} {name}: a comma has to follow {text[start:end]}")
        return Value(value, text[start:end]), end
    comma = text.find(",", start)
    end = len(text) if comma < 0 else comma
    word = text[start:end].strip()
    if not word:
        raise BadRequest(f"{FLAG} {name} has an empty value", hint=f"an empty text is written {name}='\"\"'")
    if looks_like_range(word):
        return read_range(word, f"{FLAG} {name}"), end
    return Value(_read(word), word), end


def _read(word: str) -> Any:
    try:
        return json.loads(word, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return word


def _no_number(word: str) -> Any:
    """NaN and Infinity are no JSON."""
    raise ValueError(word)


def _many(count: int) -> str:
    """Write a count for people, however large: Python refuses to write out very long numbers."""
    return f"{count:,}" if count < 10**15 else "far too many"


def _as_text(value: Value) -> str:
    return value.value if isinstance(value.value, str) else value.text
