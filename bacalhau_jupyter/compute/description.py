"""What a compute node says of itself: what it offers, what is free, and what does not work."""

from __future__ import annotations

from collections.abc import Sequence

from bacalhau_jupyter.compute.equipment import Equipment
from bacalhau_jupyter.compute.execution.record import ExecutionRecord, Phase
from bacalhau_jupyter.compute.host.capacity import Capacity
from bacalhau_jupyter.compute.host.gpus import gpu_labels
from bacalhau_jupyter.compute.host.machine import MachineFacts
from bacalhau_jupyter.compute.settings import ComputeSettings
from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.records.node import ComputeNodeInfo, NodeInfo, NodeType

PROTOCOLS = ("ncl/v1",)


def describe(equipment: Equipment, capacity: Capacity, live: Sequence[ExecutionRecord]) -> NodeInfo:
    """Describe a node as it is now.

    Parameters
    ----------
    equipment
        Settings, plug-ins, input cache and problems of the node.
    capacity
        What may be used and what is free.
    live
        The executions that are not over.
    """
    settings, plugins, cache = equipment.settings, equipment.plugins, equipment.cache
    survey = equipment.survey
    unavailable = survey.reason(plugins)
    engines, sources, publishers = plugins.names()
    runtimes, problems = plugins.runtimes()
    keepers = plugins.keepers()
    compute = ComputeNodeInfo(
        execution_engines=engines,
        publishers=publishers,
        storage_sources=sources,
        max_capacity=capacity.limit,
        available_capacity=Resources() if unavailable else capacity.available,
        max_job_requirements=capacity.limit,
        running_executions=sum(record.phase is Phase.RUNNING for record in live),
        address=settings.address,
        engine_runtimes=runtimes,
        engine_problems=problems,
        gpu_problems=dict(survey.gpu_problems),
        unavailable=unavailable,
        away=survey.is_away,
        problems={problem.task: problem.message for problem in equipment.problems.every()},
        input_cache=cache.usage() if cache.enabled else None,
        local_results=keepers[0].usage() if keepers else None,
    )
    return NodeInfo(
        node_id=settings.node_id,
        node_type=NodeType.COMPUTE,
        labels=_labels(settings, survey.facts, capacity.limit),
        supported_protocols=list(PROTOCOLS),
        compute_node_info=compute,
        bacalhau_version=settings.version,
        features=list(settings.features),
        jupyter_version=settings.jupyter_version,
    )


def _labels(settings: ComputeSettings, facts: MachineFacts, limit: Resources) -> dict[str, str]:
    own = {"name": settings.name or settings.node_id} | dict(facts.labels)
    return own | gpu_labels(limit.gpus) | dict(settings.labels)
