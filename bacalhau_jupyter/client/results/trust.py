"""Reading what only unpickling brings back: nothing else of ours unpickles, and this only when a person says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from bacalhau_jupyter.client.bodies.values import has_value, unpack_values
from bacalhau_jupyter.client.results.tree import HIDDEN
from bacalhau_jupyter.models.errors import BacalhauError, BadRequest, NotFound

_SUFFIX = ".pickle"


class HoldsFiles(Protocol):
    """A result; `JobResult` is one."""

    def local(self, name: str) -> Path:
        """Return where one file lies on this machine."""
        ...

    def subtree(self, name: str) -> Path:
        """Return a local copy of one directory."""
        ...


def load(result: HoldsFiles, name: str, *, trust: bool) -> Any:
    """See `JobResult.load`."""
    directory = _brought_back(result)
    if directory is not None and name.isidentifier() and has_value(directory, name):
        return unpack_values(directory, [name])[name]
    pickled = directory / f"{name}{_SUFFIX}" if directory is not None and name.isidentifier() else None
    if pickled is None or pickled.is_symlink() or not pickled.is_file():
        pickled = result.local(name)
    if not trust:
        raise BadRequest(
            f"{name} is a pickle: reading it runs code that the job chose, with all you may do here",
            hint=f"if you trust the job: load({name!r}, trust=True)",
            component="Results",
        )
    return _unpickled(pickled, name)


def _brought_back(result: HoldsFiles) -> Path | None:
    try:
        return result.subtree(f"outputs/{HIDDEN}")
    except NotFound:
        return None


def _unpickled(path: Path, name: str) -> Any:
    import pickle

    try:
        with path.open("rb") as file:
            return pickle.load(file)
    except Exception as error:
        raise BacalhauError(f"{name} can't be unpickled: {error}", component="Results") from error
