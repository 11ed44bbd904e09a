"""How handles and results look as a cell's value."""

from __future__ import annotations

import html
from typing import Any

from bacalhau_jupyter.client.job import Job
from bacalhau_jupyter.client.results import JobResult
from bacalhau_jupyter.client.tables import is_table
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.notebook.display import MIME, Status

PREVIEW_ROWS = 20
PREVIEW_FILES = 50


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
        tables = [path for path in files.values() if is_table(path)]
        body = _table(result) if tables else _files(files)
    except BacalhauError as error:
        body = f"<p>{html.escape(error.message)}</p>"
    return {"text/plain": plain, "text/html": body} if body else {"text/plain": plain}


def _table(result: JobResult) -> str:
    frame = result.df()
    shown = frame.head(PREVIEW_ROWS)
    note = f"<p>showing {len(shown):,} of {len(frame):,} rows</p>" if len(shown) < len(frame) else ""
    text: str = shown.to_html()
    return text + note


def _files(files: dict[str, Any]) -> str:
    if not files:
        return ""
    rows = [
        f"<tr><td>{html.escape(name)}</td><td>{path.stat().st_size:,} B</td></tr>"
        for name, path in list(files.items())[:PREVIEW_FILES]
    ]
    more = f"<p>and {len(files) - PREVIEW_FILES:,} more</p>" if len(files) > PREVIEW_FILES else ""
    return f"<table><tbody>{''.join(rows)}</tbody></table>{more}"


__all__ = ["MIME", "job_bundle", "result_bundle"]
