"""``%%bacalhau sql``: the files that run a body with DuckDB, and the frame that comes back."""

from __future__ import annotations

import importlib.util
import math
from typing import TYPE_CHECKING, Any, cast

from bacalhau_jupyter.client.bodies.program import BODY, DESCRIPTION, runner_files
from bacalhau_jupyter.client.bodies.runner.sql import RESULT
from bacalhau_jupyter.client.bodies.values import Packed, pack
from bacalhau_jupyter.client.packages.requirements import Required
from bacalhau_jupyter.client.results.references import ResultPart
from bacalhau_jupyter.client.results.result import JobResult
from bacalhau_jupyter.models.codec import encode
from bacalhau_jupyter.models.errors import BadRequest, NotFound
from bacalhau_jupyter.notebook.cell import Cell

if TYPE_CHECKING:
    from bacalhau_jupyter.client.tables import Backend

SQL = "sql"
_PLAIN = (str, int, float, bool, type(None))
_RESULT_PATH = f"outputs/{RESULT}"


def sql_files(cell: Cell, body: str, ways_out: list[str]) -> tuple[dict[str, bytes], list[Packed]]:
    """Return the files that run a body with DuckDB, and the tables of ``--in``, which are inputs of their own.

    Parameters
    ----------
    cell
        The cell.
    body
        Its text.
    ways_out
        What a person can do when a module is missing there; NAME stands for the module.

    Raises
    ------
    BadRequest
        A variable is neither a table nor a plain value.
    """
    values = {name: _in_json(value) for name, value in cell.variables.items() if type(value) in _PLAIN}
    results = [name for name, value in cell.variables.items() if isinstance(value, JobResult | ResultPart)]
    for name, value in cell.variables.items():
        if _is_without_columns(value):
            raise BadRequest(
                f"--in {name}: the {type(value).__qualname__} has no columns, so it can't be a table",
                hint="send a frame with columns; it may have no rows",
            )
    packed = {
        name: pack(name, value, python_body=False)
        for name, value in cell.variables.items()
        if name not in values and name not in results
    }
    for name, item in packed.items():
        if item.kind == "json" and not _is_records(cell.variables[name]):
            raise BadRequest(
                f"--in {name}: a {type(cell.variables[name]).__qualname__} is not a table",
                hint="send a DataFrame, a list of dicts, a path, or a plain value (then getvariable('NAME'))",
            )
    description: dict[str, Any] = {
        "tables": {name: item.file for name, item in packed.items()} | {name: name for name in results},
        "values": values,
        "first_line": cell.first_line,
        "ways": ways_out,
        "stays": bool(cell.workdir),
    }
    files = {
        **runner_files(),
        "cell.sql": body.encode() + b"\n",
        BODY: b"",
        DESCRIPTION: encode(description),
    }
    return files, list(packed.values())


def _is_without_columns(value: Any) -> bool:
    """Whether a value is a frame of pandas, polars or pyarrow that has no columns."""
    if type(value).__module__.partition(".")[0] not in ("pandas", "polars", "pyarrow"):
        return False
    columns = getattr(value, "columns", None)
    return columns is not None and len(columns) == 0


def _in_json(value: Any) -> Any:
    """Return a plain value as JSON holds it: a number that JSON lacks is a list with its name."""
    return [str(value)] if isinstance(value, float) and not math.isfinite(value) else value


def _is_records(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def check_duckdb(cell: Cell, engine: str) -> None:
    """Refuse a cell whose Python surely lacks DuckDB.

    Raises
    ------
    BadRequest
        Neither this kernel's Python nor the cell's image holds it.
    """
    names = [each.name if isinstance(each, Required) else each for each in cell.options.pip]
    if any(name.startswith("duckdb") for name in (*names, *cell.options.no_binary)):
        return
    if engine == "process" and importlib.util.find_spec("duckdb") is None:
        raise BadRequest(
            "a sql cell is run by DuckDB, which this kernel's Python lacks",
            hint="--pip duckdb brings it along; pip install 'bacalhau-jupyter[sql]' installs it for this kernel; "
            "--image names an image whose Python holds it",
        )
    if engine == "docker" and not cell.image:
        raise BadRequest(
            "a sql cell in a container needs an image with a Python that holds duckdb",
            hint="--pip duckdb brings it along, --image names an image that holds it; with the process engine "
            "the kernel's own duckdb runs the cell",
        )


def frame_of(result: JobResult, tables_as: str | None) -> Any:
    """Return what the last statement of a finished sql cell returned; None where it returned no rows.

    Parameters
    ----------
    result
        The job's result.
    tables_as
        ``pandas``, ``polars`` or ``arrow``.
    """
    try:
        return result.df(_RESULT_PATH, backend=cast("Backend", tables_as or "pandas"))
    except NotFound:
        return None
