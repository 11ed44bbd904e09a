"""The facts in the record of a finished job, without a look at its files."""

from __future__ import annotations

from collections.abc import Sequence

from bacalhau_jupyter.models.execution import Execution, ExecutionStateType
from bacalhau_jupyter.models.history import LEFT_OUT
from bacalhau_jupyter.models.job import Job

_NAMED = 3


def named(lines: Sequence[str]) -> str:
    """Name the first few of what was left out, and how many more there are."""
    more = f"; and {len(lines) - _NAMED} more" if len(lines) > _NAMED else ""
    return "; ".join(lines[:_NAMED]) + more


class Finished:
    """A finished job and its executions."""

    def __init__(self, job: Job, executions: list[Execution]) -> None:
        self.job = job
        self.executions = executions

    @property
    def _last(self) -> Execution | None:
        done = [
            item for item in self.executions if item.compute_state.state_type is ExecutionStateType.COMPLETED
        ]
        candidates = done or self.executions
        return max(candidates, key=lambda item: item.modify_time) if candidates else None

    @property
    def exit_code(self) -> int | None:
        """The first non-zero exit code of the completed executions, else 0; None when nothing ran."""
        # An official node reports a zero for executions that never got so far.
        codes = [
            item.run_output.exit_code
            for item in self.executions
            if item.run_output is not None
            and (item.run_output.exit_code or item.compute_state.state_type is ExecutionStateType.COMPLETED)
        ]
        return next((code for code in codes if code), 0) if codes else None

    @property
    def left_out(self) -> list[str]:
        """What the job left behind and that is not among its results, a line each: what it was, and why."""
        reports = [
            item.compute_state.details.get(LEFT_OUT, "") for item in self.executions if item.has_results
        ]
        return [line for text in reports for line in text.split("\n") if line]

    @property
    def node(self) -> str:
        """ID of the node that ran the (last) execution."""
        return self._last.node_id if self._last else ""

    @property
    def runtime(self) -> str:
        """What ran it: the engine's type and, if the node reports it, its runtime."""
        engine = self.job.task.engine.type
        name = self._last.compute_state.details.get("Runtime", "") if self._last else ""
        return f"{engine} ({name})" if name and name != engine else engine
