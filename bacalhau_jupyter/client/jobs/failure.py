"""The error of a job that did not end well: its cause, and the result that it left all the same."""

from __future__ import annotations

from typing import Any

from bacalhau_jupyter.client.results.result import JobResult
from bacalhau_jupyter.lib.ids import short_id
from bacalhau_jupyter.models.errors import HINT, BacalhauError
from bacalhau_jupyter.models.jobs.job import JobStateType
from bacalhau_jupyter.models.records.execution import ExecutionStateType
from bacalhau_jupyter.models.records.outcome import (
    NO_NODE,
    OUTCOME,
    cause_of,
    deciding,
    error_line,
    stopped_words,
)


class JobFailed(BacalhauError):
    """The job ended, but not well.

    Attributes
    ----------
    result
        What it left behind; None when nothing ran.
    """

    default_code = "JobFailed"

    def __init__(self, message: str, *, result: JobResult | None = None, **kwargs: Any) -> None:
        super().__init__(message, component="Job", **kwargs)
        self.result = result


def raise_for_state(result: JobResult, *, check: bool) -> None:
    """Raise `JobFailed` when the job did not end well.

    Parameters
    ----------
    result
        The result of a job that is over.
    check
        Whether a non-zero exit code counts as failure.
    """
    state = result.job.state
    name = short_id(result.job.id)
    if state.state_type is JobStateType.COMPLETED:
        code = result.exit_code
        if check and code:
            line = error_line(deciding(result.executions))
            raise JobFailed(
                f"job {name} ended with exit code {code}" + (f": {line}" if line else ""),
                hint=f"%bacalhau job logs {name} shows all it printed; --no-check lets the notebook continue",
                result=result,
            )
        return
    if state.state_type is JobStateType.STOPPED:
        raise JobFailed(
            f"job {name} was {stopped_words(state.message) or 'stopped: no reason given'}", result=result
        )
    raise JobFailed(
        f"job {name} failed: {cause_of(state, result.executions) or 'no reason given'}",
        hint=_hint(result) or _next_step(result, name),
        result=result,
    )


def _next_step(result: JobResult, name: str) -> str:
    """Say what tells more: for a job that no node took, that is not its history."""
    executions, state = result.executions, result.job.state
    failed = any(item.compute_state.state_type is ExecutionStateType.FAILED for item in executions)
    # Official clusters note no outcome, and explain nothing.
    if not failed and OUTCOME in state.details and state.message.startswith(NO_NODE):
        return f"%bacalhau explain {name} says what each node lacks"
    return f"%bacalhau job history {name} shows every step"


def _hint(result: JobResult) -> str:
    for execution in reversed(result.executions):
        hint = execution.compute_state.details.get(HINT, "")
        if hint:
            return hint
    return result.job.state.details.get(HINT, "")
