"""The facts in the record of a finished job, without a look at its files."""

from __future__ import annotations

from collections.abc import Sequence

from bacalhau_jupyter.models.jobs.job import Job
from bacalhau_jupyter.models.records.execution import Execution, with_runtime
from bacalhau_jupyter.models.records.history import LEFT_OUT
from bacalhau_jupyter.models.records.outcome import Outcome, deciding, exit_code_of, outcome_of

_NAMED = 3


def named(lines: Sequence[str]) -> str:
    """Name the first few of what was left out, and how many more there are."""
    more = f"; and {len(lines) - _NAMED} more" if len(lines) > _NAMED else ""
    return "; ".join(lines[:_NAMED]) + more


def took_s(job: Job) -> float:
    """Return how many seconds a job that is over took, from its submission to its end."""
    return max(0, job.modify_time - job.create_time) / 1e9


class Finished:
    """A finished job and its executions."""

    def __init__(self, job: Job, executions: list[Execution]) -> None:
        self.job = job
        self.executions = executions

    @property
    def exit_code(self) -> int | None:
        """The first non-zero exit code of the completed executions, else 0; None when nothing ran."""
        return exit_code_of(self.executions)

    @property
    def outcome(self) -> Outcome:
        """How the job stands, in the words of people: an exit code other than 0 is a failure."""
        return outcome_of(self.job.state.state_type, self.exit_code)

    @property
    def left_out(self) -> list[str]:
        """What the job left behind and that is not among its results, a line each: what it was, and why."""
        reports = [
            item.compute_state.details.get(LEFT_OUT, "") for item in self.executions if item.has_results
        ]
        return [line for text in reports for line in text.split("\n") if line]

    @property
    def node(self) -> str:
        """ID of the node that ran the execution by which the job is judged."""
        execution = deciding(self.executions)
        return execution.node_id if execution else ""

    @property
    def runtime(self) -> str:
        """What ran it: the engine's type and, if the node reports it, its runtime."""
        engine = self.job.task.engine.type
        execution = deciding(self.executions)
        return with_runtime(engine, execution.runtime if execution else "")
