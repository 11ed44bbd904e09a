"""Resources as people write them, turned into numbers and back.

CPU is in cores (``2``, ``0.5``) or millicores (``500m``). Sizes are in bytes with decimal units (``512mb``, ``1g``)
or binary ones (``512mib``, ``1Gi``). GPUs are a whole number. Case and spaces don't matter.
"""

from __future__ import annotations

import functools
import re

from bacalhau_jupyter.models.errors import ValidationError
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import ResourcesConfig

_CPU = re.compile(r"(\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})(m?)", re.ASCII)
_SIZE = re.compile(r"(\d[\d,]{0,20}(?:\.\d{0,12})?|\.\d{1,12})([a-z]*)", re.ASCII)
_GPU = re.compile(r"\d{1,9}", re.ASCII)
_PREFIXES = "kmgtpe"
_REMEMBERED = 256
"""Amounts that stay parsed: many jobs ask for the same."""
# Sizes are stored as signed 64-bit integers.
_MAX_SIZE = (1 << 63) - 1


def clean(text: str) -> str:
    """Lower the case and drop all white space, as every resource text is read."""
    return "".join(text.split()).lower()


@functools.lru_cache(maxsize=_REMEMBERED)
def parse_cpu(text: str) -> float:
    """Return the cores that ``500m``, ``2`` or ``0.1`` name.

    Raises
    ------
    ValueError
        Not in that form, or negative.
    """
    match = _CPU.fullmatch(clean(text))
    if match is None:
        raise ValueError(f'"{text}" is not an amount of CPU')
    # Six digits are a millionth of a core; rounding keeps 500m + 500m at exactly one.
    return round(float(match[1]) / (1000 if match[2] else 1), 6)


@functools.lru_cache(maxsize=_REMEMBERED)
def parse_bytes(text: str) -> int:
    """Return the bytes that ``512mb``, ``1Gi``, ``1.5g`` or ``1024`` name.

    Raises
    ------
    ValueError
        Not in that form, negative, or above 2⁶³ - 1.
    """
    match = _SIZE.fullmatch(clean(text))
    factor = None if match is None else _unit(match[2])
    if match is None or factor is None:
        raise ValueError(f'"{text}" is not a size')
    number = match[1].replace(",", "")
    size = int(number) * factor if number.isdigit() else int(float(number) * factor)
    if size > _MAX_SIZE:
        raise ValueError(f'"{text}" is more than can be counted')
    return size


def parse_gpu(text: str) -> int:
    """Return a number of GPUs.

    Raises
    ------
    ValueError
        Not a whole number.
    """
    cleaned = clean(text)
    if not _GPU.fullmatch(cleaned):
        raise ValueError(f'"{text}" is not a whole number of GPUs')
    return int(cleaned)


def format_bytes(size: int) -> str:
    """Write a size for people in decimal units: ``512 MB``, ``1.5 GB``, ``7 B``."""
    if size < 10:
        return f"{size} B"
    value, unit = float(size), "B"
    for unit in ("B", "kB", "MB", "GB", "TB", "PB", "EB"):  # noqa: B007 - the last one tried is the answer
        if value < 1000:
            break
        value /= 1000
    rounded = int(value * 10 + 0.5) / 10
    return f"{rounded:.0f} {unit}" if rounded >= 10 else f"{rounded:.1f} {unit}"


def format_duration(seconds: float) -> str:
    """Return a duration for people: ``3.2 s``, ``4 min``, ``5 h``, ``12 days``."""
    seconds = max(0.0, seconds)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    for limit_s, unit_s, unit in ((59.5, 1, "s"), (3570, 60, "min"), (129_600, 3600, "h")):
        if seconds < limit_s:
            return f"{round(seconds / unit_s)} {unit}"
    return f"{round(seconds / 86_400)} days"


def format_resources(resources: Resources) -> str:
    """Write resources the way Bacalhau's reasons do: ``{CPU: 0.50, Memory: 512 MB, Disk: 0 B, GPU: 0}``."""
    return (
        f"{{CPU: {resources.cpu:.2f}, Memory: {format_bytes(resources.memory)}, "
        f"Disk: {format_bytes(resources.disk)}, GPU: {resources.gpu}}}"
    )


def resource_problems(config: ResourcesConfig) -> list[str]:
    """Return one sentence per resource that can't be read, in the official words."""
    problems = []
    for name, text, parse in (
        ("CPU", config.cpu, parse_cpu),
        ("memory", config.memory, parse_bytes),
        ("disk", config.disk, parse_bytes),
        ("GPU", config.gpu, parse_gpu),
    ):
        if clean(text):
            try:
                parse(text)
            except ValueError:
                problems.append(f"invalid {name} value: {clean(text)}")
    return problems


def resources_of(config: ResourcesConfig) -> Resources:
    """Turn resources as written into numbers; what is not given counts 0.

    Raises
    ------
    ValidationError
        A resource can't be read; all bad ones are named.
    """
    problems = resource_problems(config)
    if problems:
        raise ValidationError(
            problems, component="Resources", hint="Write CPU as 500m or 2, sizes as 512mb or 1gb, GPU as 1."
        )
    return Resources(
        cpu=parse_cpu(config.cpu) if clean(config.cpu) else 0.0,
        memory=parse_bytes(config.memory) if clean(config.memory) else 0,
        disk=parse_bytes(config.disk) if clean(config.disk) else 0,
        gpu=parse_gpu(config.gpu) if clean(config.gpu) else 0,
    )


def _unit(unit: str) -> int | None:
    """Return the factor of ``""``, ``b``, ``k``, ``kb``, ``ki``, ``kib`` and so on up to exa, or None."""
    if unit in ("", "b"):
        return 1
    power = _PREFIXES.find(unit[0]) + 1
    base = {"": 1000, "b": 1000, "i": 1024, "ib": 1024}.get(unit[1:])
    return int(base**power) if power and base else None
