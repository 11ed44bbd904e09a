"""Reads what a job's principal may use and what its jobs use; refuses jobs that ask for more than that as such."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace

from bacalhau_jupyter.models.errors import ResourceExhausted
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.units import resources_of
from bacalhau_jupyter.models.records.quotas import Quotas
from bacalhau_jupyter.orchestrator.scheduler.allowance import Allowance, too_large
from bacalhau_jupyter.orchestrator.store import executions, jobs

_NAMED = 8
"""Jobs whose names are looked up: a sentence has room for a few."""


def allowance_of(
    connection: sqlite3.Connection,
    quotas: Quotas,
    job: Job,
    may_name: Callable[[str], bool],
    *,
    most: int = 0,
) -> Allowance | None:
    """Return what is left for a job; None where its principal has no quota for jobs.

    Parameters
    ----------
    may_name
        Whether jobs of a namespace may be named to whoever reads this.
    most
        How many executions are placed at most: where the quota has room for so many, no job is named. 0 names them.
    """
    if not quotas.limit_jobs:
        return None
    principal = jobs.principal(connection, job.id)
    quota = quotas.of(principal)
    if not quota.limits_jobs:
        return None
    shares = executions.shares(connection, principal)
    allowance = Allowance(principal, quota, shares)
    if most and not allowance.obstacle(job.id, resources_of(job.task.resources), most - 1):
        return allowance
    others = [share.job_id for share in shares if share.job_id != job.id]
    names = jobs.names(connection, others[:_NAMED])
    shown_names = {job_id: name for job_id, (namespace, name) in names.items() if may_name(namespace)}
    shares = [replace(share, name=shown_names.get(share.job_id, "")) for share in shares]
    return Allowance(principal, quota, shares)


def check(quotas: Quotas, principal: str, job: Job) -> None:
    """Refuse a job of which one execution alone asks for more than its principal may use.

    Raises
    ------
    ResourceExhausted
        It would wait for ever.
    """
    allowance = Allowance(principal, quotas.of(principal))
    request = resources_of(job.task.resources)
    excess = allowance.left_out(request)
    if excess:
        raise ResourceExhausted(
            too_large(allowance, excess, request),
            hint="Ask for less, or ask the node's owner for a larger quota (API.Quotas).",
            status=403,
        )
