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

from bacalhau_jupyter.client.inputs.contents import FileContent, FolderContent, ValueContent, bytes_content
from bacalhau_jupyter.client.inputs.pending import Content
from bacalhau_jupyter.lib.text import read_text
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest

if TYPE_CHECKING:
    from bacalhau_jupyter.client.tables import Backend

COMPONENT = "Results"


LARGE = 256 * 1024
"""Bytes of a variable that is an input of its own; smaller ones travel with the cell."""

_LONGEST = 500
"""Characters that are told of what a reader says."""

_ARRAY = b"\x93NUMPY"
_NO_FILE = (ImportError, TypeError, ValueError, NotImplementedError, RecursionError)
"""What a library says of values that its format can't hold."""


@dataclass(frozen=True)
class Packed:
    """A variable as a file; ``kind`` says how a Python body turns it back.

    Attributes
    ----------
    content
        What is large: it is written when the job is submitted, and ``data`` is empty.
    """

    file: str
    kind: str
    data: bytes = b""
    content: Content | None = None

    def as_content(self) -> Content:
        """Return it as an input of its own."""
        return self.content or bytes_content(self.file, self.data)

    @classmethod
    def of(cls, file: str, kind: str, data: bytes) -> Packed:
        """Return bytes as a file, as an input of its own where they are many."""
        if len(data) > LARGE:
            return cls(file, kind, content=bytes_content(file, data))
        return cls(file, kind, data)


def pack(name: str, value: Any, *, python_body: bool) -> Packed:
    """Turn a variable into a file for the job.

    Parameters
    ----------
    name
        Variable name.
    value
        A table of pandas, polars or pyarrow becomes Parquet, a path its file's or directory's content, bytes stay
        bytes, JSON-able values JSON.
    python_body
        Whether a Python body receives it: only then may other objects go along, pickled.

    Raises
    ------
    BadRequest
        The value can't travel.
    """
    kind = type(value)
    if isinstance(value, Path):
        return _file(name, value)
    if isinstance(value, (bytes, bytearray)):
        return Packed.of(f"{name}.bytes" if python_body else name, "bytes", bytes(value))
    if isinstance(value, str) and not python_body:
        return Packed.of(f"{name}.txt", "text", value.encode())
    try:
        frame = _frame(name, value, python_body=python_body)
        if frame is not None:
            return frame
        if not python_body or _is_plain(value):
            # NaN is JSON for Python only.
            return Packed.of(f"{name}.json", "json", json.dumps(value, allow_nan=python_body).encode())
    except _NO_FILE as error:
        # No pyarrow, or labels and values that Parquet can't hold: a Python body takes the object itself.
        problem = f": {error}"
    else:
        problem = ""
    if python_body:
        return _pickled(name, value)
    raise _no_file(name, kind, problem)


def _no_file(name: str, kind: type, problem: str) -> BadRequest:
    return BadRequest(
        f"--in {name}: a {kind.__qualname__} can't become a file for the job{problem}",
        hint="send a DataFrame, JSON-able data, text, bytes or a pathlib.Path",
    )


def _frame(name: str, value: Any, *, python_body: bool) -> Packed | None:
    """Return a table as Parquet, which keeps its types; a Python body gets it back as what it was.

    A large one is written when the job is submitted, straight to where the node keeps it.
    """
    table = _table(value)
    if table is None:
        return None
    kind, size, write = table
    file = f"{name}.parquet"
    if size <= LARGE:
        out = io.BytesIO()
        write(out)
        return Packed.of(file, kind, out.getvalue())

    def write_to(path: Path) -> None:
        try:
            write(path)
        except _NO_FILE as error:
            if not python_body:
                raise _no_file(name, type(value), f": {error}") from error
            # The body tells the two apart by their first bytes.
            try:
                with path.open("wb") as file:
                    _Pickler(file, protocol=4).dump(value)
            except Exception as failure:
                raise _no_file(name, type(value), f": {failure}") from failure

    return Packed(file, kind, content=ValueContent(file, size, write_to))


def _table(value: Any) -> tuple[str, int, Callable[[Any], object]] | None:
    """Return kind, bytes in memory, and what writes Parquet; None if the value is not a table."""
    module, kind = type(value).__module__.split(".")[0], type(value).__name__
    if module == "pandas" and hasattr(value, "to_parquet"):
        return "parquet", int(value.memory_usage(index=True, deep=False).sum()), value.to_parquet
    if module == "polars" and kind in ("DataFrame", "LazyFrame"):
        frame = value.collect() if kind == "LazyFrame" else value
        return "polars", int(frame.estimated_size()), frame.write_parquet
    if module == "pyarrow" and kind in ("Table", "RecordBatch"):
        import pyarrow
        from pyarrow import parquet

        arrow = value if kind == "Table" else pyarrow.Table.from_batches([value])
        return "arrow", int(arrow.nbytes), lambda where: parquet.write_table(arrow, where)
    return None


def _is_plain(value: Any) -> bool:
    """Whether JSON gives back just this: exact types only, since a subclass would come back as its base."""
    if type(value) is list:
        return all(_is_plain(item) for item in value)
    if type(value) is dict:
        return all(type(key) is str and _is_plain(item) for key, item in value.items())
    return value is None or type(value) in (str, int, float, bool)


def _pickled(name: str, value: Any) -> Packed:
    """Pickle a value; what the job's Python could not import, such as a function of the notebook, goes by value."""
    out = io.BytesIO()
    try:
        _Pickler(out, protocol=4).dump(value)
    except Exception:
        return Packed.of(f"{name}.cloudpickle", "cloudpickle", by_value(value, f"--in {name}"))
    return Packed.of(f"{name}.pickle", "pickle", out.getvalue())


def by_value(value: Any, what: str, visit: Callable[[object], None] = lambda part: None) -> bytes:
    """Pickle a value together with the functions and classes that only this program has.

    Parameters
    ----------
    value
        The value.
    what
        What it is, for messages.
    visit
        Called with each function, class, module and instance in it.

    Raises
    ------
    BadRequest
        It holds something that can't travel: an open file, a connection, a lock.
    """
    import cloudpickle

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        def reducer_override(self, obj: object) -> Any:
            visit(obj)
            return super().reducer_override(obj)

    out = io.BytesIO()
    try:
        Pickler(out).dump(value)
    except Exception as error:
        raise BadRequest(
            f"{what}: a {type(value).__qualname__} can't be sent to a job: {error}",
            hint="what a function uses of the notebook travels with it: make files, connections and locks inside it",
        ) from error
    return out.getvalue()


class _NotebookOwn(Exception):
    """A class or function of ``__main__``; pickle would only note its name."""


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj: Any) -> None:
        if isinstance(obj, (type, FunctionType)) and obj.__module__ == "__main__":
            raise _NotebookOwn(obj.__qualname__)


def _file(name: str, path: Path) -> Packed:
    try:
        if path.is_dir():
            return Packed(name, "path", content=FolderContent.of(path))
        file, content = f"{name}{path.suffix}", FileContent.of(path)
        if content.size > LARGE:
            return Packed(file, "path", content=content)
        return Packed(file, "path", content.inline())
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


def has_value(directory: Path, name: str) -> bool:
    """Whether ``directory`` holds a variable that comes back without unpickling."""
    return any((directory / f"{name}{suffix}").is_file() for suffix in (*_TABLES, *_READERS))


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
            except BacalhauError:
                raise
            except MemoryError as error:
                raise BacalhauError(f"--out {name} does not fit into this kernel's memory") from error
            except Exception as error:
                # A job wrote it: there is nothing that a reader may not say.
                raise BacalhauError(f"--out {name} can't be read: {str(error)[:_LONGEST]}") from error
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

    with path.open("rb") as file:
        # numpy would open an archive of arrays, too, and leave a broken one open.
        if file.read(len(_ARRAY)) != _ARRAY:
            raise ValueError("it is no array")
        file.seek(0)
        return numpy.load(file, allow_pickle=False)


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
