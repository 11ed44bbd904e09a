"""What a call brings back: its value, by the safe formats only, or its error as text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bacalhau_jupyter.client.bodies.values import unpack_values
from bacalhau_jupyter.client.jobs.failure import JobFailed
from bacalhau_jupyter.client.remote.call import VALUE
from bacalhau_jupyter.client.results.result import JobResult
from bacalhau_jupyter.client.results.tree import HIDDEN
from bacalhau_jupyter.lib.ids import short_id
from bacalhau_jupyter.lib.text import read_text
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.text import readable

_LONGEST = 64 * 1024
_SHOWN, _TYPE = 4000, 200
"""Characters of a message and of a type that an error shows."""
_LARGEST = 4 * 1024 * 1024


class RemoteError(JobFailed):
    """The function raised an exception in its job. The exception itself is never unpickled here.

    Attributes
    ----------
    type_name
        The exception's type, as text.
    error_message
        Its message.
    traceback
        The traceback in the job, as text.
    """

    default_code = "JobFailed"

    def __init__(self, failure: JobFailed, name: str, error: dict[str, str]) -> None:
        self.type_name, self.error_message = error["type"], error["message"]
        self.traceback = error["traceback"]
        job = short_id(failure.result.job.id) if failure.result is not None else ""
        # The job wrote both: what begins a line is ours alone.
        text = self.error_message[:_SHOWN].replace("\n", "\n  ")
        super().__init__(
            f"{name} raised {readable(self.type_name[:_TYPE])}: {text}" + (f" (job {job})" if job else ""),
            hint="error.traceback is the traceback in the job",
            result=failure.result,
        )


def value_of(result: JobResult, name: str) -> Any:
    """Return the value of a call whose job is over.

    Parameters
    ----------
    result
        The job's result.
    name
        The function's name.

    Raises
    ------
    BacalhauError
        The job returned no value, or only unpickling would restore it.
    """
    directory = result.subtree(f"outputs/{HIDDEN}")
    if (directory / f"{VALUE}.pickle").exists():
        kind = _noted_kind(directory / f"{VALUE}.kind")
        raise BacalhauError(
            f"{name} returned a {kind}, which only unpickling brings back, and that runs code the job chose",
            hint=f"if you trust the job: {name}.submit(…).result().load({VALUE!r}, trust=True); "
            "a frame, an array, JSON, text or bytes come back by themselves",
            component="Results",
        )
    return unpack_values(directory, [VALUE])[VALUE]


def _noted_kind(path: Path) -> str:
    try:
        return readable(_noted(path)[:200])
    except ValueError:
        return "value"


def remote_error(failure: JobFailed, name: str) -> JobFailed:
    """Return the error of a call with what the function raised, where the job noted that."""
    result = failure.result
    if result is None or not result.exit_code:
        return failure
    try:
        # This file alone: a job may leave anything beside it.
        error = _read(result.local(f"outputs/{HIDDEN}/error.json"))
    except (OSError, ValueError, RecursionError, BacalhauError):
        return failure
    return RemoteError(failure, name, error)


def _read(path: Path) -> dict[str, str]:
    """Read the error that a job noted; it is as hostile as anything else from there.

    Raises
    ------
    ValueError
        It is not what a call of ours writes.
    """
    record = json.loads(_noted(path))
    if not isinstance(record, dict):
        raise ValueError("not a record")
    return {
        key: readable(str(record.get(key, ""))[:_LONGEST], lines=True)
        for key in ("type", "message", "traceback")
    }


def _noted(path: Path) -> str:
    """Return a small text that a job left.

    Raises
    ------
    ValueError
        It is no plain file, or too large to be ours.
    """
    if path.is_symlink() or not path.is_file() or path.stat().st_size > _LARGEST:
        raise ValueError("nothing of ours was noted")
    return read_text(path)
