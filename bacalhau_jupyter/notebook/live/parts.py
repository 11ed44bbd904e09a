"""The parts of one job that runs several times (``--count 3``, ``--target all``), as its card shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bacalhau_jupyter.lib.ids import short_id
from bacalhau_jupyter.models.jobs.job import Job, JobStateType, JobType
from bacalhau_jupyter.models.records.execution import Execution, ExecutionStateType
from bacalhau_jupyter.models.records.outcome import Outcome, error_line

MOST = 100
"""Parts that a card's record holds; the panel has the others."""

_ERROR_CHARACTERS = 200


@dataclass(frozen=True)
class Part:
    """One part of a job that is over.

    Attributes
    ----------
    label
        ``part 0`` (the number that the program finds in ``$BACALHAU_PARTITION_INDEX``), or the node it is for.
    execution
        The ID of the execution that counts; empty where none began.
    is_refused
        Whether its node turned it down; ``error`` says why.
    """

    label: str
    execution: str = ""
    outcome: Outcome = Outcome.STOPPED
    exit_code: int | None = None
    duration_s: float | None = None
    error: str = ""
    is_refused: bool = False

    @property
    def is_done(self) -> bool:
        """Whether it ended well."""
        return self.outcome is Outcome.SUCCEEDED

    def record(self) -> dict[str, Any]:
        """Return what the card's record says of it, without what says nothing."""
        said = {
            "label": self.label,
            "execution": self.execution,
            "outcome": self.outcome.value,
            "exit_code": self.exit_code,
            "duration_s": None if self.duration_s is None else round(self.duration_s, 3),
            "error": self.error,
            "refused": self.is_refused or None,
        }
        return {name: value for name, value in said.items() if value not in ("", None)}

    def cells(self) -> list[str]:
        """Return what stands in its row."""
        words = "refused" if self.is_refused else self.outcome.value
        words = f"exit {self.exit_code}" if self.exit_code else words
        seconds = "" if self.duration_s is None else f"{self.duration_s:.1f} s"
        return [self.label, words, seconds, short_id(self.execution), self.error]


def parts_of(job: Job, executions: Sequence[Execution]) -> list[Part]:
    """Return the parts of a job that is over; none of one that runs once."""
    if job.type == JobType.OPS:
        nodes = list(dict.fromkeys(item.node_id for item in executions))[:MOST]
        groups = [(f"on {short_id(node)}", [e for e in executions if e.node_id == node]) for node in nodes]
    else:
        numbers = range(min(job.count or 0, MOST))
        groups = [(f"part {n}", [e for e in executions if e.partition_index == n]) for n in numbers]
    return [_part(label, _deciding(items), job) for label, items in groups] if len(groups) > 1 else []


def done_text(job: Job, executions: Sequence[Execution], parts: Sequence[Part]) -> str:
    """Say how many parts ended well: ``2 of 3 parts succeeded, 1 refused``."""
    if not parts:
        return ""
    if job.type == JobType.OPS or (job.count or 0) <= MOST:
        done, total = sum(part.is_done for part in parts), len(parts)
    else:
        good = {item.partition_index for item in executions if _outcome(item, job) is Outcome.SUCCEEDED}
        done, total = len(good), job.count or 0
    words = f"{done:,} of {total:,} {'nodes' if job.type == JobType.OPS else 'parts'} succeeded"
    refused = sum(part.is_refused for part in parts)
    return f"{words}, {refused:,} refused" if refused else words


def _deciding(executions: Sequence[Execution]) -> Execution | None:
    """Return the execution of a part that counts: the last that completed, else the last one."""
    completed = [e for e in executions if e.compute_state.state_type is ExecutionStateType.COMPLETED]
    return max(completed or executions, key=lambda item: item.create_time, default=None)


def _part(label: str, execution: Execution | None, job: Job) -> Part:
    if execution is None:
        return Part(label, outcome=_never_ran(job))
    output = execution.run_output
    outcome = _outcome(execution, job)
    is_over = execution.compute_state.state_type is ExecutionStateType.COMPLETED
    code = output.code if output is not None and (is_over or output.code) else None
    error = error_line(execution)
    if execution.refusal is not None:
        error = execution.refusal
    elif not error and outcome is Outcome.FAILED and not code:
        error = execution.compute_state.message
    return Part(
        label,
        execution.id,
        outcome,
        code,
        max(0, execution.modify_time - execution.create_time) / 1e9,
        error[:_ERROR_CHARACTERS],
        is_refused=execution.refusal is not None,
    )


def _outcome(execution: Execution, job: Job) -> Outcome:
    match execution.compute_state.state_type:
        case ExecutionStateType.COMPLETED:
            output = execution.run_output
            return Outcome.FAILED if output is not None and output.code else Outcome.SUCCEEDED
        case ExecutionStateType.FAILED:
            return Outcome.FAILED
        case ExecutionStateType.CANCELLED:
            return Outcome.STOPPED
    return _never_ran(job)


def _never_ran(job: Job) -> Outcome:
    """Say what became of a part without a program that ended, in a job that is over."""
    return Outcome.FAILED if job.state.state_type is JobStateType.FAILED else Outcome.STOPPED
