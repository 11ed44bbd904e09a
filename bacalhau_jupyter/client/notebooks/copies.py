"""The executed copy of a notebook, among the results of the job that ran it."""

from __future__ import annotations

from bacalhau_jupyter.client.notebooks.files import copy_name
from bacalhau_jupyter.client.results.result import JobResult
from bacalhau_jupyter.lib.ids import short_id
from bacalhau_jupyter.models.errors import BacalhauError, NotFound

COPY = "jupyter.org/notebook-copy"
"""Meta key of the copy's name inside the results' ``outputs``."""

COPY_LIMIT = 200 * 1024 * 1024
"""Bytes of an executed copy that are taken beside the original."""


def executed_copy(result: JobResult) -> bytes | None:
    """Return the executed copy out of a finished job's results; None when the job left none.

    Raises
    ------
    BacalhauError
        It can't be fetched, or is larger than `COPY_LIMIT`.
    """
    name = result.job.meta.get(COPY, "")
    if not name or all(item.published_result.is_empty for item in result.executions):
        return None
    try:
        with result.open(f"outputs/{name}") as file:
            data = file.read(COPY_LIMIT + 1)
    except NotFound:
        return None
    if len(data) > COPY_LIMIT:
        raise BacalhauError(
            f"the executed copy has more than {COPY_LIMIT:,} bytes",
            hint=f"`job get {short_id(result.job.id)}` brings it",
            component="Notebook",
        )
    return data


def how_to_fetch(job_id: str, path: str) -> str:
    """Return the sentence for a job that is left running."""
    where = f"outputs/{copy_name(path)}"
    return f"Job {job_id} runs {path}; `job get {short_id(job_id)}` brings its executed copy ({where})"
