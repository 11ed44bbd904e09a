"""Runs the body of a ``%%bacalhau python`` cell inside the job, as ``__main__``. Standard library only.

This file is shipped with the job, next to ``cell.py`` (the body), ``cell.json`` (which variables go in and out) and
``_bacalhau_cell.py`` (what a process that multiprocessing spawns imports to find the body's functions). It must run on
any Python from 3.8 on, so it imports nothing of this package. Each import is paid for by every cell: what only some
cells need is imported where they need it.
"""

# ruff: noqa: PTH100, PTH103, PTH109, PTH118, PTH120, PTH123
# pathlib alone would add a tenth to the start of every cell.
import json
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
CELL = os.path.join(HERE, "cell.py")
AGAIN = "_bacalhau_cell"
"""The module of the kit by which a spawned process runs the body again, under another name than ``__main__``."""
JSON_LIMIT = 64 * 1024 * 1024


def load(path: str, kind: str) -> object:
    """Read a variable that the notebook sent as ``kind``."""
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
    if kind == "bytes":
        return read(path)
    import pathlib

    if kind == "input":
        # The result of another job: a directory among the inputs.
        return pathlib.Path(os.environ.get("BACALHAU_INPUTS", "inputs"), pathlib.Path(path).name)
    return pathlib.Path(path)


def read(path: str) -> bytes:
    """Return a file's content."""
    with open(path, "rb") as file:
        return file.read()


def write(directory: str, name: str, data: bytes) -> None:
    """Write a variable's file."""
    with open(os.path.join(directory, name), "wb") as file:
        file.write(data)


def save(name: str, value: "Any", directory: str) -> None:
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


def plain_scalar(value: "Any") -> object:
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


def save_frame(name: str, frame: "Any", directory: str) -> None:
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


def complain(text: str) -> None:
    """Say something on stderr."""
    sys.stderr.write(text + "\n")


def show_error() -> None:
    """Print the traceback of the body only, without this file's own frames."""
    import traceback

    kind, error, trace = sys.exc_info()
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    text = "".join(traceback.format_exception(kind, error, trace))
    sys.stderr.write(text.replace('File "' + CELL + '"', 'File "cell.py"'))
    if isinstance(error, ModuleNotFoundError):
        hidden = os.environ.get("BACALHAU_PATHS_NOT_SHOWN")
        complain(
            f"Hint: the job's Python has no module {error.name!r}; "
            "use an image that holds it (--image …) or install it for this kernel"
            + (f"; import paths the job may not see: {hidden}" if hidden else "")
        )


def fill(namespace: "dict[str, Any]") -> "dict[str, Any]":
    """Load the notebook's variables into a module's namespace and run the body there; return what was asked for."""
    spec: dict[str, Any] = json.loads(read(os.path.join(HERE, "cell.json")))
    namespace["__file__"] = CELL
    for name, (file, kind) in spec["in"].items():
        namespace[name] = load(os.path.join(HERE, "in", file), kind)
    exec(compile(read(CELL), CELL, "exec"), namespace)
    return spec


def main() -> int:
    """Load the variables, run the body, save the variables."""
    module = type(sys)("__main__")
    # Spawned processes import the main module by this name: a second run needs the notebook's variables, too.
    module.__spec__ = type(sys.__spec__)(AGAIN, None, origin=CELL)
    module.__dict__["__builtins__"] = sys.modules["builtins"]
    sys.modules["__main__"] = module
    sys.argv = [CELL]
    sys.path[0] = os.getcwd()
    sys.path.append(HERE)
    try:
        spec = fill(module.__dict__)
    except Exception:
        show_error()
        return 1
    outputs = os.path.join(os.environ.get("BACALHAU_OUTPUTS", "outputs"), ".bacalhau")
    for name in spec["out"]:
        if name not in module.__dict__:
            complain(f"--out {name}: the cell did not define it")
            return 1
        try:
            save(name, module.__dict__[name], outputs)
        except Exception as error:
            kind = type(module.__dict__[name])
            complain(
                f"--out {name}: a {kind.__module__}.{kind.__qualname__} can't be brought back ({error}); "
                "bring a frame, an array, JSON, text or bytes, or write a file to outputs/",
            )
            return 1
    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
