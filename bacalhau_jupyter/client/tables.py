"""Files to DataFrames and back; pandas is imported on first use."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bacalhau_jupyter.models.errors import BacalhauError, BadRequest

if TYPE_CHECKING:
    import pandas as pd

TABLE_SUFFIXES = (".parquet", ".feather", ".arrow", ".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".xlsx")
"""File types that become a frame, in the order they are looked for."""

SIZE_LIMIT = 2_000_000_000
"""Bytes of files that are read into one frame; more is refused rather than sampled."""


def is_table(path: Path) -> bool:
    """Whether the file's name says that it holds a table."""
    return table_rank(path) < len(TABLE_SUFFIXES)


def table_rank(path: Path) -> int:
    """Return the place of the file's type in `TABLE_SUFFIXES`; a file that is no table comes last."""
    name = path.name.lower().removesuffix(".gz")
    return next(
        (rank for rank, suffix in enumerate(TABLE_SUFFIXES) if name.endswith(suffix)), len(TABLE_SUFFIXES)
    )


def read_table(path: Path) -> pd.DataFrame:
    """Read one file into a frame, by its name.

    Raises
    ------
    BacalhauError
        The type is unknown, or the file can't be parsed.
    """
    pandas = require_pandas()
    name = path.name.lower().removesuffix(".gz")
    readers: dict[str, Callable[[Path], pd.DataFrame]] = {
        ".parquet": pandas.read_parquet,
        ".feather": pandas.read_feather,
        ".arrow": pandas.read_feather,
        ".csv": pandas.read_csv,
        ".tsv": lambda file: pandas.read_csv(file, sep="\t"),
        ".jsonl": lambda file: pandas.read_json(file, lines=True),
        ".ndjson": lambda file: pandas.read_json(file, lines=True),
        ".json": lambda file: _read_json(pandas, file),
        ".xlsx": pandas.read_excel,
    }
    reader = next((read for suffix, read in readers.items() if name.endswith(suffix)), None)
    if reader is None:
        raise BadRequest(f"{path.name} is not a table", hint="known endings: " + " ".join(TABLE_SUFFIXES))
    try:
        return reader(path)
    except (ValueError, OSError, ImportError) as error:
        raise BacalhauError(f"{path.name} can't be read as a table: {error}", component="Results") from error


def read_tables(paths: Sequence[Path], root: Path) -> pd.DataFrame:
    """Read one or several files; several get a column ``source`` with the path below ``root``.

    Raises
    ------
    BacalhauError
        Together they are larger than `SIZE_LIMIT`, or one can't be read.
    """
    total = sum(path.stat().st_size for path in paths)
    if total > SIZE_LIMIT:
        raise BacalhauError(
            f"{len(paths)} files with {total:,} bytes are more than a frame takes ({SIZE_LIMIT:,})",
            hint="read them one by one from result.files, or aggregate in the job",
            component="Results",
        )
    if len(paths) == 1:
        return read_table(paths[0])
    pandas = require_pandas()
    frames = [read_table(path).assign(source=str(path.relative_to(root))) for path in paths]
    merged: pd.DataFrame = pandas.concat(frames, ignore_index=True)
    return merged


def _read_json(pandas: Any, path: Path) -> pd.DataFrame:
    """Read records, or a frame with its dtypes beside it (``NAME.dtypes.json``)."""
    side = path.with_name(path.stem + ".dtypes.json")
    if not side.exists():
        frame: pd.DataFrame = pandas.read_json(path)
        return frame
    plain = json.loads(path.read_text())
    dtypes = json.loads(side.read_text())
    frame = pandas.DataFrame(plain["data"], columns=plain["columns"], index=plain["index"])
    for column, dtype in dtypes.items():
        frame[column] = frame[column].astype(dtype)
    return frame


def require_pandas() -> Any:
    """Import pandas, or say how to get it."""
    try:
        import pandas
    except ImportError as error:
        raise BacalhauError(
            "this needs pandas, which is not installed in this kernel",
            hint="pip install 'bacalhau-jupyter[data]'",
            component="Results",
        ) from error
    return pandas
