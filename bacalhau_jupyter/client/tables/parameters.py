"""Values that several jobs returned, as one frame: each row says which parameters it belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bacalhau_jupyter.client.tables.libraries import require_pandas, require_polars, require_pyarrow
from bacalhau_jupyter.models.errors import BacalhauError

Parameters = Mapping[str, Any]


def is_frame(value: Any) -> bool:
    """Whether a value is a table of pandas, polars or pyarrow."""
    return _library(value) != ""


def merged(values: Sequence[Any], parameters: Sequence[Parameters]) -> Any:
    """Put the frames of several jobs below each other; the parameters become their first columns.

    Parameters
    ----------
    values
        One frame per job, all of one library.
    parameters
        Name → value, as many as values.

    Raises
    ------
    BacalhauError
        The frames are of several libraries, or can't be joined.
    """
    libraries = {_library(value) for value in values}
    if len(libraries) != 1 or "" in libraries:
        names = ", ".join(sorted({type(value).__qualname__ for value in values}))
        raise BacalhauError(f"values of several types can't be one frame: {names}", component="Results")
    library = libraries.pop()
    try:
        return _MERGE[library](values, parameters)
    except BacalhauError:
        raise
    except Exception as error:
        raise BacalhauError(f"the frames can't be joined: {error}", component="Results") from error


def rows(values: Sequence[Any], parameters: Sequence[Parameters], name: str) -> list[dict[str, Any]]:
    """Return a dict per job: its parameters, and its value under ``name``."""
    return [{**each, name: value} for value, each in zip(values, parameters, strict=True)]


def as_frame(values: Sequence[Any], parameters: Sequence[Parameters], name: str = "value") -> Any:
    """Return any values as one frame: frames are joined, dicts and plain values become a row of pandas each."""
    if values and all(is_frame(value) for value in values):
        return merged(values, parameters)
    pandas = require_pandas()
    if values and all(isinstance(value, dict) for value in values):
        table = [{**_renamed(each, value), **value} for value, each in zip(values, parameters, strict=True)]
        return pandas.DataFrame(table)
    return pandas.DataFrame(rows(values, parameters, name))


def _library(value: Any) -> str:
    module, kind = type(value).__module__.split(".")[0], type(value).__name__
    if module in ("pandas", "polars") and kind == "DataFrame":
        return module
    return "pyarrow" if module == "pyarrow" and kind == "Table" else ""


def _renamed(parameters: Parameters, columns: Any) -> dict[str, Any]:
    """Return the parameters under names that the data does not have itself."""
    taken = set(columns)
    renamed = {}
    for name, value in parameters.items():
        free = name
        while free in taken:
            free += "_"
        renamed[free] = value
    return renamed


def _merged_pandas(frames: Sequence[Any], parameters: Sequence[Parameters]) -> Any:
    pandas = require_pandas()
    labelled = []
    columns = list(dict.fromkeys(column for frame in frames for column in frame.columns))
    for frame, each in zip(frames, parameters, strict=True):
        copy = frame.copy()
        for place, (name, value) in enumerate(_renamed(each, columns).items()):
            copy.insert(place, name, [value] * len(copy))
        labelled.append(copy)
    counted = all(isinstance(frame.index, pandas.RangeIndex) for frame in frames)
    return pandas.concat(labelled, ignore_index=counted)


def _merged_polars(frames: Sequence[Any], parameters: Sequence[Parameters]) -> Any:
    polars = require_polars()
    columns = list(dict.fromkeys(column for frame in frames for column in frame.columns))
    labelled = [
        frame.select(
            *(polars.lit(value).alias(name) for name, value in _renamed(each, columns).items()), polars.all()
        )
        for frame, each in zip(frames, parameters, strict=True)
    ]
    return polars.concat(labelled, how="diagonal_relaxed")


def _merged_arrow(tables: Sequence[Any], parameters: Sequence[Parameters]) -> Any:
    pyarrow = require_pyarrow()
    columns = list(dict.fromkeys(column for table in tables for column in table.column_names))
    labelled = []
    for table, each in zip(tables, parameters, strict=True):
        wide = table
        for place, (name, value) in enumerate(_renamed(each, columns).items()):
            wide = wide.add_column(place, name, pyarrow.array([value] * len(table)))
        labelled.append(wide)
    return pyarrow.concat_tables(labelled, promote_options="permissive")


_MERGE = {"pandas": _merged_pandas, "polars": _merged_polars, "pyarrow": _merged_arrow}
