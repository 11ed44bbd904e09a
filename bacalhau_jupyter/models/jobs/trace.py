"""The trace of a job: the spans of its parts have IDs that follow from the job, so that nobody has to hand them on."""

from __future__ import annotations

from collections.abc import Callable

from bacalhau_jupyter.lib.telemetry.trace import Link, read_link, trace_id_of
from bacalhau_jupyter.models.jobs.job import META_TRACE, Job


def parent_link(job: Job) -> Link | None:
    """Return the span of the client that submitted a job, where it named one."""
    return read_link(job.meta.get(META_TRACE, ""))


def job_link(job: Job, samples: Callable[[int], bool]) -> Link:
    """Return the span of a version of a job.

    Parameters
    ----------
    samples
        Decides whether a trace that begins with the job is told.
    """
    parent = parent_link(job)
    if parent is not None:
        return parent.part(f"{job.id}/{job.version}")
    trace_id = trace_id_of(job.id)
    return Link(trace_id, 1, samples(trace_id)).part(f"{job.id}/{job.version}")
