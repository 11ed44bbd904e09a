"""The files that run a Python body inside its job, and the description that tells them what goes in and out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from typing import Any

RUNNER = "job_runner.py"
"""What starts the body."""

SHELL_START = "start.sh"
"""What starts a shell body in a container."""

DESCRIPTION = "cell.json"
BODY = "cell.py"
VENDOR = "vendor"
"""Directory of the kit for packages that travel with what was pickled by them."""

_PACKAGE = "_bacalhau_job"
_START = b"""# Runs cell.py, which is the body of the cell.
import sys

if __name__ == "__main__":
    from _bacalhau_job.body import main

    sys.exit(main())
"""
_AGAIN = b"""# What a process that multiprocessing spawned runs in place of the cell's body; leaves no name behind.
__import__("_bacalhau_job.body", fromlist=["again"]).again(globals())
"""


@cache
def runner_files() -> Mapping[str, bytes]:
    """Return the program that runs a Python body, by path in the kit."""
    modules = {f"{_PACKAGE}/{name}": data for name, data in _modules("bacalhau_jupyter.client.bodies.runner")}
    return {RUNNER: _START, "_bacalhau_cell.py": _AGAIN, **modules}


@cache
def shell_start() -> bytes:
    """Return the script that gives a shell body in a container a directory that it can write to."""
    return resources.files("bacalhau_jupyter.client.bodies.runner").joinpath(SHELL_START).read_bytes()


@cache
def cloudpickle_files() -> Mapping[str, bytes]:
    """Return the cloudpickle that pickled here, by path in the kit: another version may not read it."""
    return {f"{VENDOR}/cloudpickle/{name}": data for name, data in _modules("cloudpickle")}


def _modules(package: str) -> Iterable[tuple[str, bytes]]:
    files = sorted(resources.files(package).iterdir(), key=lambda each: each.name)
    return [(each.name, each.read_bytes()) for each in files if each.name.endswith(".py")]


def has_runner(params: Mapping[str, Any]) -> bool:
    """Whether an engine's parameters start a Python body of ours: its output may hold displays."""
    # A WebAssembly job names a function as its entry point, and the program among the interpreter's arguments.
    names = ("Command", "Parameters" if "EntryModule" in params else "Entrypoint")
    command = [word for name in names for word in params.get(name) or ()]
    return any(isinstance(word, str) and word.endswith(f".bacalhau/{RUNNER}") for word in command)
