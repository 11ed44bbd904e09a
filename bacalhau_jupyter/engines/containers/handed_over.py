"""Which executions were given to a Docker Engine, written down before it gets them.

Where no Docker Engine answers, nothing else tells that it may have a container of theirs, which may even run. A node
that is started again meanwhile needs to know, so this is on disk.
"""

from __future__ import annotations

from pathlib import Path

from bacalhau_jupyter.engines.supervised.state import State
from bacalhau_jupyter.lib.text import write_text
from bacalhau_jupyter.models.errors import IOFailure


class HandedOver:
    """Notes about executions. All methods block.

    Parameters
    ----------
    root
        A directory for the notes; it is created when it is needed.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def note(self, execution_id: str) -> None:
        """Write down that a Docker Engine gets an execution.

        Raises
        ------
        EngineError
            The ID can't be a file's name.
        IOFailure
            The note can't be written.
        """
        file = self._file(execution_id)
        try:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_text(file, "")
        except OSError as error:
            raise IOFailure(
                f"it can't be noted that Docker gets the execution: {error.strerror or error}",
                fails_execution=True,
            ) from error

    def has(self, execution_id: str) -> bool:
        """Whether a Docker Engine was given an execution."""
        return self._file(execution_id).exists()

    def forget(self, execution_id: str) -> None:
        """Remove a note: no Docker Engine has anything of the execution any more."""
        self._file(execution_id).unlink(missing_ok=True)

    def all(self) -> list[str]:
        """Return the IDs of all executions with a note."""
        try:
            return sorted(entry.name for entry in self._root.iterdir())
        except FileNotFoundError:
            return []

    def _file(self, execution_id: str) -> Path:
        # The same rule for IDs that name a file as for those that name a directory.
        return State(self._root, execution_id).path
