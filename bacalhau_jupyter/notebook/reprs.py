"""How handles and results look as a cell's value."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bacalhau_jupyter.client.jobs.job import Job
from bacalhau_jupyter.client.results.result import JobResult
from bacalhau_jupyter.client.results.tree import HIDDEN
from bacalhau_jupyter.models.errors import BacalhauError, Conflict, NotFound
from bacalhau_jupyter.models.jobs.units import format_bytes
from bacalhau_jupyter.models.text import readable
from bacalhau_jupyter.notebook.errors import CellInterrupted
from bacalhau_jupyter.notebook.live.card import MIME, Status
from bacalhau_jupyter.notebook.live.shown import hide_once, table_name_of, take_displays
from bacalhau_jupyter.notebook.preview import file_list, preview
from bacalhau_jupyter.transfer.core.readers import EntryKind, ResultEntry

_LINES = 5
"""Files that a plain text names."""


def job_bundle(job: Job, include: Any = None, exclude: Any = None) -> dict[str, Any]:
    """Show a (detached) job: its record, and how to get at it."""
    del include, exclude
    status = Status(job.id, job.client.endpoint.url, phase="")
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


def as_value(result: JobResult) -> JobResult:
    """Return the result as the value of the cell that ran it: without files there is nothing more to show."""
    try:
        has_files = any(_visible(result.entries(raw=True)))
    except NotFound:
        has_files = False
    except BacalhauError:
        # What is shown says why they can't be listed.
        has_files = True
    except KeyboardInterrupt:
        raise CellInterrupted("the job is over; its results were not listed") from None
    if not has_files:
        hide_once(result)
    return result


def _preview(result: JobResult) -> dict[str, str]:
    try:
        entries = result.entries()
    except Conflict:
        # Several executions wrote the same names: they are listed side by side.
        listed = dict(_visible(result.entries(raw=True)))
        note = "<p>each execution wrote these: <code>result.df()</code> puts their tables together</p>"
        return {"text/html": file_list(listed) + note} if listed else {}
    written = dict(_visible(entries))
    plain = {"text/plain": "\n".join([repr(result), *_lines(written)])}
    if take_displays(result):
        return plain | ({"text/html": file_list(written, is_open=False)} if written else {})
    return plain | preview(written, lambda name: result.files[name], table_name=table_name_of(result))


def _lines(sizes: Mapping[str, int]) -> list[str]:
    """Return the first files, a line each, for front ends that show text only."""
    lines = [f"{readable(name)}  {format_bytes(size)}" for name, size in list(sizes.items())[:_LINES]]
    return [*lines, f"… and {len(sizes) - _LINES:,} more"] if len(sizes) > _LINES else lines


def _visible(entries: Sequence[ResultEntry]) -> Iterator[tuple[str, int]]:
    """Yield what the program left for people; in a raw listing each execution's files lie under its ID."""
    for name, size in _written(entries):
        if name.startswith("outputs/") or "/outputs/" in name:
            yield name, size


def _written(entries: Sequence[ResultEntry]) -> Iterator[tuple[str, int]]:
    for entry in entries:
        if entry.kind is EntryKind.FILE and HIDDEN not in entry.path.split("/"):
            yield entry.path, entry.size


__all__ = ["MIME", "as_value", "job_bundle", "result_bundle"]
