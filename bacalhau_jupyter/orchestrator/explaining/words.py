"""Amounts, names and lists in the words of people."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import Constraint
from bacalhau_jupyter.models.jobs.units import format_bytes
from bacalhau_jupyter.models.records.explanation import Shortage
from bacalhau_jupyter.models.text import readable

CPU, MEMORY, DISK, GPU = "CPU", "memory", "disk", "GPU"

_PLATFORMS = re.compile(
    r"this node does not support the available image platforms \[([^\]]+)\] \(supports \[([^\]]+)\]\)"
)
"""An official sentence."""
_LONGEST_NAME = 60
_NAMES_SHOWN = 3


def amounts(resources: Resources) -> dict[str, int | float]:
    """Return the resources by the names that people see."""
    return {CPU: resources.cpu, MEMORY: resources.memory, DISK: resources.disk, GPU: resources.gpu}


def amount(resource: str, value: float) -> str:
    """Write an amount: ``1.5 CPU``, ``2.0 GB of memory``."""
    if resource in (MEMORY, DISK):
        return f"{format_bytes(int(value))} of {resource}"
    return f"{value:g} {resource}"


def bare_amount(resource: str, value: float) -> str:
    """Write an amount without naming the resource."""
    return format_bytes(int(value)) if resource in (MEMORY, DISK) else f"{value:g}"


def plainly(reason: str) -> str:
    """Say in plain words what a node's official objection means."""
    return _PLATFORMS.sub(
        lambda match: f"the image is for {match[1].replace(' ', ', ')}, this node is {match[2]}", reason
    )


def quoted(name: str) -> str:
    """Write a name that somebody chose: marked as a name, in one line, and not too long."""
    text = readable(name).replace("`", "'")
    return f"`{text[: _LONGEST_NAME - 1]}…`" if len(text) > _LONGEST_NAME else f"`{text}`"


def listed(parts: Sequence[str], *, most: int = _NAMES_SHOWN) -> str:
    """Join parts: ``a, b and c``; of many, the first few and how many more there are."""
    if len(parts) > most:
        left_out = len(parts) - most
        parts = [*parts[:most], f"{left_out} more"]
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""


def selector_text(constraints: Iterable[Constraint]) -> str:
    """Write constraints as ``--constraints`` takes them: ``zone=eu,gpu in (a,b),!spot``."""
    return readable(",".join(map(_requirement, constraints)))


def _requirement(constraint: Constraint) -> str:
    key, operator, values = constraint.key, constraint.operator, constraint.values
    if operator in ("exists", "!"):
        return f"!{key}" if operator == "!" else key
    if operator in ("in", "notin"):
        return f"{key} {operator} ({','.join(values)})"
    sign = {"gt": ">", "lt": "<", "==": "="}.get(operator, operator)
    return f"{key}{sign}{values[0] if values else ''}"


def shortages_of(request: Resources, free: Resources, total: Resources) -> list[Shortage]:
    """Return the resources of which less is free than asked for."""
    free_amounts, total_amounts = amounts(free), amounts(total)
    return [
        Shortage(resource=name, asked=asked, free=free_amounts[name], total=total_amounts[name])
        for name, asked in amounts(request).items()
        if asked > free_amounts[name] + 1e-9
    ]
