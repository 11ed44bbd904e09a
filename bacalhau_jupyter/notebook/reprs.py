"""How handles and results look as a cell's value."""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bacalhau_jupyter.client.job import Job
from bacalhau_jupyter.client.results import JobResult
from bacalhau_jupyter.client.tables import is_table, read_table, table_rank
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.notebook.display import MIME, Status
from bacalhau_jupyter.notebook.errors import CellInterrupted

PREVIEW_ROWS = 20
PREVIEW_FILES = 50
PREVIEW_BYTES = 50_000_000
"""Larger tables are listed like other files: nobody asked to have them read."""


def job_bundle(job: Job, include: Any = None, exclude: Any = None) -> dict[str, Any]:
    """Show a (detached) job: its record, and how to get at it."""
    del include, exclude
    status = Status(job.id, job.client.endpoint.url)
    return status.bundle(f"job {job.short_id} · submitted · await it, or %bacalhau attach {job.short_id}")


def result_bundle(result: JobResult, include: Any = None, exclude: Any = None) -> dict[str, Any]:
    """Show a result: the first table's head, else its files."""
    del include, exclude
    plain = repr(result)
    try:
        files = {name: path for name, path in result.files.items() if name.startswith("outputs/")}
        body = _table(files) or _files(files)
    except BacalhauError as error:
        body = f"<p>{html.escape(error.message)}</p>"
    except KeyboardInterrupt:
        raise CellInterrupted("the job is over; its results were not fetched for the preview") from None
    return {"text/plain": plain, "text/html": body} if body else {"text/plain": plain}


def _table(files: Mapping[str, Path]) -> str:
    """Show the first table's head; empty where there is none (not every JSON file is one)."""
    tables = sorted((table_rank(path), name) for name, path in files.items() if is_table(path))
    if not tables or files[tables[0][1]].stat().st_size > PREVIEW_BYTES:
        return ""
    try:
        frame = read_table(files[tables[0][1]])
    except BacalhauError:
        return ""
    shown = frame.head(PREVIEW_ROWS)
    note = f"<p>showing {len(shown):,} of {len(frame):,} rows</p>" if len(shown) < len(frame) else ""
    text: str = shown.to_html()
    return text + note


def _files(files: Mapping[str, Path]) -> str:
    if not files:
        return ""
    rows = [
        f"<tr><td>{html.escape(name)}</td><td>{path.stat().st_size:,} B</td></tr>"
        for name, path in list(files.items())[:PREVIEW_FILES]
    ]
    more = f"<p>and {len(files) - PREVIEW_FILES:,} more</p>" if len(files) > PREVIEW_FILES else ""
    return f"<table><tbody>{''.join(rows)}</tbody></table>{more}"


__all__ = ["MIME", "job_bundle", "result_bundle"]
