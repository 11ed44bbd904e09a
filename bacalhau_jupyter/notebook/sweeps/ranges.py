"""``START:STOP:STEP`` in ``--sweep``: a range of numbers that is counted before any of its values is made."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from bacalhau_jupyter.models.errors import BadRequest

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_LARGEST_EXPONENT = 300
"""Numbers beyond it have no exact float, or none at all."""
_MOST_DIGITS = 400


@dataclass(frozen=True)
class NumberRange:
    """Numbers from ``start`` on, ``step`` apart; ``stop`` is one of them where a step lands exactly on it.

    Attributes
    ----------
    is_whole
        Whether all three were written as whole numbers: then the values are ``int``, else ``float``.
    """

    start: Fraction
    stop: Fraction
    step: Fraction
    is_whole: bool

    @property
    def count(self) -> int:
        """How many numbers there are; nothing is made to count them."""
        return (self.stop - self.start) // self.step + 1

    def __iter__(self) -> Iterator[int | float]:
        for number in range(self.count):
            # Counted from the start: steps that are added one by one would add their rounding errors, too.
            exact = self.start + number * self.step
            yield int(exact) if self.is_whole else float(exact)


def looks_like_range(word: str) -> bool:
    """Whether a word is numbers with colons between them: also one that is no complete range."""
    first, *others = word.split(":")
    return bool(others) and bool(_NUMBER.fullmatch(first)) and all(map(_is_number_or_empty, others))


def read_range(word: str, flag: str) -> NumberRange:
    """Read a range.

    Parameters
    ----------
    word
        What stands for it.
    flag
        The flag and the name of the parameter, for the message.

    Raises
    ------
    BadRequest
        It is not complete, its step is 0, it is empty, or a number is too large or too small.
    """
    parts = word.split(":")
    text_hint = f"start:stop:step, for example 0.1:0.5:0.1; a text is written in quotes: '\"{word}\"'"
    if len(parts) != 3 or "" in parts:
        raise BadRequest(f"{flag}: the range {word} needs a start, a stop and a step", hint=text_hint)
    start, stop, step = (_exact(part, word, flag) for part in parts)
    if step == 0:
        raise BadRequest(f"{flag}: the step of the range {word} is 0", hint=text_hint)
    if start != stop and (stop > start) != (step > 0):
        raise BadRequest(
            f"{flag}: the range {word} is empty, for its step leads away from {parts[1]}",
            hint=f"{parts[0]}:{parts[1]}:{_negated(parts[2])} leads there",
        )
    return NumberRange(start, stop, step, all(_WHOLE.fullmatch(part) for part in parts))


def _is_number_or_empty(part: str) -> bool:
    return not part or bool(_NUMBER.fullmatch(part))


def _exact(part: str, word: str, flag: str) -> Fraction:
    number = Decimal(part) if len(part) <= _MOST_DIGITS else Decimal("Infinity")
    # An exponent is looked at before it is multiplied out.
    if not number.is_finite() or (number and abs(number.adjusted()) > _LARGEST_EXPONENT):
        raise BadRequest(f"{flag}: a number of the range {word[:80]} is too large or too small to count with")
    return Fraction(number)


def _negated(part: str) -> str:
    return part[1:] if part.startswith("-") else f"-{part.removeprefix('+')}"
