"""A Bacalhau node that lives in your Jupyter server, driven from cells."""

from __future__ import annotations

import importlib

from bacalhau_jupyter._version import __version__

# Not from typing: importing that costs more than all of this package's start.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from IPython.core.interactiveshell import InteractiveShell

_LAZY = {
    "Client": "bacalhau_jupyter.client.client",
    "Job": "bacalhau_jupyter.client.jobs.job",
    "JobForm": "bacalhau_jupyter.notebook.form.form",
    "JobFailed": "bacalhau_jupyter.client.jobs.job",
    "JobResult": "bacalhau_jupyter.client.results.result",
    "docker": "bacalhau_jupyter.client.jobs.build",
    "process": "bacalhau_jupyter.client.jobs.build",
    "s3": "bacalhau_jupyter.client.jobs.build",
    "inline": "bacalhau_jupyter.client.jobs.build",
    "ipfs": "bacalhau_jupyter.client.jobs.build",
    "local": "bacalhau_jupyter.client.jobs.build",
    "local_path": "bacalhau_jupyter.client.jobs.build",
    "url": "bacalhau_jupyter.client.jobs.build",
    "wasm": "bacalhau_jupyter.client.wasm.building",
    "remote": "bacalhau_jupyter.notebook.functions",
    "BacalhauError": "bacalhau_jupyter.models.errors",
}
"""Public names and their modules; imported on first use, so that ``%load_ext`` stays quick."""

__all__ = ["__version__", *_LAZY]


def __getattr__(name: str) -> Any:
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "remote":
        from bacalhau_jupyter.notebook.extension import show_calls

        show_calls()
    return getattr(importlib.import_module(module), name)


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Answer ``%load_ext bacalhau_jupyter``."""
    from bacalhau_jupyter.notebook.extension import load

    load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Answer ``%unload_ext bacalhau_jupyter``."""
    from bacalhau_jupyter.notebook.extension import unload

    unload(shell)


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    from bacalhau_jupyter.server.app import BacalhauApp

    return [{"module": "bacalhau_jupyter", "app": BacalhauApp}]


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "bacalhau-jupyter"}]
