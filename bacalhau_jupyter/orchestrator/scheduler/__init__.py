"""Schedulers: pure functions from a situation to a plan, one per job type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus

from bacalhau_jupyter.models.errors import NotImplementedHere
from bacalhau_jupyter.models.job import JobType
from bacalhau_jupyter.orchestrator.scheduler.batch import schedule_batch
from bacalhau_jupyter.orchestrator.scheduler.plan import Plan, Situation

Scheduler = Callable[[Situation], Plan]
"""Decides what to do next about a job; no I/O, no clock, no chance but those of the situation."""

SCHEDULERS: Mapping[str, Scheduler] = {JobType.BATCH: schedule_batch}
"""Job type → its scheduler."""


def scheduler_of(job_type: str) -> Scheduler:
    """Return the scheduler of a job type.

    Raises
    ------
    NotImplementedHere
        This program does not run such jobs yet.
    """
    scheduler = SCHEDULERS.get(job_type)
    if scheduler is None:
        raise NotImplementedHere(
            f"jobs of type {job_type!r} are not implemented yet, only {', '.join(SCHEDULERS)}",
            hint="Set Type to batch.",
            component="Scheduler",
            # The node is fine; what it was sent is not for it (docs/decisions/0033).
            status=HTTPStatus.BAD_REQUEST,
        )
    return scheduler
