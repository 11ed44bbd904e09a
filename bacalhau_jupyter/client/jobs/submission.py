"""Submitting a job once, whatever happens to the connection, with a queue time-out that suits the cluster."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable

from bacalhau_jupyter.client.connection.api import AsyncAPI
from bacalhau_jupyter.models.api import PutJobResponse
from bacalhau_jupyter.models.errors import NetworkFailure
from bacalhau_jupyter.models.job import Job
from bacalhau_jupyter.models.node import NodeInfo
from bacalhau_jupyter.models.spec import replace

QUEUE_TIMEOUT_S = 24 * 3600
"""Seconds a job of ours may wait for room (official clients fail at once, as they always did)."""

SUBMISSION = "jupyter.org/bacalhau-submission"
"""Meta key with which a submission whose answer was lost is found again, instead of being made twice."""

EVENTS = "events"
"""The feature that distinguishes a node of ours from an official one."""

_SEARCHED = 100


def suited_to(node: NodeInfo, job: Job) -> Job:
    """Leave our default queue time-out out of what goes to an official cluster.

    There a job that failed on every node waits for another node until that time has passed.
    """
    return job if EVENTS in node.features else without_default_queue_timeout(job)


def without_default_queue_timeout(job: Job) -> Job:
    """Return the job with the server's own queue time-out unless another than our default was set."""
    return replace(
        job,
        tasks=[
            replace(task, timeouts=replace(task.timeouts, queue_timeout=0))
            if task.timeouts.queue_timeout == QUEUE_TIMEOUT_S
            else task
            for task in job.tasks
        ],
    )


async def submit_once(
    api: AsyncAPI,
    job: Job,
    *,
    force: bool,
    reconnect: Callable[[AsyncAPI], Awaitable[AsyncAPI]] | None,
) -> PutJobResponse:
    """Submit a job without a name so that a lost answer does not make it two jobs.

    A lost answer leaves open whether the node has taken the job: it is looked for under its submission mark
    before it is sent again.

    Parameters
    ----------
    api
        The connected API.
    job
        The job.
    force
        Whether it is submitted though nothing changed.
    reconnect
        Returns the API to use after the given one was lost; None if no other is known.

    Raises
    ------
    BacalhauError
        The cluster refuses the job, or can't be reached.
    """
    mark = str(uuid.uuid4())
    marked = replace(job, meta={**job.meta, SUBMISSION: mark})
    try:
        return await api.submit(marked, force=force)
    except NetworkFailure:
        if reconnect is None:
            raise
        api = await reconnect(api)
    recent = await api.list_jobs(
        namespace=job.namespace, limit=_SEARCHED, order_by="created_at", reverse=True
    )
    known = next((item for item in recent.items if item.meta.get(SUBMISSION) == mark), None)
    return PutJobResponse(job_id=known.id) if known else await api.submit(marked, force=force)
