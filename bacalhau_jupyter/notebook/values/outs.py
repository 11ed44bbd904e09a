"""The values of ``--out``: what a finished cell's job brings back under a name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from bacalhau_jupyter.client.bodies.values import unpack_values
from bacalhau_jupyter.client.results.result import JobResult
from bacalhau_jupyter.client.results.tree import HIDDEN
from bacalhau_jupyter.lib.ids import short_id
from bacalhau_jupyter.models.errors import BadRequest, NotFound
from bacalhau_jupyter.models.records.execution import Execution, ExecutionStateType
from bacalhau_jupyter.notebook.values.sql import SQL, frame_of
from bacalhau_jupyter.transfer.core.scratch import scratch_directory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bacalhau_jupyter.client.tables import Backend


def values_of(
    result: JobResult, language: str, names: Sequence[str], *, tables_as: str | None = None
) -> dict[str, Any]:
    """Return the values of a job, by name; of a Python cell with several executions a list each, by partition.

    Parameters
    ----------
    result
        The job's result.
    language
        The cell's language: only a Python body has variables, elsewhere the first table comes back.
    names
        The names of ``--out``.
    tables_as
        ``pandas``, ``polars`` or ``arrow``; None: as the job had them, else pandas.

    Raises
    ------
    BacalhauError
        A value is missing or can't be read.
    """
    if not names:
        return {}
    if language == SQL:
        frame = frame_of(result, tables_as)
        if frame is None:
            raise BadRequest(f"--out {names[0]}: the cell's last statement returns no rows")
        return {names[0]: frame}
    if language != "python":
        return {names[0]: result.df(backend=cast("Backend", tables_as or "pandas"))}
    partitions = _partitions(result)
    if len(partitions) < 2:
        return dict(unpack_values(_brought(result), list(names), tables_as=tables_as))
    each = [
        unpack_values(_brought(result, short_id(item.id)), list(names), tables_as=tables_as)
        for item in partitions
    ]
    return {name: [values[name] for values in each] for name in names}


def _partitions(result: JobResult) -> list[Execution]:
    """Return the executions that completed, by the number of their partition."""
    done = [
        item for item in result.executions if item.compute_state.state_type is ExecutionStateType.COMPLETED
    ]
    return sorted(done, key=lambda item: item.partition_index)


def _brought(result: JobResult, label: str = "") -> Path:
    """Return where the variables lie that a Python body wrote; only they are fetched."""
    place = f"outputs/{HIDDEN}"
    try:
        return result.subtree(f"{label}/{place}" if label else place)
    except NotFound:
        # A placeholder: each missing variable is reported by name.
        return scratch_directory(result)
