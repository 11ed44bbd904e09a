"""What is said of many jobs of which some failed."""

from __future__ import annotations

from typing import Any

from bacalhau_jupyter.client.jobs.failure import JobFailed
from bacalhau_jupyter.client.jobs.job import Job as JobHandle
from bacalhau_jupyter.client.jobs.many import GROUP, ManyFailed, Member
from bacalhau_jupyter.client.results.result import JobResult
from bacalhau_jupyter.models.errors import BadRequest
from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.records.execution import Execution, RunCommandResult

ORIGIN: Any = None
"""Opens results; nobody looks into them here."""


def member(label: str, stderr: str) -> Member:
    """Return a job of a group whose program failed, and said this."""
    model = Job(id=f"j-{label}", labels={GROUP: "cafe"})
    execution = Execution(run_output=RunCommandResult(exit_code=1, stderr=stderr))
    result = JobResult(ORIGIN, model, [execution])
    error = JobFailed(f"{label} ended with exit code 1 (job j-{label})", result=result)
    return Member(label, model, job=JobHandle(ORIGIN, model.id), result=result, error=error)


def test_the_first_three_are_named_with_their_last_lines_and_one_command_shows_the_rest() -> None:
    failed = [member(f"n={number}", f"Traceback\n  line\nValueError: {number}\n") for number in range(10)]
    error = ManyFailed([*failed, Member("n=10", Job())], "combinations")
    assert error.message == (
        "10 of 11 combinations failed: n=0: ValueError: 0; n=1: ValueError: 1; n=2: ValueError: 2; … and 7 more"
    )
    assert error.hint == "%bacalhau job list --labels bacalhau-group=cafe lists them all"


def test_a_reason_that_all_have_is_said_once() -> None:
    error = ManyFailed([member(f"n={number}", "no such table\n") for number in range(4)], "calls")
    assert error.message == "4 of 4 calls failed: n=0, n=1, n=2, … and 1 more: no such table"


def test_labels_with_commas_are_told_apart() -> None:
    error = ManyFailed([member(f"lr={n}, depth=3", "no such table\n") for n in range(2)], "combinations")
    assert error.message == ("2 of 2 combinations failed: lr=0, depth=3; lr=1, depth=3: no such table")


def test_jobs_that_were_refused_are_listed_nowhere() -> None:
    refused = Member("n=0", Job(labels={GROUP: "cafe"}), error=BadRequest("the job has no tasks\nmore"))
    error = ManyFailed([refused], "calls")
    assert error.message == "1 of 1 calls failed: n=0: the job has no tasks"
    assert error.hint == ""


def test_an_endless_last_line_is_cut() -> None:
    assert len(ManyFailed([member("n=0", "x" * 2_000)], "calls").message) < 250
