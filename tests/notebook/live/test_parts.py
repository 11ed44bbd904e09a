"""The parts of a job that runs several times, in the record and the static forms of its card."""

from __future__ import annotations

from typing import Any

import pytest

from bacalhau_jupyter.models.jobs.job import Job, JobState, JobStateType
from bacalhau_jupyter.models.records.execution import (
    ComputeState,
    Execution,
    ExecutionStateType,
    RunCommandResult,
)
from bacalhau_jupyter.notebook.live.card import MIME, Status
from bacalhau_jupyter.notebook.live.parts import MOST, done_text, parts_of

COMPLETED, FAILED, CANCELLED, REFUSED = (
    ExecutionStateType.COMPLETED,
    ExecutionStateType.FAILED,
    ExecutionStateType.CANCELLED,
    ExecutionStateType.ASK_FOR_BID_REJECTED,
)


def job(count: int, state: JobStateType = JobStateType.COMPLETED, **more: Any) -> Job:
    return Job(id="j-1", count=count, state=JobState(state_type=state), **more)


def execution(
    part: int,
    state: ExecutionStateType,
    code: int = 0,
    *,
    at: int = 1,
    words: str = "the node went away",
    **more: Any,
) -> Execution:
    output = RunCommandResult(exit_code=code, stderr="first\nlast word\n" if code else "")
    return Execution(
        id=f"e-{part}{at}",
        partition_index=part,
        compute_state=ComputeState(state_type=state, message=words),
        run_output=output if state is COMPLETED else None,
        create_time=at * 10**9,
        modify_time=(at + 2) * 10**9,
        **more,
    )


def test_each_part_is_told_by_the_execution_that_counts() -> None:
    executions = [
        execution(0, FAILED, at=1),
        execution(0, COMPLETED, at=2),
        execution(1, COMPLETED, 3),
        execution(3, FAILED),
        execution(4, CANCELLED),
    ]
    parts = parts_of(job(5, JobStateType.STOPPED), executions)
    assert [(part.label, part.execution, part.outcome, part.exit_code, part.error) for part in parts] == [
        ("part 0", "e-02", "succeeded", 0, ""),
        ("part 1", "e-11", "failed", 3, "last word"),
        ("part 2", "", "stopped", None, ""),
        ("part 3", "e-31", "failed", None, "the node went away"),
        ("part 4", "e-41", "stopped", None, ""),
    ]
    assert parts[0].duration_s == 2.0
    assert done_text(job(5), executions, parts) == "1 of 5 parts succeeded"


@pytest.mark.parametrize("count", [None, 0, 1])
def test_a_job_that_runs_once_has_no_parts(count: Any) -> None:
    executions = [execution(0, COMPLETED)]
    assert parts_of(job(count), executions) == []
    assert done_text(job(count), executions, []) == ""


def test_a_job_for_all_nodes_has_a_part_on_each() -> None:
    executions = [execution(0, COMPLETED, node_id="n-1"), execution(0, FAILED, node_id="n-2")]
    parts = parts_of(job(1, type="ops"), executions)
    assert [(part.label, part.outcome) for part in parts] == [("on n-1", "succeeded"), ("on n-2", "failed")]
    assert done_text(job(1, type="ops"), executions, parts) == "1 of 2 nodes succeeded"


def test_a_node_that_refused_says_so_with_its_reason_and_was_not_stopped() -> None:
    refused = execution(0, REFUSED, node_id="n-2", words="rejected bid: this node does not support docker")
    executions = [execution(0, COMPLETED, node_id="n-1"), refused]
    ops = job(1, type="ops")
    parts = parts_of(ops, executions)
    assert done_text(ops, executions, parts) == "1 of 2 nodes succeeded, 1 refused"
    assert parts[1].cells()[:2] == ["on n-2", "refused"]
    assert parts[1].error == "this node does not support docker"
    assert parts[1].record()["refused"] is True
    assert "refused" not in parts[0].record()
    text = Status("j-1", state="Completed", parts=parts).bundle("line")["text/plain"]
    assert "refused" in text
    assert "stopped" not in text


def test_many_parts_are_counted_and_some_of_them_are_shown() -> None:
    executions = [execution(number, COMPLETED) for number in range(1000)]
    parts = parts_of(job(1000), executions)
    assert len(parts) == MOST
    assert done_text(job(1000), executions, parts) == "1,000 of 1,000 parts succeeded"
    bundle = Status("j-1", state="Completed", parts=parts).bundle("line")
    assert len(bundle[MIME]["parts"]) == MOST
    assert bundle["text/plain"].endswith("and 80 more")


def test_what_a_part_says_is_text_in_the_static_forms() -> None:
    failed = execution(0, COMPLETED, 1)
    attack = "<img src=x onerror=alert(1)>\u202e"
    output = RunCommandResult(exit_code=1, stderr=attack)
    failed = Execution(
        id="e-1", compute_state=failed.compute_state, run_output=output, create_time=1, modify_time=2
    )
    bundle = Status("j-1", state="Completed", parts=parts_of(job(2), [failed])).bundle("line")
    assert "<img" not in bundle["text/html"]
    assert "\u202e" not in bundle["text/html"] + bundle["text/plain"]
    assert "  ✕ part 0 · exit 1" in bundle["text/plain"]
