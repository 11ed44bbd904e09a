"""Defaults of the configuration for what a job leaves open. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bacalhau_jupyter.lib.folding import folded
from bacalhau_jupyter.models.jobs.job import Job, JobType
from bacalhau_jupyter.models.jobs.spec import ResourcesConfig, SpecConfig, Task, replace
from bacalhau_jupyter.models.jobs.units import clean


def with_defaults(job: Job, defaults: Mapping[str, Mapping[str, Any]]) -> Job:
    """Fill in what a job leaves open; ``defaults`` are those of the configuration by job type."""
    type_defaults = _member(defaults, job.type)
    if not type_defaults:
        return job
    task = _member(type_defaults, "Task") or {}
    return replace(
        job,
        priority=job.priority or int(_member(type_defaults, "Priority") or 0),
        tasks=[_task_defaults(each, task, job.type) for each in job.tasks],
    )


def _task_defaults(task: Task, defaults: Mapping[str, Any], job_type: str) -> Task:
    resources = _member(defaults, "Resources") or {}
    task_resources = task.resources
    filled = ResourcesConfig(
        cpu=task_resources.cpu or clean(str(_member(resources, "CPU") or "")),
        memory=task_resources.memory or clean(str(_member(resources, "Memory") or "")),
        disk=task_resources.disk or clean(str(_member(resources, "Disk") or "")),
        gpu=task_resources.gpu or clean(str(_member(resources, "GPU") or "")),
    )
    limits = _member(defaults, "Timeouts") or {}
    if job_type in (JobType.SERVICE, JobType.DAEMON):
        # They end when somebody stops them: of the time-outs only the one in the queue is theirs.
        queue_s = task.timeouts.queue_timeout or int(_member(limits, "QueueTimeout") or 0)
        return replace(task, resources=filled, timeouts=replace(task.timeouts, queue_timeout=queue_s))
    publisher = _member(defaults, "Publisher") or {}
    execution_s = task.timeouts.execution_timeout or int(_member(limits, "ExecutionTimeout") or 0)
    total_s = task.timeouts.total_timeout or int(_member(limits, "TotalTimeout") or 0)
    queue_s = int(_member(limits, "QueueTimeout") or 0)
    if total_s:
        # Both others must fit into the total; a default gives way to what the job says.
        queue_s = max(0, min(queue_s, total_s - execution_s))
    chosen = task.publisher
    if chosen.is_empty and _member(publisher, "Type"):
        chosen = SpecConfig(
            type=str(_member(publisher, "Type")), params=dict(_member(publisher, "Params") or {})
        )
    return replace(
        task,
        resources=filled,
        publisher=chosen,
        timeouts=replace(
            task.timeouts,
            execution_timeout=execution_s,
            queue_timeout=task.timeouts.queue_timeout or queue_s,
            total_timeout=total_s,
        ),
    )


def _member(mapping: Mapping[str, Any], name: str) -> Any:
    """Return a member whatever the case of its key (config keys are case-insensitive)."""
    return folded(mapping).get(name.lower())
