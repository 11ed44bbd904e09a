"""Which executions were given to a Docker Engine, written down before it gets them.

Where no Docker Engine answers, nothing else tells that it may have a container of theirs, which may even run. A node
that is started again meanwhile needs to know, so this is on disk.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from bacalhau_jupyter.engines.supervised.state import State
from bacalhau_jupyter.lib.text import read_text, write_text
from bacalhau_jupyter.models.errors import IOFailure
from bacalhau_jupyter.models.records.execution import Execution


class HandedOver:
    """Notes about executions. All methods block.

    Parameters
    ----------
    root
        A directory for the notes; it is created when it is needed.
    given_up
        A directory on the same disk for those of executions that ended for this node while Docker did not answer.
    """

    def __init__(self, root: Path, given_up: Path) -> None:
        self._root = root
        self._given_up = given_up

    def note(self, execution: Execution) -> None:
        """Write down that a Docker Engine gets an execution.

        Raises
        ------
        EngineError
            The ID can't be a file's name.
        IOFailure
            The note can't be written.
        """
        file = _file(self._root, execution.id)
        try:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_text(file, json.dumps(_work_of(execution)))
            _file(self._given_up, execution.id).unlink(missing_ok=True)
        except OSError as error:
            raise IOFailure(
                f"it can't be noted that Docker gets the execution: {error.strerror or error}",
                fails_execution=True,
            ) from error

    def give_up(self, execution_id: str) -> None:
        """Note that an execution is over for this node, and that Docker may still have something of it.

        Raises
        ------
        IOFailure
            It can't be written down.
        """
        try:
            self._given_up.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                _file(self._root, execution_id).rename(_file(self._given_up, execution_id))
        except OSError as error:
            raise IOFailure(
                f"it can't be noted that Docker may have a rest of execution {execution_id}: "
                f"{error.strerror or error}"
            ) from error

    def has(self, execution_id: str) -> bool:
        """Whether a Docker Engine was given an execution."""
        return any(_file(root, execution_id).exists() for root in (self._root, self._given_up))

    def forget(self, execution_id: str) -> None:
        """Remove a note: no Docker Engine has anything of the execution any more."""
        for root in (self._root, self._given_up):
            _file(root, execution_id).unlink(missing_ok=True)

    def all(self) -> list[str]:
        """Return the IDs of all executions with a note."""
        return sorted({*_names(self._root), *_names(self._given_up)})

    def given_up(self) -> list[str]:
        """Return the IDs of executions that are over for this node, and that Docker may have something of."""
        return _names(self._given_up)

    def of_same_work(self, execution: Execution, *, given_up: bool = False) -> list[str]:
        """Return the IDs of other executions of the same job and partition; of all, or of those given up."""
        work = _work_of(execution)
        roots = (self._given_up,) if given_up else (self._root, self._given_up)
        return [
            name
            for root in roots
            for name in _names(root)
            if name != execution.id and _noted_work(root / name) == work
        ]


def _file(root: Path, execution_id: str) -> Path:
    # The same rule for IDs that name a file as for those that name a directory.
    return State(root, execution_id).path


def _names(root: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in root.iterdir())
    except FileNotFoundError:
        return []


def _work_of(execution: Execution) -> dict[str, str | int]:
    return {"job": execution.job_id, "partition": execution.partition_index}


def _noted_work(file: Path) -> object:
    """Return what a note says; None where it is gone, or is not whole."""
    try:
        return json.loads(read_text(file))
    except (OSError, ValueError):
        return None
