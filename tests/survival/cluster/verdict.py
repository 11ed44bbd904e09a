"""What must be true of a cluster's jobs after everything that befell it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from bacalhau_jupyter.models.records.execution import ExecutionStateType
from tests.survival.world import JOBS, Mark

COMPLETED = ExecutionStateType.COMPLETED.value
PROGRESS = ("Requested execution", "Running", "Completed successfully", "Publishing")
"""How events begin that say that all is well, and so explain no second execution."""


class Evidence(Protocol):
    """What can be looked at; a `Town` that is at rest."""

    def marks(self) -> Sequence[Mark]:
        """Return what jobs have done, each line once they did it."""
        ...

    def executions(self, job_id: str) -> Sequence[dict[str, Any]]:
        """Return the executions that the orchestrator knows of a job."""
        ...

    def get(self, path: str) -> Any:
        """Ask the orchestrator."""
        ...

    def history(self, job_id: str) -> str:
        """Return the history of a job in a line."""
        ...

    def published(self, execution_id: str) -> dict[str, bytes]:
        """Return the files of an execution's result."""
        ...

    def streamed(self, job_id: str, execution_id: str) -> str:
        """Return the output of an execution as the orchestrator fetches it over the link."""
        ...


@dataclass
class Verdict:
    """What is wrong, and what happened.

    Attributes
    ----------
    faults
        Sentences, none of them where all is well.
    causes
        Why executions were made again → how often.
    """

    faults: list[str] = field(default_factory=list)
    causes: Counter[str] = field(default_factory=Counter)


def judge(town: Evidence, states: Mapping[str, str], lines: Mapping[str, int]) -> Verdict:
    """Look at every job: its end, its side effects, its log, and whether its history explains each retry.

    A side effect that no known execution has made is a fault, too.

    Parameters
    ----------
    states
        Job ID → how it ended.
    lines
        Job ID → how many lines it prints; jobs whose submission was acknowledged.
    """
    verdict = Verdict()
    verdict.faults += [f"{job_id} was accepted and is lost" for job_id in lines if job_id not in states]
    known: set[tuple[str, str]] = set()
    starts = Counter(mark.execution for mark in town.marks() if mark.kind == "START")
    ends = Counter(mark.execution for mark in town.marks() if mark.kind == "END")
    for job_id, state in states.items():
        known |= {(job_id, str(each["ID"])) for each in town.executions(job_id)}
        faults = list(_job_faults(town, job_id, starts, ends, verdict.causes))
        if state != "Completed":
            faults.append(f"it ended as {state}")
        if not faults and job_id in lines:
            faults += _log_faults(town, job_id, lines[job_id])
        if faults:
            verdict.faults.append(f"{job_id}: {'; '.join(faults)}\n    {town.history(job_id)}")
    strangers = {(mark.job, mark.execution) for mark in town.marks()} - known
    verdict.faults += [f"{job}: nobody knows {execution}, which ran" for job, execution in sorted(strangers)]
    return verdict


def _job_faults(
    town: Evidence, job_id: str, starts: Counter[str], ends: Counter[str], causes: Counter[str]
) -> Iterator[str]:
    executions = town.executions(job_id)
    completed = [each["ID"] for each in executions if each["ComputeState"]["StateType"] == COMPLETED]
    if len(completed) != 1:
        yield f"{len(completed)} executions completed"
    for each in executions:
        execution_id = each["ID"]
        if starts[execution_id] > 1 or ends[execution_id] > 1:
            yield f"{execution_id} ran {starts[execution_id]} times"
        if execution_id in completed:
            if not starts[execution_id] == ends[execution_id] == 1:
                yield f"{execution_id} completed with {starts[execution_id]} starts, {ends[execution_id]} ends"
            continue
        cause = _cause(town, job_id, execution_id)
        causes[cause] += 1
        if not cause:
            yield f"nothing says why {execution_id} ({each['ComputeState']}) did not complete"


def _cause(town: Evidence, job_id: str, execution_id: str) -> str:
    """Return the last thing that the history says of an execution that did not complete."""
    items: list[dict[str, Any]] = town.get(f"{JOBS}/{job_id}/history?limit=1000")["Items"] or []
    messages = [
        str(item["Event"]["Message"])
        for item in items
        if item.get("ExecutionID") == execution_id and item.get("Event")
    ]
    return next((text for text in reversed(messages) if text and not text.startswith(PROGRESS)), "")


def _log_faults(town: Evidence, job_id: str, count: int) -> Iterator[str]:
    completed = next(
        each for each in town.executions(job_id) if each["ComputeState"]["StateType"] == COMPLETED
    )
    expected = [f"line {number}" for number in range(count)]
    printed = town.published(completed["ID"])["stdout"].decode().splitlines()
    if printed != expected:
        yield f"its log has {len(printed)} lines of {count}: {printed[:3]} … {printed[-3:]}"
    streamed = town.streamed(job_id, completed["ID"]).splitlines()
    if streamed != expected:
        yield f"{len(streamed)} lines of {count} came over the link: {streamed[:3]} … {streamed[-3:]}"
    if (completed["RunOutput"] or {}).get("Stdout", "").splitlines() != expected:
        yield "what the orchestrator keeps of its output differs"
