"""Several files, one frame: columns matched by name, types made to agree without losing anything, or an error."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NoReturn, Protocol

from bacalhau_jupyter.client.tables.libraries import require_pandas, require_pyarrow
from bacalhau_jupyter.models.errors import BacalhauError

SOURCE = "source"
"""The column that says where a row comes from; ``_source`` where the data has a column of that name."""

_NULLABLE = {"i": "Int64", "u": "UInt64", "b": "boolean"}


class Reader(Protocol):
    """Reads the files, some columns as text where that is asked for."""

    files: Sequence[Any]

    def frames(self, as_text: Collection[str] = ()) -> list[Any]:
        """Read all files."""


def _source_column(columns: Collection[Any]) -> str:
    name = SOURCE
    while name in columns:
        name = f"_{name}"
    return name


def _conflict(column: object, types: Sequence[tuple[str, str]]) -> NoReturn:
    first = types[0]
    other = next(item for item in types if item[1] != first[1])
    raise BacalhauError(
        f"column {column!r} is {first[1]} in {first[0]} and {other[1]} in {other[0]}: they can't be joined",
        hint="read the files one by one and convert that column, or write the same type everywhere",
        component="Results",
    )


# ---- pandas


def merged_pandas(reader: Reader) -> Any:
    """Concatenate frames; indexes are kept unless they only count."""
    pandas = require_pandas()
    frames = reader.frames()
    if len(frames) == 1:
        return frames[0]
    names = [item.file.source for item in reader.files]
    if any(not frame.columns.is_unique or frame.columns.nlevels > 1 for frame in frames):
        return _stacked(pandas, frames, names)
    columns = list(dict.fromkeys(column for frame in frames for column in frame.columns))
    unlike = [column for column in columns if len(_kinds(pandas, frames, column)) > 1]
    as_text = [column for column in unlike if _all_text(reader, frames, column)]
    if as_text:
        frames = reader.frames(as_text)
    for column in columns:
        _harmonise(pandas, frames, names, column)
    for frame in frames:
        for column in columns:
            if column not in frame.columns:
                kind = next(other[column].dtype for other in frames if column in other.columns)
                frame[column] = pandas.Series(index=frame.index, dtype=kind)
    return _stacked(pandas, [frame[columns] for frame in frames], names)


def _stacked(pandas: Any, frames: list[Any], names: list[str]) -> Any:
    columns = frames[0].columns
    for frame, name in zip(frames, names, strict=True):
        if not frame.columns.equals(columns):
            raise BacalhauError(
                f"{name} has other columns than {names[0]}, and duplicate or multi-level names can't be matched",
                component="Results",
            )
    counted = all(isinstance(frame.index, pandas.RangeIndex) for frame in frames)
    merged = pandas.concat(frames, ignore_index=counted)
    label = _source_column(set(columns))
    merged[label] = [name for frame, name in zip(frames, names, strict=True) for _ in range(len(frame))]
    return merged


def _all_text(reader: Reader, frames: list[Any], column: Any) -> bool:
    """Whether every file that has the column is text."""
    return isinstance(column, str) and all(
        item.is_text
        for item, frame in zip(reader.files, frames, strict=True)
        if column in frame.columns and not frame[column].isna().all()
    )


def _kinds(pandas: Any, frames: list[Any], column: Any) -> set[str]:
    """Return the kinds of a column's types; a column without a value has none."""
    return {
        _kind(pandas, frame[column])
        for frame in frames
        if column in frame.columns and not frame[column].isna().all()
    }


def _kind(pandas: Any, series: Any) -> str:
    types, dtype = pandas.api.types, series.dtype
    if isinstance(dtype, pandas.CategoricalDtype):
        return _kind(pandas, dtype.categories.to_series())
    if isinstance(dtype, pandas.DatetimeTZDtype):
        return "time with zone"
    for name, check in (
        ("boolean", types.is_bool_dtype),
        ("number", types.is_numeric_dtype),
        ("time", types.is_datetime64_dtype),
        ("duration", types.is_timedelta64_dtype),
    ):
        if check(dtype):
            return name
    if str(dtype) == "object":
        inferred: str = types.infer_dtype(series, skipna=True)
        return "text" if inferred in ("string", "empty") else inferred
    return "text" if types.is_string_dtype(dtype) else str(dtype)


def _harmonise(pandas: Any, frames: list[Any], names: list[str], column: Any) -> None:
    """Give a column one type in all frames that have it, in place."""
    having = [(frame, name) for frame, name in zip(frames, names, strict=True) if column in frame.columns]
    valued = [(frame, name) for frame, name in having if not frame[column].isna().all()]
    if len(_kinds(pandas, frames, column)) > 1:
        _conflict(column, [(name, _kind(pandas, frame[column])) for frame, name in valued])
    dtypes = list(dict.fromkeys(frame[column].dtype for frame, _ in valued))
    target = _common(pandas, dtypes, [frame[column] for frame, _ in valued])
    gaps = len(having) < len(frames) or len(valued) < len(having)
    if gaps and target is not None and getattr(target, "kind", "") in _NULLABLE and _is_plain(target):
        target = _NULLABLE[target.kind]
    if target is None:
        return
    for frame, _ in having:
        if frame[column].dtype != target:
            frame[column] = frame[column].astype(target)


def _is_plain(dtype: Any) -> bool:
    return type(dtype).__module__.startswith("numpy")


def _common(pandas: Any, dtypes: list[Any], columns: list[Any]) -> Any:
    """Return the type all columns take; None where pandas' own concatenation decides."""
    if not dtypes:
        return None
    if len(dtypes) == 1:
        return dtypes[0]
    if any(isinstance(dtype, pandas.DatetimeTZDtype) for dtype in dtypes):
        zones = {str(dtype.tz) for dtype in dtypes}
        unit = max((dtype.unit for dtype in dtypes), key=("s", "ms", "us", "ns").index)
        return pandas.DatetimeTZDtype(unit, dtypes[0].tz if len(zones) == 1 else "UTC")
    if all(isinstance(dtype, pandas.CategoricalDtype) for dtype in dtypes):
        if len({dtype.ordered for dtype in dtypes}) > 1 or dtypes[0].ordered:
            return dtypes[0].categories.dtype
        return pandas.api.types.union_categoricals(columns).dtype
    if any(isinstance(dtype, pandas.CategoricalDtype) for dtype in dtypes):
        return next(dtype for dtype in dtypes if not isinstance(dtype, pandas.CategoricalDtype))
    return None


# ---- Arrow


def merged_arrow(reader: Reader) -> Any:
    """Concatenate Arrow tables; numbers widen, columns that are missing are null."""
    pa = require_pyarrow()
    tables = reader.frames()
    if len(tables) == 1:
        return tables[0]
    names = [item.file.source for item in reader.files]
    unlike = _unlike(pa, tables)
    texts = [
        column
        for column in unlike
        if all(
            item.is_text
            for item, table in zip(reader.files, tables, strict=True)
            if column in table.column_names and not pa.types.is_null(table.schema.field(column).type)
        )
    ]
    if texts:
        tables = reader.frames(texts)
        unlike = _unlike(pa, tables)
    for column in unlike:
        holders = [
            (name, table) for name, table in zip(names, tables, strict=True) if column in table.column_names
        ]
        _conflict(column, [(name, str(table.schema.field(column).type)) for name, table in holders])
    label = _source_column({column for table in tables for column in table.column_names})
    marked = [
        table.replace_schema_metadata(None).append_column(label, pa.array([name] * len(table), pa.string()))
        for name, table in zip(names, tables, strict=True)
    ]
    return pa.concat_tables(marked, promote_options="permissive")


def _unlike(pa: Any, tables: list[Any]) -> list[str]:
    """Return the columns whose types Arrow can't bring together."""
    differences = []
    for column in dict.fromkeys(name for table in tables for name in table.column_names):
        types = dict.fromkeys(
            table.schema.field(column).type for table in tables if column in table.column_names
        )
        try:
            pa.unify_schemas([pa.schema([(column, kind)]) for kind in types], promote_options="permissive")
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            differences.append(column)
    return differences
