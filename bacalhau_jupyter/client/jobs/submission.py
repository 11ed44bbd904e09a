"""Submitting a job once, whatever happens to the connection, with a queue time-out that suits the cluster."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from bacalhau_jupyter.client.connection.api import AsyncAPI
from bacalhau_jupyter.lib.folding import folded
from bacalhau_jupyter.models.errors import NetworkFailure
from bacalhau_jupyter.models.jobs.goduration import whole_seconds
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.spec import SpecConfig, replace
from bacalhau_jupyter.models.records.node import NodeInfo
from bacalhau_jupyter.models.wire.api import PutJobResponse

QUEUE_TIMEOUT_S = 24 * 3600
"""Seconds a job of ours may wait for room (official clients fail at once, as they always did)."""

SUBMISSION = "jupyter.org/bacalhau-submission"
"""Meta key with which a submission whose answer was lost is found again, instead of being made twice."""

EVENTS = "events"
"""The feature that distinguishes a node of ours from an official one."""

_SEARCHED = 100


OUR_PUBLISHER = SpecConfig(type="local")
"""What jobs get that bring something back where nobody chose a publisher: this very object, so that it is told from
a ``local`` that somebody chose."""

USUAL_QUEUE_TIMEOUT_S = 600
"""What a node of ours gives where its administrator set nothing."""


def suited_to(node: NodeInfo, defaults: Mapping[str, Any], job: Job) -> Job:
    """Leave out of a job what we set ourselves and the cluster knows better.

    On an official cluster that is our queue time-out: there a job that failed on every node waits for another node
    until it has passed. Everywhere it is what the administrator's ``JobDefaults`` speak against.

    Parameters
    ----------
    node
        The node that takes the job.
    defaults
        Its ``JobDefaults``; empty where they are not known.
    job
        The job.
    """
    kind = _member(defaults, job.type)
    task_defaults = _member(kind, "Task")
    limits = _member(task_defaults, "Timeouts")
    queue_s = _seconds(limits.get("queuetimeout"))
    sets_limits = (
        _seconds(limits.get("totaltimeout")) > 0
        or queue_s not in (0, USUAL_QUEUE_TIMEOUT_S)
        or (_seconds(limits.get("executiontimeout")) > 0 and any(t.timeouts.total_timeout for t in job.tasks))
    )
    if EVENTS not in node.features or sets_limits:
        job = without_default_queue_timeout(job)
    publisher = _member(task_defaults, "Publisher").get("type")
    return _without_our_publisher(job) if publisher else job


def _without_our_publisher(job: Job) -> Job:
    return replace(
        job,
        tasks=[
            replace(task, publisher=SpecConfig()) if task.publisher is OUR_PUBLISHER else task
            for task in job.tasks
        ],
    )


def _member(mapping: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return an object of the configuration; it was sent by the node and may be anything."""
    value = folded(mapping).get(name.lower())
    return folded(value) if isinstance(value, Mapping) else {}


def _seconds(value: object) -> int:
    """Return a duration of the configuration: seconds, or text such as ``10m0s``; 0 where it can't be read."""
    try:
        return whole_seconds(value) if isinstance(value, (int, float, str)) else 0
    except ValueError:
        return 0


def without_default_queue_timeout(job: Job) -> Job:
    """Return the job with the server's own queue time-out unless another than our default was set.

    Our default is capped by the job's total time-out.
    """
    return replace(
        job,
        tasks=[
            replace(task, timeouts=replace(task.timeouts, queue_timeout=0))
            if task.timeouts.queue_timeout in (QUEUE_TIMEOUT_S, task.timeouts.total_timeout)
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
    earlier = next((item for item in recent.items if item.meta.get(SUBMISSION) == mark), None)
    return PutJobResponse(job_id=earlier.id) if earlier else await api.submit(marked, force=force)
