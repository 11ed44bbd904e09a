"""Variables of the notebook on their way into a body and back; nothing that comes back has to be unpickled."""

# ruff: noqa: PTH103, PTH112, PTH118, PTH123, PTH208
from __future__ import annotations

import json
import os
import pathlib
import sys

from .places import VENDOR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

JSON_LIMIT = 64 * 1024 * 1024
TABLES = ("parquet", "polars", "arrow")


def load(path: str, kind: str) -> object:
    """Read a variable that the notebook sent as ``kind``."""
    if kind != "path" and os.path.isdir(path):
        # A node that knows no files as targets put it one level down.
        path = os.path.join(path, next(iter(os.listdir(path))))
    if kind in TABLES and not is_parquet(path):
        kind = "pickle"
    if kind == "parquet":
        import pandas

        return pandas.read_parquet(path)
    if kind == "polars":
        import polars

        return polars.read_parquet(path)
    if kind == "arrow":
        import pyarrow.parquet

        return pyarrow.parquet.ParquetFile(path).read()
    if kind == "json":
        return json.loads(read(path))
    if kind == "pickle":
        import pickle

        return pickle.loads(read(path))
    if kind == "cloudpickle":
        return unpickled_by_value(path)
    if kind == "bytes":
        return read(path)

    if kind == "input":
        # The result of another job: a directory among the inputs.
        return pathlib.Path(os.environ.get("BACALHAU_INPUTS", "inputs"), pathlib.Path(path).name)
    return pathlib.Path(path)


def unpickled_by_value(path: str) -> object:
    """Read what cloudpickle wrote, with the version that wrote it."""
    sys.path.insert(0, VENDOR)
    try:
        import cloudpickle
    finally:
        sys.path.remove(VENDOR)
    value: object = cloudpickle.loads(read(path))
    return value


def show_lines(function: Any, name: str, source: str) -> None:
    """Let tracebacks show a function's own lines: it lies in no file of the job."""
    import linecache

    try:
        file = f"<{name}>"
        function.__code__ = function.__code__.replace(co_filename=file)
        linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    except AttributeError:
        # A class, a method or another callable.
        return


def check_python(sent_from: list[int]) -> None:
    """End the job if this Python can't read functions of the one that they were sent from.

    Raises
    ------
    SystemExit
        Its minor version is another.
    """
    here = list(sys.version_info[:2])
    if here != sent_from:
        sys.stderr.write(
            "Hint: choose an image whose Python is {0}.{1}, such as python:{0}.{1}\n"
            "the notebook's functions travel to Python {0}.{1} only, and this job runs Python {2}.{3}\n".format(
                *sent_from, *here
            )
        )
        raise SystemExit(1)


def is_parquet(path: str) -> bool:
    """Whether a file holds Parquet: a large frame that can't be written so comes pickled."""
    with open(path, "rb") as file:
        return file.read(4) == b"PAR1"


def read(path: str) -> bytes:
    """Return a file's content."""
    with open(path, "rb") as file:
        return file.read()


def write(directory: str, name: str, data: bytes) -> None:
    """Write a variable's file."""
    with open(os.path.join(directory, name), "wb") as file:
        file.write(data)


def save(name: str, value: Any, directory: str) -> None:
    """Write a variable for the notebook; nothing that would have to be unpickled there."""
    os.makedirs(directory, exist_ok=True)  # noqa: TID251
    module, kind = type(value).__module__.split(".")[0], type(value).__name__
    if module == "pandas" and kind == "Series":
        save_frame(name + ".series", value.to_frame(name if value.name is None else value.name), directory)
    elif module == "pandas" and hasattr(value, "columns"):
        save_frame(name, value, directory)
    elif module == "polars" and kind in ("DataFrame", "LazyFrame"):
        frame = value.collect() if kind == "LazyFrame" else value
        frame.write_parquet(os.path.join(directory, name + ".polars"))
    elif module == "pyarrow" and kind in ("Table", "RecordBatch"):
        import pyarrow.parquet

        table = value if kind == "Table" else pyarrow.Table.from_batches([value])
        pyarrow.parquet.write_table(table, os.path.join(directory, name + ".arrow"))
    elif module == "numpy" and kind == "ndarray":
        import numpy

        if value.dtype.hasobject:
            raise TypeError("an array of Python objects")
        numpy.save(os.path.join(directory, name + ".npy"), value, allow_pickle=False)
    elif isinstance(value, (bytes, bytearray)):
        write(directory, name + ".bytes", bytes(value))
    elif isinstance(value, str):
        write(directory, name + ".txt", value.encode())
    else:
        check_keys(value)
        text = json.dumps(value, default=plain_scalar)
        if len(text) > JSON_LIMIT:
            raise TypeError("more than 64 MB of JSON")
        write(directory, name + ".json", text.encode())


def plain_scalar(value: Any) -> object:
    """Turn a number of NumPy into Python's."""
    if type(value).__module__.split(".")[0] == "numpy" and getattr(value, "ndim", 1) == 0:
        return value.item()
    raise TypeError("it holds a " + type(value).__qualname__)


def check_keys(value: object) -> None:
    """Refuse keys that JSON would turn into text without a word."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise TypeError("it has keys that are not text, such as " + repr(key)[:40])
            check_keys(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            check_keys(inner)


def save_frame(name: str, frame: Any, directory: str) -> None:
    """Write a frame as Parquet, or as JSON with its dtypes where pyarrow is missing."""
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        if frame.columns.nlevels > 1 or frame.index.nlevels > 1:
            raise TypeError(
                "several levels of labels travel with pyarrow only, which this job lacks"
            ) from None
        plain = json.loads(
            frame.to_json(orient="split", date_format="iso", date_unit="ns", double_precision=15)
        )
        plain["dtypes"] = [str(value) for value in frame.dtypes]
        plain["index_dtype"], plain["index_name"] = str(frame.index.dtype), frame.index.name
        text = json.dumps(plain)
        if len(text) > JSON_LIMIT:
            raise TypeError(
                "more than 64 MB of JSON (with pyarrow in the job it would travel as Parquet)"
            ) from None
        write(directory, name + ".frame", text.encode())
    else:
        frame.to_parquet(os.path.join(directory, name + ".parquet"))


def save_all(names: list[str], namespace: dict[str, Any], directory: str, call: str = "") -> int:
    """Write the variables that the notebook asked for; return the exit code.

    Parameters
    ----------
    call
        Name of the function whose value it is, where the body is the call of one: such a value may be pickled,
        because nothing unpickles it before somebody says so.
    """
    for name in names:
        if name not in namespace:
            sys.stderr.write(f"--out {name}: the cell did not define it\n")
            return 1
        try:
            save(name, namespace[name], directory)
        except Exception as error:
            kind = type(namespace[name])
            if call and save_pickled(name, namespace[name], directory):
                continue
            origin = f"the value of {call}" if call else f"--out {name}"
            sys.stderr.write(
                f"{origin}: a {kind.__module__}.{kind.__qualname__} can't be brought back ({error}); "
                "bring a frame, an array, JSON, text or bytes, or write a file to outputs/\n"
            )
            return 1
    return 0


def save_pickled(name: str, value: object, directory: str) -> bool:
    """Write a value that only unpickling brings back; say whether that worked."""
    try:
        import cloudpickle

        data = cloudpickle.dumps(value)
    except Exception:
        # The caller names the value that could not be saved.
        return False
    write(directory, name + ".pickle", data)
    kind = type(value)
    write(directory, name + ".kind", f"{kind.__module__}.{kind.__qualname__}".encode())
    return True


def save_error(error: BaseException, text: str) -> None:
    """Write the error of a call for the caller: its type, its message and its traceback, as text."""
    directory = os.path.join(os.environ.get("BACALHAU_OUTPUTS", "outputs"), ".bacalhau")
    kind = type(error)
    prefix = "" if kind.__module__ == "builtins" else kind.__module__ + "."
    try:
        message = str(error)
    except Exception:
        # The words of an error are code of the job, too.
        message = ""
    record = {"type": prefix + kind.__qualname__, "message": message, "traceback": text}
    try:
        os.makedirs(directory, exist_ok=True)  # noqa: TID251
        write(directory, "error.json", json.dumps(record).encode())
    except (OSError, ValueError):
        return
