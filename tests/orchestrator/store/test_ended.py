"""Executions that have ended are decoded once, as long as their rows stay what they are."""

from __future__ import annotations

import sqlite3

import pytest

from bacalhau_jupyter.models.jobs.resources import Resources
from bacalhau_jupyter.models.jobs.spec import replace
from bacalhau_jupyter.models.records.execution import (
    ComputeState,
    Execution,
    ExecutionStateType,
)
from bacalhau_jupyter.orchestrator.store import executions
from bacalhau_jupyter.orchestrator.store.schema import MIGRATIONS

DONE = ComputeState(state_type=ExecutionStateType.COMPLETED)


@pytest.fixture
def connection() -> sqlite3.Connection:
    made = sqlite3.connect(":memory:")
    for step in MIGRATIONS:
        assert isinstance(step, str)
        made.executescript(step)
    return made


def test_an_ended_execution_is_decoded_once_and_a_running_one_each_time(
    connection: sqlite3.Connection,
) -> None:
    ended = executions.Ended()
    for name, state in (("e-1", DONE), ("e-2", ComputeState(state_type=ExecutionStateType.RUNNING))):
        execution = Execution(id=name, job_id="j", job_version=1, node_id="n", compute_state=state)
        executions.insert(connection, execution, Resources())
    first, second = (executions.relevant(connection, "j", 1, ended) for _ in range(2))
    assert first == second
    assert [one is other for one, other in zip(first, second, strict=True)] == [True, False]


def test_an_ended_execution_that_has_changed_is_decoded_anew(connection: sqlite3.Connection) -> None:
    ended = executions.Ended()
    execution = Execution(id="e-1", job_id="j", job_version=1, node_id="n", compute_state=DONE)
    executions.insert(connection, execution, Resources())
    assert executions.relevant(connection, "j", 1, ended) == [execution]
    changed = replace(execution, compute_state=replace(DONE, message="said later"))
    executions.update(connection, changed)
    assert executions.relevant(connection, "j", 1, ended) == [changed]
