"""Variables on their way into a job and back; what comes back is never unpickled."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bacalhau_jupyter.models.errors import BacalhauError, BadRequest


def pack(name: str, value: Any, *, python_body: bool) -> tuple[str, bytes]:
    """Turn a variable into a file for the job.

    Parameters
    ----------
    name
        Variable name.
    value
        A DataFrame becomes Parquet, a path its file's content, bytes stay bytes, JSON-able values JSON.
    python_body
        Whether a Python body receives it: only then may other objects go along, pickled.

    Returns
    -------
    tuple
        File name and content.

    Raises
    ------
    BadRequest
        The value can't travel.
    """
    kind = type(value)
    if kind.__module__.startswith("pandas") and hasattr(value, "to_parquet"):
        return _frame(name, value)
    if isinstance(value, Path):
        return _file(name, value)
    if isinstance(value, (bytes, bytearray)):
        return f"{name}.bytes" if python_body else name, bytes(value)
    if isinstance(value, str) and not python_body:
        return f"{name}.txt", value.encode()
    try:
        text = json.dumps(value)
        # A round trip proves that nothing is lost: tuples, int keys and NaN do not survive JSON.
        if not python_body or json.loads(text) == value:
            return f"{name}.json", text.encode()
    except (TypeError, ValueError):
        pass
    if python_body:
        try:
            return f"{name}.pickle", pickle.dumps(value, protocol=4)
        except Exception as error:
            raise BadRequest(f"--in {name}: a {kind.__qualname__} can't be sent to a job: {error}") from error
    raise BadRequest(
        f"--in {name}: a {kind.__qualname__} can't become a file for the job",
        hint="send a DataFrame, JSON-able data, text, bytes or a pathlib.Path",
    )


def _frame(name: str, value: Any) -> tuple[str, bytes]:
    try:
        data: bytes = value.to_parquet()
        return f"{name}.parquet", data
    except ImportError:
        plain = json.loads(value.to_json(orient="split", date_format="iso"))
        plain["dtypes"] = {str(key): str(dtype) for key, dtype in value.dtypes.items()}
        return f"{name}.frame", json.dumps(plain).encode()


def _file(name: str, path: Path) -> tuple[str, bytes]:
    try:
        return f"{name}{path.suffix}" if path.suffix else name, path.read_bytes()
    except OSError as error:
        raise BadRequest(f"--in {name}: {path} can't be read: {error.strerror}") from error


def unpack_values(directory: Path, names: list[str]) -> Mapping[str, Any]:
    """Read the variables a Python body left in ``directory``.

    Raises
    ------
    BacalhauError
        One is missing or can't be read.
    """
    return {name: _load(directory, name) for name in names}


def _load(directory: Path, name: str) -> Any:
    for suffix, read in _READERS.items():
        path = directory / f"{name}{suffix}"
        if path.is_file() and not path.is_symlink():
            try:
                return read(path)
            except (ValueError, OSError, KeyError, TypeError) as error:
                raise BacalhauError(f"--out {name} can't be read: {error}", component="Results") from error
    raise BacalhauError(f"--out {name}: the job brought nothing back under that name", component="Results")


def _read_parquet(path: Path) -> Any:
    from bacalhau_jupyter.client.tables import read_table

    return read_table(path)


def _read_frame(path: Path) -> Any:
    from bacalhau_jupyter.client.tables import require_pandas

    plain = json.loads(path.read_text())
    frame = require_pandas().DataFrame(plain["data"], columns=plain["columns"], index=plain["index"])
    return frame.astype(plain["dtypes"])


def _read_array(path: Path) -> Any:
    import numpy

    return numpy.load(path, allow_pickle=False)


_READERS = {
    ".parquet": _read_parquet,
    ".frame": _read_frame,
    ".npy": _read_array,
    ".json": lambda path: json.loads(path.read_text()),
    ".txt": Path.read_text,
    ".bytes": Path.read_bytes,
}
