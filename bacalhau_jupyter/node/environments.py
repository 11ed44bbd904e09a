"""The node's part in Python environments: which engine keeps them, its own, and where jobs may write."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from bacalhau_jupyter.client.jobs.interpreters import own_python
from bacalhau_jupyter.models.codec import convert
from bacalhau_jupyter.models.errors import BacalhauError
from bacalhau_jupyter.models.records.environments import PythonDescription
from bacalhau_jupyter.plugins.engine import Environments, KeepsEnvironments, KeepsOwnPython
from bacalhau_jupyter.sources.allowlist import parse_allow_list

log = logging.getLogger(__name__)


def keeper(engines: Iterable[Any]) -> Environments | None:
    """Return what keeps the environments; None where no engine shows any."""
    return next((engine.environments for engine in engines if isinstance(engine, KeepsEnvironments)), None)


async def register_own(environments: Environments, platform: str = sys.platform) -> None:
    """Register the Python that the node itself runs with; the node starts also if it can't be shown."""
    if not platform.startswith("linux"):
        return  # no engine shows it there
    try:
        description = convert(own_python(), PythonDescription, "Python")
        if isinstance(environments, KeepsOwnPython):
            await environments.register_own(description)
        else:
            await environments.register(description)
    except BacalhauError as error:
        log.info("the node's own Python is not shown to jobs: %s", error.message)


def writable(allow_list: Callable[[], object]) -> Callable[[Path], bool]:
    """Return whether the configuration lets jobs write at a path (`Compute.AllowListedLocalPaths`, ``:rw``)."""

    def is_writable(path: Path) -> bool:
        return any(entry.writable and entry.matches(path) for entry in parse_allow_list(allow_list()))

    return is_writable
