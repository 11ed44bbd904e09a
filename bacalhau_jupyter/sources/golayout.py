"""Times in the layouts of Go (``2006-01-02``), as far as partitions by date need them.

A layout writes the reference time, Monday 2 January 2006 15:04:05, in the wanted form. Results must be those
of Go's `time.Parse` and `Time.Format` to the byte: they decide which execution gets which object.
"""

from __future__ import annotations

import calendar
import datetime
import re
from collections.abc import Callable
from dataclasses import dataclass

_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
# Longest first where one starts with another; a word goes on in lower case when it is not a month or a day.
_TOKEN = re.compile(
    r"January|Jan(?![a-z])|Monday|Mon(?![a-z])|MST|2006|__2|002|0[1-6]|15|_2(?!006)|PM|pm"
    r"|[Z-](?:07:00:00|070000|07:00|0700|07)|[.,](?:0+|9+)(?![0-9])|[1-5]"
)
_FRACTION = re.compile(r"[.,][09]")
_EXTRA_FRACTION = re.compile(r"[.,][0-9]+")


@dataclass
class _Time:
    year: int = 0
    month: int = 0
    day: int = 0
    year_day: int = 0
    hour: int = 0
    minute: int = 0
    second: int = 0
    nanosecond: int = 0
    half: str = ""
    zone: str = ""
    # Seconds east of UTC.
    offset: int = 0

    def settle(self) -> None:
        """Fill in what was not given and check what was; raises ValueError."""
        if self.half == "PM" and self.hour < 12:
            self.hour += 12
        elif self.half == "AM" and self.hour == 12:
            self.hour = 0
        if self.year_day:
            self._settle_year_day()
        self.month = self.month or 1
        self.day = self.day if self.day else 1
        if self.day > _month_length(self.year, self.month):
            raise ValueError("day out of range")

    def _settle_year_day(self) -> None:
        month, left = 1, self.year_day
        while month <= 12 and left > _month_length(self.year, month):
            left -= _month_length(self.year, month)
            month += 1
        if month > 12 or self.month not in (0, month) or self.day not in (0, left):
            raise ValueError("day of the year out of range")
        self.month, self.day = month, left

    def date(self) -> datetime.date:
        # The calendar repeats, weekdays and all, every 400 years; Python has no year 0.
        return datetime.date(self.year or 400, self.month, self.day)


def _month_length(year: int, month: int) -> int:
    return calendar.monthrange(year or 400, month)[1]


def _pieces(layout: str) -> list[tuple[str, str]]:
    """Split a layout into ``(literal, token)`` pairs; the last token is empty."""
    pieces, start = [], 0
    for match in _TOKEN.finditer(layout):
        pieces.append((layout[start : match.start()], match[0]))
        start = match.end()
    return [*pieces, (layout[start:], "")]


def parse(layout: str, value: str) -> _Time:
    """Read a time.

    Raises
    ------
    ValueError
        The text is not in the layout, or no such time exists.
    """
    time, pieces = _Time(), _pieces(layout)
    for number, (literal, token) in enumerate(pieces):
        value = _skip(value, literal)
        if not token:
            break
        value = _read(time, token, value)
        if token in ("05", "5") and _EXTRA_FRACTION.match(value):
            # Go takes a fraction after seconds even where the layout names none.
            following = "".join(pieces[number + 1])
            if not _FRACTION.match(following):
                value = _read(time, ".9", value)
    if value:
        raise ValueError("extra text")
    time.settle()
    return time


def _skip(value: str, literal: str) -> str:
    """Take a literal off; one space there means any number of them."""
    position = 0
    while position < len(literal):
        if literal[position] == " ":
            if value and value[0] != " ":
                raise ValueError("a space is missing")
            while position < len(literal) and literal[position] == " ":
                position += 1
            value = value.lstrip(" ")
            continue
        if not value or value[0] != literal[position]:
            raise ValueError("the text differs")
        position, value = position + 1, value[1:]
    return value


def _number(value: str, pattern: str, low: int, high: int) -> tuple[int, str]:
    match = re.match(pattern, value, re.ASCII)
    if match is None or not low <= int(match[0]) <= high:
        raise ValueError("a number is missing or out of range")
    return int(match[0]), value[match.end() :]


def _word(value: str, words: tuple[str, ...]) -> tuple[int, str]:
    for index, word in enumerate(words):
        if value[: len(word)].lower() == word.lower() and value[: len(word)].isascii():
            return index, value[len(word) :]
    raise ValueError("a name is missing")


_TWO, _ONE_OR_TWO = r"[0-9]{2}", r"[0-9]{1,2}"
# Which field a token sets, how its digits look, and what they may say.
_NUMBERS: dict[str, tuple[str, str, int, int]] = {
    "2006": ("year", r"[0-9]{4}", 0, 9999),
    "01": ("month", _TWO, 1, 12),
    "1": ("month", _ONE_OR_TWO, 1, 12),
    "02": ("day", _TWO, 1, 31),
    "2": ("day", _ONE_OR_TWO, 1, 31),
    "_2": ("day", _ONE_OR_TWO, 1, 31),
    "002": ("year_day", r"[0-9]{3}", 1, 366),
    "__2": ("year_day", r"[0-9]{1,3}", 1, 366),
    "15": ("hour", _ONE_OR_TWO, 0, 23),
    "03": ("hour", _TWO, 0, 12),
    "3": ("hour", _ONE_OR_TWO, 0, 12),
    "04": ("minute", _TWO, 0, 59),
    "4": ("minute", _ONE_OR_TWO, 0, 59),
    "05": ("second", _TWO, 0, 59),
    "5": ("second", _ONE_OR_TWO, 0, 59),
}


def _read(time: _Time, token: str, value: str) -> str:
    """Read one token into the time and return the rest of the text."""
    if token in _NUMBERS:
        field, pattern, low, high = _NUMBERS[token]
        if token.startswith("_"):
            padding = len(value) - len(value.lstrip(" "))
            value = value[min(padding, len(token) - 1) :]
        number, value = _number(value, pattern, low, high)
        setattr(time, field, number)
        return value
    if token == "06":
        number, value = _number(value, _TWO, 0, 99)
        time.year = number + (1900 if number >= 69 else 2000)
        return value
    if token in ("January", "Jan"):
        index, value = _word(value, tuple(name[: len(token) if token == "Jan" else None] for name in _MONTHS))
        time.month = index + 1
        return value
    if token in ("Monday", "Mon"):
        return _word(value, tuple(name[: 3 if token == "Mon" else None] for name in _DAYS))[1]
    if token in ("PM", "pm"):
        words = ("AM", "PM") if token == "PM" else ("am", "pm")
        if value[:2] not in words:
            raise ValueError("AM or PM is missing")
        time.half = value[:2].upper()
        return value[2:]
    return _read_fraction(time, token, value) if token[0] in ".," else _read_zone(time, token, value)


def _read_fraction(time: _Time, token: str, value: str) -> str:
    match = _EXTRA_FRACTION.match(value)
    if "0" in token:
        match = re.match(rf"[.,][0-9]{{{len(token) - 1}}}", value)
        if match is None:
            raise ValueError("a fraction is missing")
    if match is None:
        return value
    digits = match[0][1:]
    if len(digits) > 9 and "0" in token:
        raise ValueError("the fraction is too long")
    time.nanosecond = int(digits[:9].ljust(9, "0"))
    return value[match.end() :]


def _read_zone(time: _Time, token: str, value: str) -> str:
    if token == "MST":
        match = re.match(r"[A-Z]{3}(?:[A-Z]*T)?(?![A-Z])", value)
        if match is None:
            raise ValueError("a time zone is missing")
        time.zone = match[0]
        return value[match.end() :]
    if token[0] == "Z" and value.startswith("Z"):
        return value[1:]
    pattern = "([+-])" + re.sub(r"07|00", r"([0-9]{2})", token[1:])
    match = re.match(pattern, value)
    if match is None:
        raise ValueError("a time zone is missing")
    hours, minutes, seconds = (*(int(part) for part in match.groups()[1:]), 0, 0)[:3]
    if hours > 24 or minutes > 60 or seconds > 60:
        raise ValueError("a time zone is out of range")
    time.offset = (hours * 3600 + minutes * 60 + seconds) * (-1 if match[1] == "-" else 1)
    return value[match.end() :]


_FORMATS: dict[str, Callable[[_Time], str]] = {
    "2006": lambda time: f"{time.year:04d}",
    "06": lambda time: f"{time.year % 100:02d}",
    "January": lambda time: _MONTHS[time.month - 1],
    "Jan": lambda time: _MONTHS[time.month - 1][:3],
    "01": lambda time: f"{time.month:02d}",
    "1": lambda time: str(time.month),
    "Monday": lambda time: _DAYS[time.date().weekday()],
    "Mon": lambda time: _DAYS[time.date().weekday()][:3],
    "02": lambda time: f"{time.day:02d}",
    "2": lambda time: str(time.day),
    "_2": lambda time: f"{time.day:2d}",
    "002": lambda time: f"{time.date().timetuple().tm_yday:03d}",
    "__2": lambda time: f"{time.date().timetuple().tm_yday:3d}",
    "15": lambda time: f"{time.hour:02d}",
    "03": lambda time: f"{time.hour % 12 or 12:02d}",
    "3": lambda time: str(time.hour % 12 or 12),
    "04": lambda time: f"{time.minute:02d}",
    "4": lambda time: str(time.minute),
    "05": lambda time: f"{time.second:02d}",
    "5": lambda time: str(time.second),
    "PM": lambda time: "PM" if time.hour >= 12 else "AM",
    "pm": lambda time: "pm" if time.hour >= 12 else "am",
    "MST": lambda time: time.zone or "UTC",
}


def format_time(layout: str, time: _Time) -> str:
    """Write a time in a layout."""
    text = []
    for literal, token in _pieces(layout):
        text.append(literal)
        if token in _FORMATS:
            text.append(_FORMATS[token](time))
        elif token and token[0] in ".,":
            text.append(_fraction(token, time.nanosecond))
        elif token:
            text.append(_offset(token, time.offset))
    return "".join(text)


def _fraction(token: str, nanosecond: int) -> str:
    digits = f"{nanosecond:09d}"[: len(token) - 1].ljust(len(token) - 1, "0")
    if "9" in token:
        digits = digits.rstrip("0")
    return token[0] + digits if digits else ""


def _offset(token: str, offset: int) -> str:
    if token[0] == "Z" and not offset:
        return "Z"
    hours, rest = divmod(abs(offset), 3600)
    parts = [hours, *divmod(rest, 60)]
    colon = ":" if ":" in token else ""
    count = len(re.findall(r"07|00", token))
    return ("-" if offset < 0 else "+") + colon.join(f"{part:02d}" for part in parts[:count])


def survives_round_trip(layout: str) -> bool:
    """Whether a time written in the layout can be read again: the reference time stands for all."""
    reference = _Time(year=2006, month=1, day=2, hour=15, minute=4, second=5)
    try:
        parse(layout, format_time(layout, reference))
    except ValueError:
        return False
    return True


def canonical(layout: str, value: str) -> str | None:
    """Return the time of a text, read and written in the layout; None when it is not one."""
    try:
        return format_time(layout, parse(layout, value))
    except ValueError:
        return None
