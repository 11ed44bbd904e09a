"""What a job's control group is told, and what of that is said to people."""

from __future__ import annotations

import resource
from collections.abc import Collection

from bacalhau_jupyter.engines.supervised.cgroups.place import CONTROLLERS
from bacalhau_jupyter.models.jobs.resources import Resources

PROCESSES = 4096
"""How many processes and threads a job may have at a time."""

_PERIOD_US = 100_000
_SHORTEST_US = 1_000
_WORDS = {"cpu": "CPU", "memory": "memory", "pids": "processes"}


def settings(resources: Resources, controllers: Collection[str]) -> list[tuple[str, str]]:
    """Return files of a group and what is written to each; a name that ends with ``?`` may be missing.

    Parameters
    ----------
    resources
        What the execution was granted: cores and bytes; 0 means no limit.
    controllers
        The controllers that limit jobs here.
    """
    values = []
    if "memory" in controllers:
        if resources.memory > 0:
            values += [("memory.max", str(resources.memory)), ("memory.swap.max?", "0")]
        values.append(("memory.oom.group?", "1"))
    if "cpu" in controllers and resources.cpu > 0:
        quota = max(_SHORTEST_US, round(resources.cpu * _PERIOD_US))
        values.append(("cpu.max", f"{quota} {_PERIOD_US}"))
    if "pids" in controllers:
        values.append(("pids.max", str(PROCESSES)))
    return values


def without_memory(limits: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the resource limits that are left where a group limits memory: what is only reserved counts no more."""
    return [each for each in limits if each[0] != resource.RLIMIT_DATA]


def in_words(controllers: Collection[str], *, counts_processes: bool = False) -> str:
    """Say what limits a job here: "CPU, memory and processes limited by cgroup".

    Parameters
    ----------
    controllers
        The controllers that limit jobs here.
    counts_processes
        Whether the processes of a job's user are limited where no controller does that.
    """
    limited = [_WORDS[each] for each in CONTROLLERS if each in controllers]
    without = ["processes limited"] if counts_processes and "pids" not in controllers else []
    if not limited:
        return ", ".join([*without, "memory limited per process", "CPU not limited"])
    first, last = ", ".join(limited[:-1]), limited[-1]
    by_group = f"{first} and {last}" if first else last
    left = without + ([] if "memory" in controllers else ["memory limited per process"])
    left += [] if "cpu" in controllers else ["CPU not limited"]
    return ", ".join([f"{by_group} limited by cgroup", *left])
