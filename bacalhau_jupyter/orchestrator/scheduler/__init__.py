"""Schedulers: pure functions from a situation to a plan, one per job type."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bacalhau_jupyter.models.jobs.job import JobType
from bacalhau_jupyter.orchestrator.scheduler.batch import schedule_batch
from bacalhau_jupyter.orchestrator.scheduler.daemon import schedule_daemon
from bacalhau_jupyter.orchestrator.scheduler.ops import schedule_ops
from bacalhau_jupyter.orchestrator.scheduler.plan import Plan, Situation
from bacalhau_jupyter.orchestrator.scheduler.service import schedule_service

Scheduler = Callable[[Situation], Plan]
"""Decides what to do next about a job; no I/O, no clock, no chance but those of the situation."""

SCHEDULERS: Mapping[str, Scheduler] = {
    JobType.BATCH: schedule_batch,
    JobType.SERVICE: schedule_service,
    JobType.OPS: schedule_ops,
    JobType.DAEMON: schedule_daemon,
}
"""Job type → its scheduler."""
