"""What would make a job run on a node that does not take it now."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import Constraint, replace
from bacalhau_jupyter.models.records.explanation import Remedy, RemedyKind, Shortage
from bacalhau_jupyter.models.records.hosts import LABEL as HOST
from bacalhau_jupyter.orchestrator.explaining.circumstances import Held
from bacalhau_jupyter.orchestrator.explaining.words import (
    CPU,
    DISK,
    GPU,
    MEMORY,
    amount,
    listed,
    quoted,
    selector_text,
)

_LEAST_CPU = 0.01
_STEP_BYTES = 100_000_000
"""Sizes above one GB are advised in these steps: what is advised must not be more than there is."""


def ask_less(request: Resources, shortages: Sequence[Shortage], most: Resources) -> Remedy | None:
    """Advise to ask for no more than ``most`` of what is short; None where nothing is left to ask for."""
    limits = {
        CPU: math.floor(most.cpu * 100 + 1e-6) / 100,
        MEMORY: _rounded_down(most.memory),
        DISK: _rounded_down(most.disk),
        GPU: most.gpu,
    }
    short = [item.resource for item in shortages]
    if any(limits[name] < (_LEAST_CPU if name == CPU else 1) for name in short if name != GPU):
        return None
    text = listed([amount(name, limits[name]) if limits[name] else f"no {name}" for name in short])
    reduced = replace(
        request,
        cpu=limits[CPU] if CPU in short else request.cpu,
        memory=int(limits[MEMORY]) if MEMORY in short else request.memory,
        disk=int(limits[DISK]) if DISK in short else request.disk,
        gpu=int(limits[GPU]) if GPU in short else request.gpu,
    )
    return Remedy(kind=RemedyKind.ASK_LESS, text=f"ask for at most {text}", resources=reduced)


def stop_jobs(request: Resources, free: Resources, held: Sequence[Held], own_job: str) -> Remedy:
    """Advise which jobs to stop so that the request fits: one if one is enough; else to wait."""
    shown = [item for item in held if item.is_shown and item.job_id != own_job]
    # One job is better than several, and a small one better than a large one.
    shown.sort(key=lambda item: (item.resources.gpu, item.resources.cpu, item.resources.memory))
    single = next((item for item in shown if request.fits(free + item.resources)), None)
    if single is not None:
        return _stop([single])
    stopped: list[Held] = []
    left = free
    for item in reversed(shown):
        left += item.resources
        stopped.append(item)
        if request.fits(left):
            return _stop(stopped)
    return Remedy(kind=RemedyKind.WAIT, text="wait until jobs on this node end")


def meet_constraints(unmet: Sequence[Constraint]) -> Remedy:
    """Advise to start a node with the labels, or to ask for other ones; a host can't be had by starting a node."""
    text = f"start a node with the labels {selector_text(unmet)}, or leave that constraint out"
    if all(constraint.key == HOST for constraint in unmet):
        text = f"let it run elsewhere: leave {selector_text(unmet)} out"
    return Remedy(kind=RemedyKind.CONSTRAINT, text=text)


def _stop(items: Sequence[Held]) -> Remedy:
    return Remedy(
        kind=RemedyKind.STOP,
        text=f"stop {listed([quoted(item.name) for item in items])}",
        job_ids=[item.job_id for item in items],
    )


def _rounded_down(size: int) -> int:
    step = _STEP_BYTES if size >= 10 * _STEP_BYTES else 1_000_000 if size >= 1_000_000 else 1
    return size // step * step
