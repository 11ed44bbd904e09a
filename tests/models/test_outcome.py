"""What became of a job, from its executions and from what the orchestrator noted."""

from __future__ import annotations

import msgspec
import pytest

from bacalhau_jupyter.models.jobs.job import Job, JobState, JobStateType
from bacalhau_jupyter.models.records.execution import (
    ComputeState,
    Execution,
    ExecutionStateType,
    RunCommandResult,
)
from bacalhau_jupyter.models.records.outcome import (
    ERROR,
    EXIT_CODE,
    NODE,
    OUTCOME,
    START_TIME,
    Outcome,
    deciding,
    ended_details,
    error_line,
    exit_code_of,
    outcome_of,
    recorded_exit_code,
    recorded_outcome,
    refusals_in,
)

COMPLETED, FAILED = ExecutionStateType.COMPLETED, ExecutionStateType.FAILED


def execution(
    state: ExecutionStateType = COMPLETED,
    exit_code: int | None = 0,
    *,
    stderr: str = "",
    truncated: bool = False,
    node: str = "n-1",
    modified: int = 1,
) -> Execution:
    """Make an execution; without an exit code its program never ended."""
    output = None
    if exit_code is not None:
        output = RunCommandResult(exit_code=exit_code, stderr=stderr, stderr_truncated=truncated)
    return Execution(
        node_id=node,
        compute_state=ComputeState(state_type=state),
        run_output=output,
        modify_time=modified,
    )


@pytest.mark.parametrize(
    ("state", "exit_code", "outcome"),
    [
        (JobStateType.UNDEFINED, None, Outcome.WAITING),
        (JobStateType.PENDING, None, Outcome.WAITING),
        (JobStateType.QUEUED, None, Outcome.WAITING),
        (JobStateType.RUNNING, None, Outcome.RUNNING),
        (JobStateType.COMPLETED, 0, Outcome.SUCCEEDED),
        (JobStateType.COMPLETED, None, Outcome.SUCCEEDED),
        (JobStateType.COMPLETED, 1, Outcome.FAILED),
        (JobStateType.COMPLETED, -9, Outcome.FAILED),
        (JobStateType.FAILED, None, Outcome.FAILED),
        (JobStateType.FAILED, 0, Outcome.FAILED),
        (JobStateType.STOPPED, 1, Outcome.STOPPED),
    ],
)
def test_exit_code_and_state_give_the_outcome(
    state: JobStateType, exit_code: int | None, outcome: Outcome
) -> None:
    assert outcome_of(state, exit_code) is outcome


def test_every_state_has_an_outcome() -> None:
    assert {outcome_of(state, None) for state in JobStateType} == set(Outcome)


def test_one_failed_partition_decides_the_exit_code() -> None:
    assert exit_code_of([execution(exit_code=0), execution(exit_code=3), execution(exit_code=0)]) == 3


def test_a_webassembly_program_that_just_returned_succeeded_on_an_official_node_too() -> None:
    # They write -1 where no program said how it ended, and for what could not run.
    returned = execution(exit_code=-1)
    assert exit_code_of([returned]) == 0
    assert exit_code_of([returned, execution(exit_code=3)]) == 3
    broken = execution(FAILED)
    assert (
        exit_code_of(
            [msgspec.structs.replace(broken, run_output=RunCommandResult(exit_code=-1, error_msg="no"))]
        )
        == -1
    )


def test_what_failed_and_was_run_again_to_its_end_does_not_count() -> None:
    # A host that is restarted ends what runs there with 255.
    lost, again = execution(FAILED, 255, modified=9), execution(exit_code=0, modified=1)
    assert exit_code_of([lost, again]) == 0
    assert deciding([lost, again]) is again
    other_part = msgspec.structs.replace(again, partition_index=1)
    assert exit_code_of([lost, other_part]) == 255
    assert deciding([lost, other_part]) is lost


def test_no_program_ended_means_no_exit_code() -> None:
    assert exit_code_of([execution(FAILED, None)]) is None


def test_zero_of_an_execution_that_never_ran_does_not_count() -> None:
    assert exit_code_of([execution(FAILED, 0)]) is None


def test_details_name_the_failing_execution_and_its_last_line() -> None:
    job = Job(state=JobState(state_type=JobStateType.RUNNING, details={START_TIME: "17"}))
    executions = [
        execution(exit_code=0, node="n-good", modified=9),
        execution(exit_code=1, node="n-bad", stderr="Traceback …\nZeroDivisionError: division by zero\n\n"),
    ]
    assert ended_details(job, JobState(state_type=JobStateType.COMPLETED), executions) == {
        OUTCOME: "failed",
        EXIT_CODE: "1",
        ERROR: "ZeroDivisionError: division by zero",
        NODE: "n-bad",
        START_TIME: "17",
    }


def test_details_of_a_job_that_never_ran_are_its_outcome_alone() -> None:
    assert ended_details(Job(), JobState(state_type=JobStateType.STOPPED), []) == {OUTCOME: "stopped"}


SHORTAGE = "not enough nodes to run job. requested: 1, available: 2, suitable: 0."


@pytest.mark.parametrize(
    ("message", "reasons"),
    [
        (f"{SHORTAGE}\n• Node n-1a2b3c4d: image not available", "image not available"),
        (f"{SHORTAGE}\n• 2 of 2 nodes: node busy", "2 of 2 nodes: node busy"),
        (f"{SHORTAGE}\n• Node n-1: busy\n• Node n-2: no GPU", "Node n-1: busy; Node n-2: no GPU"),
        (
            f"{SHORTAGE}\n• Node n-1: job already executed on this node more than once: image not available: x",
            "image not available: x",
        ),
        (
            f"{SHORTAGE}\n• Node n-1: job already executed on this node more than once",
            "job already executed on this node more than once",
        ),
        # An official orchestrator has its own order, and names nodes without a reason.
        (
            f"{SHORTAGE}\n• Node n-1: labels map[a:b] don't match required selectors [a = c]\n• Node n-2: busy",
            "Node n-2: busy; Node n-1: lacks the labels [a = c]",
        ),
        (
            f"{SHORTAGE}\n• Node n-1: labels map[a:b] don't match required selectors [a = c]\n• Node n-2: labels map[] "
            "don't match required selectors [a = c]",
            "no node has the labels [a = c]",
        ),
        # Who named a host does not ask about others.
        (
            f"{SHORTAGE}\n• Node n-1: labels map[a:b] don't match required selectors [host = gpu1]\n• Node n-2: no GPU",
            "no GPU",
        ),
        (
            f"{SHORTAGE}\n• Node n-1: no docker\n• Node n-2: labels map[host:gpu1] don't match required selectors "
            "[GPU-0 = T4 host = gpu1]",
            "Node n-1: no docker; Node n-2: lacks the labels [GPU-0 = T4 host = gpu1]",
        ),
        (f"{SHORTAGE}\n• Node n-1: ", ""),
        ("Job timed out. Job took longer than 5s", ""),
        ("", ""),
    ],
)
def test_reasons_of_a_shortage_are_told_from_its_counts(message: str, reasons: str) -> None:
    assert refusals_in(message) == reasons


def test_job_that_no_node_took_notes_the_nodes_reason_as_its_error() -> None:
    failed = JobState(state_type=JobStateType.FAILED, message=f"{SHORTAGE}\n• Node n-1: no such image")
    assert ended_details(Job(), failed, []) == {OUTCOME: "failed", ERROR: "no such image"}


def test_line_of_a_cut_stderr_is_not_taken_for_its_last() -> None:
    assert error_line(execution(exit_code=1, stderr="the first of many", truncated=True)) == ""


def test_stderr_of_a_program_that_succeeded_is_no_error() -> None:
    assert error_line(execution(exit_code=0, stderr="a warning")) == ""


def test_secret_in_the_last_line_is_masked() -> None:
    line = error_line(execution(exit_code=1, stderr="GET https://user:hunter2secret@example.com/x failed"))
    assert line and "hunter2secret" not in line


@pytest.mark.parametrize(
    ("stderr", "line"),
    [
        ("\x1b[31mValueError\x1b[0m: no\x1b[2J", "ValueError: no"),
        ("\x1b]0;title\x07ValueError", "ValueError"),
        ("ValueError: a\x08\x08\u202eb", "ValueError: a\\x08\\x08\\u202eb"),
        ("ValueError\n\x1b[0m\n", "ValueError"),
        ("GET https://user:\x1b[1mhunter2@example.com/x", "GET https://***@example.com/x"),
    ],
)
def test_what_would_steer_a_terminal_is_not_in_the_last_line(stderr: str, line: str) -> None:
    assert error_line(execution(exit_code=1, stderr=stderr)) == line


@pytest.mark.parametrize("text", ["", "one", "1e3", "\uff19", "--1", "9" * 5000])
def test_odd_exit_code_in_the_details_is_unknown(text: str) -> None:
    assert recorded_exit_code(JobState(details={EXIT_CODE: text})) is None


def test_recorded_outcome_needs_the_state_alone() -> None:
    state = JobState(state_type=JobStateType.COMPLETED, details={EXIT_CODE: "137"})
    assert recorded_outcome(state) is Outcome.FAILED
    assert recorded_outcome(JobState(state_type=JobStateType.COMPLETED)) is Outcome.SUCCEEDED
