"""Resources and durations as people write them, checked before the job leaves: each error says what to write."""

from __future__ import annotations

import re
from collections.abc import Callable

from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.jobs.goduration import whole_seconds
from bacalhau_jupyter.models.jobs.spec import ResourcesConfig
from bacalhau_jupyter.models.jobs.units import clean, format_bytes, parse_bytes, parse_cpu, parse_gpu

_LEAST = 1_000_000
"""Bytes below which a plain number was certainly not meant as bytes."""

_NUMBER_WORD = re.compile(r"(\d+(?:\.\d+)?)([a-z]*)")
_SIZE_WORDS = {"g": "gb", "m": "mb", "k": "kb", "t": "tb"}


def resources_asked(resources: ResourcesConfig) -> ResourcesConfig:
    """Return the resources if they can be read and make sense.

    Raises
    ------
    BadRequest
        One can't; the right form is named.
    """
    _check("CPU", "--cpu", resources.cpu, parse_cpu)
    _check("memory", "--memory", resources.memory, parse_bytes)
    _check("disk", "--disk", resources.disk, parse_bytes)
    _check("GPU", "--gpu", resources.gpu, parse_gpu)
    return resources


def seconds_asked(value: str | float, what: str) -> int:
    """Return a duration in whole seconds.

    Raises
    ------
    BadRequest
        The text is not a duration.
    """
    try:
        return whole_seconds(value)
    except ValueError:
        raise BadRequest(
            f"{what} {value!r} is not a duration", hint="write 90s, 1m30s, 2h, or plain seconds"
        ) from None


def _check(name: str, flag: str, text: str, parse: Callable[[str], float]) -> None:
    if not clean(text):
        return
    try:
        amount = parse(text)
    except ValueError:
        raise BadRequest(
            f"{name} {text!r} can't be read", hint=_right_form(name, flag, clean(text))
        ) from None
    if name in ("memory", "disk") and 0 < amount < _LEAST:
        number = _NUMBER_WORD.match(clean(text))
        digits = number[1] if number else "512"
        raise BadRequest(
            f"{name} {text!r} is {format_bytes(int(amount))}: no job runs in that",
            hint=f"did you mean {flag} {digits}mb? sizes are written as 512mb or 4gb",
        )


def _right_form(name: str, flag: str, text: str) -> str:
    number = _NUMBER_WORD.match(text)
    if name == "CPU":
        return (f"did you mean {flag} {number[1]}? " if number else "") + "write cores: 2, 0.5 or 500m"
    if name == "GPU":
        return f"write a whole number: {flag} 1"
    unit = _SIZE_WORDS.get(number[2][:1]) if number else None
    meant = f"did you mean {flag} {number[1]}{unit}? " if number and unit else ""
    return f"{meant}sizes are written as 512mb, 4gb or 4gib"
