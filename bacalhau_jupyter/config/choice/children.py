"""What programs that a kernel starts inherit: ``!bacalhau`` in a cell goes to the cluster that is chosen now."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bacalhau_jupyter.config.choice.inheritance import Inheritance

_MARKER = "BACALHAU_JUPYTER_NODE"
"""As in `config.repo`, which is imported only where there is something to do."""


class Children:
    """Keeps the variables up to date that a Jupyter server of ours left in this kernel's environment.

    Parameters
    ----------
    environ
        The environment.
    """

    def __init__(self, environ: MutableMapping[str, str] | None = None) -> None:
        self._environ = os.environ if environ is None else environ
        self._inheritance: Inheritance | None = None
        self._selected = self._link()

    def look(self, *_: Any) -> None:
        """Change the variables if another cluster was chosen since the last look; before each cell."""
        if not self._environ.get(_MARKER) or (selected := self._link()) == self._selected:
            return
        self._selected = selected
        from bacalhau_jupyter.config.choice.inheritance import Inheritance
        from bacalhau_jupyter.config.choice.resolving import resolve_endpoint
        from bacalhau_jupyter.config.repo import Repo
        from bacalhau_jupyter.models.errors import BacalhauError

        repo = Repo.locate(environ=self._environ)
        self._inheritance = self._inheritance or Inheritance(repo, self._environ)
        # A profile that can't be read is told where it is used.
        with suppress(BacalhauError):
            endpoint = resolve_endpoint(repo, environ=self._environ)
            if endpoint is not None:
                self._inheritance.publish(endpoint)

    def _link(self) -> str:
        """Return what names the selected profile; a system call, for each cell pays for it."""
        directory = self._environ.get("BACALHAU_DIR") or self._environ.get(_MARKER) or ""
        try:
            return str((Path(directory) / "profiles" / "current").readlink()) if directory else ""
        except OSError:
            return ""
