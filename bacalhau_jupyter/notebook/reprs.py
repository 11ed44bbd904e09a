"""How handles and results look as a cell's value."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from typing import Any

from bacalhau_jupyter.client.jobs.job import Job
from bacalhau_jupyter.client.results.result import JobResult
from bacalhau_jupyter.client.results.tree import HIDDEN
from bacalhau_jupyter.models.errors import BacalhauError, Conflict
from bacalhau_jupyter.models.text import readable
from bacalhau_jupyter.notebook.display import MIME, Status
from bacalhau_jupyter.notebook.errors import CellInterrupted
from bacalhau_jupyter.notebook.preview import file_list, preview
from bacalhau_jupyter.transfer.core.readers import EntryKind, ResultEntry


def job_bundle(job: Job, include: Any = None, exclude: Any = None) -> dict[str, Any]:
    """Show a (detached) job: its record, and how to get at it."""
    del include, exclude
    status = Status(job.id, job.client.endpoint.url)
    return status.bundle(f"job {job.short_id} · submitted · await it, or %bacalhau attach {job.short_id}")


def result_bundle(result: JobResult, include: Any = None, exclude: Any = None) -> dict[str, Any]:
    """Show a result: a table's head, images, text or its files."""
    del include, exclude
    try:
        body = _preview(result)
    except BacalhauError as error:
        body = {"text/html": f"<p>{html.escape(readable(error.message, lines=True))}</p>"}
    except KeyboardInterrupt:
        raise CellInterrupted("the job is over; its results were not fetched for the preview") from None
    return {"text/plain": repr(result), **body}


def _preview(result: JobResult) -> dict[str, str]:
    try:
        entries = result.entries()
    except Conflict:
        # Several executions wrote the same names: they are listed side by side.
        listed = {name: size for name, size in _written(result.entries(raw=True)) if "/outputs/" in name}
        note = "<p>each execution wrote these: <code>result.df()</code> puts their tables together</p>"
        return {"text/html": file_list(listed) + note}
    written = {name: size for name, size in _written(entries) if name.startswith("outputs/")}
    return preview(written, lambda name: result.files[name])


def _written(entries: Sequence[ResultEntry]) -> Iterator[tuple[str, int]]:
    for entry in entries:
        if entry.kind is EntryKind.FILE and HIDDEN not in entry.path.split("/"):
            yield entry.path, entry.size


__all__ = ["MIME", "job_bundle", "result_bundle"]
