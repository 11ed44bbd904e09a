"""The ``process`` engine: programs of this host's own file tree, confined.

`ProcessEngine` is loaded on first use: the supervisor of every execution imports modules of this package,
and its start must stay in the order of ten milliseconds.
"""

from __future__ import annotations

COMPONENT = "Process"
"""Named in the errors of this room (`models.errors`)."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bacalhau_jupyter.engines.process.engine import ProcessEngine

__all__ = ["ProcessEngine"]


def __getattr__(name: str) -> object:
    if name != "ProcessEngine":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import bacalhau_jupyter.engines.process.engine as module

    return module.ProcessEngine
