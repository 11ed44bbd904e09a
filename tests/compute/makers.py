"""Executions for tests of the compute role."""

from __future__ import annotations

from typing import Any

from bacalhau_jupyter.lib import ids
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.jobs.spec import InputSource, ResultPath, SpecConfig, Task, Timeouts
from bacalhau_jupyter.models.records.execution import DesiredState, DesiredStateType, Execution

STUB = SpecConfig(type="stub")
"""The publisher of `tests.compute.peer`."""


def make_task(engine: str = "noop", params: dict[str, Any] | None = None, **members: Any) -> Task:
    return Task(name="main", engine=SpecConfig(type=engine, params=params or {}), **members)


def make_execution(task: Task | None = None, *, direct: bool = False, node_id: str = "n-test") -> Execution:
    job = Job(
        id=ids.job_id(),
        name="a job",
        namespace="default",
        type="ops" if direct else "batch",
        count=1,
        tasks=[task or make_task()],
    )
    desired = DesiredStateType.RUNNING if direct else DesiredStateType.PENDING
    return Execution(
        id=ids.execution_id(),
        namespace="default",
        node_id=node_id,
        job_id=job.id,
        job=job,
        desired_state=DesiredState(state_type=desired),
    )


def an_input(kind: str = "fake", target: str = "/inputs", **params: Any) -> InputSource:
    return InputSource(source=SpecConfig(type=kind, params=params), target=target)


def an_output(name: str = "outputs", path: str = "/outputs") -> ResultPath:
    return ResultPath(name=name, path=path)


def full_task(timeout_s: int = 0) -> Task:
    """A task with an input and a publisher, so that every phase is visited."""
    return make_task(
        input_sources=[an_input()],
        publisher=SpecConfig(type="local"),
        timeouts=Timeouts(execution_timeout=timeout_s),
    )
