"""Runs the body of a ``%%bacalhau python`` cell inside the job. Standard library only.

This file is shipped with the job, next to ``cell.py`` (the body) and ``cell.json`` (which variables go in and
out). It must run on any Python from 3.8 on, so it imports nothing of this package.
"""

import json
import linecache
import os
import pathlib
import sys
import traceback
import types
import typing

HERE = pathlib.Path(__file__).resolve().parent
JSON_LIMIT = 64 * 1024 * 1024


def load(path: pathlib.Path) -> object:
    """Read a variable that the notebook sent."""
    if path.suffix == ".parquet":
        import pandas

        return pandas.read_parquet(path)
    if path.suffix == ".json":
        return json.loads(path.read_text())
    if path.suffix == ".frame":
        import pandas

        plain = json.loads(path.read_text())
        frame = pandas.DataFrame(plain["data"], columns=plain["columns"], index=plain["index"])
        return frame.astype(plain["dtypes"])
    if path.suffix == ".pickle":
        import pickle

        return pickle.loads(path.read_bytes())
    if path.suffix == ".bytes":
        return path.read_bytes()
    return path


def save(name: str, value: typing.Any, directory: pathlib.Path) -> None:
    """Write a variable for the notebook; nothing that would have to be unpickled there."""
    directory.mkdir(parents=True, exist_ok=True)
    module, kind = type(value).__module__.split(".")[0], type(value).__name__
    if module == "pandas" and kind == "Series":
        save_frame(name, value.to_frame(name if value.name is None else value.name), directory)
    elif module == "pandas" and hasattr(value, "columns"):
        save_frame(name, value, directory)
    elif module == "numpy" and kind == "ndarray":
        import numpy

        if value.dtype.hasobject:
            raise TypeError("an array of Python objects")
        numpy.save(directory / (name + ".npy"), value, allow_pickle=False)
    elif isinstance(value, (bytes, bytearray)):
        (directory / (name + ".bytes")).write_bytes(bytes(value))
    elif isinstance(value, str):
        (directory / (name + ".txt")).write_text(value)
    else:
        text = json.dumps(value.item() if module == "numpy" and hasattr(value, "item") else value)
        if len(text) > JSON_LIMIT:
            raise TypeError("more than 64 MB of JSON")
        (directory / (name + ".json")).write_text(text)


def save_frame(name: str, frame: typing.Any, directory: pathlib.Path) -> None:
    """Write a frame as Parquet, or as JSON with its dtypes where pyarrow is missing."""
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        plain = json.loads(frame.to_json(orient="split", date_format="iso"))
        plain["dtypes"] = {str(key): str(value) for key, value in frame.dtypes.items()}
        text = json.dumps(plain)
        if len(text) > JSON_LIMIT:
            raise TypeError(
                "more than 64 MB of JSON (with pyarrow in the job it would travel as Parquet)"
            ) from None
        (directory / (name + ".frame")).write_text(text)
    else:
        frame.to_parquet(directory / (name + ".parquet"))


def complain(text: str) -> None:
    """Say something on stderr."""
    sys.stderr.write(text + "\n")


def show_error() -> None:
    """Print the traceback of the body only, without this file's own frames."""
    kind, error, trace = sys.exc_info()
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    traceback.print_exception(kind, error, trace)
    if isinstance(error, ModuleNotFoundError):
        complain(
            f"Hint: the job's Python has no module {error.name!r}; "
            "use an image that holds it (--image …) or install it for this kernel",
        )


def main() -> int:
    """Load the variables, run the body, save the variables."""
    spec = json.loads((HERE / "cell.json").read_text())
    source = (HERE / "cell.py").read_text()
    module = types.ModuleType("__main__")
    module.__dict__["__file__"] = "cell.py"
    sys.modules["__main__"] = module
    sys.argv = ["cell.py"]
    sys.path[0] = str(pathlib.Path.cwd())
    linecache.cache["cell.py"] = (len(source), None, source.splitlines(True), "cell.py")
    try:
        for name, file in spec["in"].items():
            module.__dict__[name] = load(HERE / "in" / file)
        exec(compile(source, "cell.py", "exec"), module.__dict__)
    except Exception:
        show_error()
        return 1
    outputs = pathlib.Path(os.environ.get("BACALHAU_OUTPUTS", "outputs"))
    for name in spec["out"]:
        if name not in module.__dict__:
            complain(f"--out {name}: the cell did not define it")
            return 1
        try:
            save(name, module.__dict__[name], outputs / ".bacalhau")
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
