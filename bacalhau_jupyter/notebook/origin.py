"""Where a job was submitted: the notebook and the cell, as far as Jupyter tells its kernel."""

from __future__ import annotations

import os
from typing import Any

from bacalhau_jupyter.models.job import Job
from bacalhau_jupyter.models.spec import replace

SESSION, CELL = "jupyter.org/session", "jupyter.org/cell"
"""Meta keys. The panel finds its way back to the cell by them."""

_LONGEST = 200


def with_origin(job: Job, shell: Any) -> Job:
    """Return the job with a note of the notebook and the cell that it comes from; unchanged where it is unknown."""
    noted = {SESSION: os.environ.get("JPY_SESSION_NAME", ""), CELL: cell_id(shell)}
    meta = {key: value for key, value in noted.items() if value}
    return replace(job, meta={**job.meta, **meta}) if meta else job


def cell_id(shell: Any) -> str:
    """Return the id of the running cell, which JupyterLab and Notebook send along; empty elsewhere."""
    kernel = getattr(shell, "kernel", None)
    parent = kernel.get_parent("shell") if kernel is not None else {}
    identifier = (parent.get("metadata") or {}).get("cellId", "") if isinstance(parent, dict) else ""
    return (
        identifier
        if isinstance(identifier, str) and len(identifier) <= _LONGEST and identifier.isprintable()
        else ""
    )
