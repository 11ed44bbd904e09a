"""Variables on their way into a job and back; what comes back is never unpickled."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any, cast

from bacalhau_jupyter.lib.text import read_text
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest

if TYPE_CHECKING:
    from bacalhau_jupyter.client.tables import Backend

COMPONENT = "Results"


@dataclass(frozen=True)
class Packed:
    """A variable as a file; ``kind`` says how a Python body turns it back."""

    file: str
    kind: str
    data: bytes


def pack(name: str, value: Any, *, python_body: bool) -> Packed:
    """Turn a variable into a file for the job.

    Parameters
    ----------
    name
        Variable name.
    value
        A table of pandas, polars or pyarrow becomes Parquet, a path its file's content, bytes stay bytes,
        JSON-able values JSON.
    python_body
        Whether a Python body receives it: only then may other objects go along, pickled.

    Raises
    ------
    BadRequest
        The value can't travel.
    """
    kind = type(value)
    if isinstance(value, Path):
        return Packed(f"{name}{value.suffix}", "path", _content(name, value))
    if isinstance(value, (bytes, bytearray)):
        return Packed(f"{name}.bytes" if python_body else name, "bytes", bytes(value))
    if isinstance(value, str) and not python_body:
        return Packed(f"{name}.txt", "text", value.encode())
    try:
        frame = _frame(name, value)
        if frame is not None:
            return frame
        if not python_body or _is_plain(value):
            # NaN is JSON for Python only.
            return Packed(f"{name}.json", "json", json.dumps(value, allow_nan=python_body).encode())
    except (ImportError, TypeError, ValueError, NotImplementedError, RecursionError) as error:
        # No pyarrow, or labels and values that Parquet can't hold: a Python body takes the object itself.
        problem = f": {error}"
    else:
        problem = ""
    if python_body:
        return Packed(f"{name}.pickle", "pickle", _pickled(name, value))
    raise BadRequest(
        f"--in {name}: a {kind.__qualname__} can't become a file for the job{problem}",
        hint="send a DataFrame, JSON-able data, text, bytes or a pathlib.Path",
    )


def _frame(name: str, value: Any) -> Packed | None:
    """Return a table as Parquet, which keeps its types; a Python body gets it back as what it was."""
    module, kind = type(value).__module__.split(".")[0], type(value).__name__
    if module == "pandas" and hasattr(value, "to_parquet"):
        return Packed(f"{name}.parquet", "parquet", value.to_parquet())
    out = io.BytesIO()
    if module == "polars" and kind in ("DataFrame", "LazyFrame"):
        (value.collect() if kind == "LazyFrame" else value).write_parquet(out)
        return Packed(f"{name}.parquet", "polars", out.getvalue())
    if module == "pyarrow" and kind in ("Table", "RecordBatch"):
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(value if kind == "Table" else pyarrow.Table.from_batches([value]), out)
        return Packed(f"{name}.parquet", "arrow", out.getvalue())
    return None


def _is_plain(value: Any) -> bool:
    """Whether JSON gives back just this: exact types only, since a subclass would come back as its base."""
    if type(value) is list:
        return all(_is_plain(item) for item in value)
    if type(value) is dict:
        return all(type(key) is str and _is_plain(item) for key, item in value.items())
    return value is None or type(value) in (str, int, float, bool)


def _pickled(name: str, value: Any) -> bytes:
    out = io.BytesIO()
    try:
        _Pickler(out, protocol=4).dump(value)
    except _NotebookOwn as error:
        raise BadRequest(
            f"--in {name}: {error} is defined in this notebook, where the job can't import it",
            hint="define it in the cell's body, or in a module that is installed",
        ) from None
    except Exception as error:
        raise BadRequest(
            f"--in {name}: a {type(value).__qualname__} can't be sent to a job: {error}"
        ) from error
    return out.getvalue()


class _NotebookOwn(Exception):
    """A class or function of ``__main__``; pickle would only note its name."""


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj: Any) -> None:
        if isinstance(obj, (type, FunctionType)) and obj.__module__ == "__main__":
            raise _NotebookOwn(obj.__qualname__)


def _content(name: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadRequest(f"--in {name}: {path} can't be read: {error.strerror}") from error


def unpack_values(directory: Path, names: list[str], *, tables_as: str | None = None) -> Mapping[str, Any]:
    """Read the variables a Python body left in ``directory``.

    Parameters
    ----------
    directory
        Where they lie.
    names
        Which are wanted.
    tables_as
        ``pandas``, ``polars`` or ``arrow``; by default a table comes back as what it was in the job.

    Raises
    ------
    BacalhauError
        One is missing or can't be read.
    """
    return {name: _load(directory, name, tables_as) for name in names}


def _load(directory: Path, name: str, tables_as: str | None) -> Any:
    for suffix, backend in _TABLES.items():
        path = directory / f"{name}{suffix}"
        if path.is_file() and not path.is_symlink():
            return _read_table(path, name, tables_as or backend)
    for suffix, read in _READERS.items():
        path = directory / f"{name}{suffix}"
        if path.is_file() and not path.is_symlink():
            try:
                return _converted(read(path), tables_as)
            except (ValueError, OSError, KeyError, TypeError) as error:
                raise BacalhauError(f"--out {name} can't be read: {error}") from error
    raise BacalhauError(f"--out {name}: the job brought nothing back under that name")


def _read_table(path: Path, name: str, backend: str) -> Any:
    from bacalhau_jupyter.client.tables import TableFile, TooLargeForFrame, read_tables

    try:
        return read_tables([TableFile(path, f"--out {name}")], backend=cast("Backend", backend))
    except TooLargeForFrame as error:
        raise BacalhauError(
            error.message,
            hint="let the cell write it to outputs/ and read that with result.df(…, size_limit=…)",
            code=error.code,
        ) from None


def _read_parquet(path: Path) -> Any:
    return _read_table(path, path.name, "pandas")


def _converted(value: Any, tables_as: str | None) -> Any:
    """Turn a frame that came without Parquet into what was asked for; other values stay as they are."""
    if tables_as in (None, "pandas") or type(value).__name__ != "DataFrame":
        return value
    from bacalhau_jupyter.client.tables.libraries import require_polars, require_pyarrow

    table = require_pyarrow().Table.from_pandas(value)
    return require_polars().from_arrow(table) if tables_as == "polars" else table


def _read_frame(path: Path) -> Any:
    """Read a frame that came as JSON: dtypes by position, since labels need not be unique or text."""
    from bacalhau_jupyter.client.tables import require_pandas

    pandas = require_pandas()
    plain = json.loads(read_text(path))
    columns = range(len(plain["columns"]))
    frame = pandas.DataFrame(plain["data"], columns=columns, index=plain["index"])
    frame = frame.astype(dict(zip(columns, plain["dtypes"], strict=True)))
    frame.columns = plain["columns"]
    frame.index = frame.index.astype(plain["index_dtype"])
    frame.index.name = plain["index_name"]
    return frame


def _series(read: Callable[[Path], Any]) -> Callable[[Path], Any]:
    return lambda path: read(path).iloc[:, 0]


def _read_array(path: Path) -> Any:
    import numpy

    return numpy.load(path, allow_pickle=False)


_TABLES = {".parquet": "pandas", ".polars": "polars", ".arrow": "arrow"}

_READERS: dict[str, Callable[[Path], Any]] = {
    ".series.parquet": _series(_read_parquet),
    ".series.frame": _series(_read_frame),
    ".frame": _read_frame,
    ".npy": _read_array,
    ".json": lambda path: json.loads(read_text(path)),
    ".txt": read_text,
    ".bytes": Path.read_bytes,
}
