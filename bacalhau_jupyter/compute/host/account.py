"""What executions hold of one machine, whichever of its compute nodes they run on."""

from __future__ import annotations

from collections.abc import Callable

from bacalhau_jupyter.models.jobs.resources import Resources


class Account:
    """Shared by compute nodes of one process that offer the same CPUs, memory and GPUs to different orchestrators.

    Not thread-safe, used on the event loop only.

    Attributes
    ----------
    held
        Execution ID → what it holds.
    leaving
        Executions that are being stopped: what they hold comes back soon.
    """

    def __init__(self) -> None:
        self.held: dict[str, Resources] = {}
        self.leaving: set[str] = set()
        self._watchers: dict[object, Callable[[], None]] = {}

    def watch(self, holder: object, changed: Callable[[], None]) -> None:
        """Call ``changed`` whenever somebody else takes or gives back something."""
        self._watchers[holder] = changed

    def forget(self, holder: object) -> None:
        """Call a holder no more."""
        self._watchers.pop(holder, None)

    def tell_others(self, holder: object) -> None:
        """Say that ``holder`` has taken or given back something."""
        for other, changed in list(self._watchers.items()):
            if other is not holder:
                changed()
