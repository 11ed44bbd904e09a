"""How the tests are dealt out to workers that run side by side (``pytest -n 2``, as `./run test` does).

A worker gets whole files, since modules share servers and kernels among their tests; a directory whose tests share
more goes in a few parts; tests that share nothing go one by one. What takes longest starts first.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from tests.services import docker_engine

ROOT = Path(__file__).parents[1]
# In how many parts they go. Their tests share fixtures of the package's scope, so each part has a browser and a
# JupyterLab of its own, which start in five seconds; as one, they would run on alone after everything else.
DIRECTORIES_IN_PARTS = {"tests/browser": 2}
# Files whose tests share nothing and take long.
ONE_BY_ONE = ("tests/engines/process/test_places.py",)
# Longest first: a long one at the end would run while the other workers have nothing left to do.
LONGEST = (
    "tests/browser",
    "tests/survival/test_sigkill.py",
    "tests/survival/test_faults.py",
    "tests/engines/process/test_places.py",
    "tests/survival/test_many_jobs.py",
    "tests/labextension/test_install.py",
    "tests/server/test_two_servers.py",
    "tests/sources/test_s3.py",
    "tests/server/test_activity.py",
    "tests/test_binder.py",
    "tests/engines/docker",
    "tests/node/test_left_behind.py",
    "tests/node/cluster",
    "tests/node/guests",
    "tests/node/joining",
    "tests/notebook",
    "tests/server",
    "tests/conformance",
    "tests/compute/test_full_disk.py",
    "tests/engines/process",
)


def unit_of(nodeid: str) -> str:
    """Return the name of what one worker gets together, for a test."""
    path = nodeid.partition("::")[0]
    if path in ONE_BY_ONE:
        return nodeid
    for directory, parts in DIRECTORIES_IN_PARTS.items():
        if path.startswith(f"{directory}/"):
            return f"{directory}, part {_files(directory).index(path) % parts + 1} of {parts}"
    return path


@cache
def _files(directory: str) -> list[str]:
    """Return the files of tests of a directory; neighbours, which are often alike, go to different parts."""
    return sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / directory).rglob("test_*.py"))


def turn_of(nodeid: str) -> int:
    """Return a test's place in the order: tests with a lower number start earlier."""
    path = nodeid.partition("::")[0]
    for place, name in enumerate(LONGEST):
        if path == name or path.startswith(f"{name}/"):
            return place
    return len(LONGEST)


def scheduler(config: Any, log: Any) -> Any:
    """Return what deals out the units of `unit_of`, in the order of the collection."""
    # Only where there are workers: one process needs no pytest-xdist.
    from xdist.scheduler import LoadScopeScheduling

    class Units(LoadScopeScheduling):  # type: ignore[misc]  # a library without types
        def _split_scope(self, nodeid: str) -> str:
            return unit_of(nodeid)

    return Units(config, log)


class EngineOfWorkers:
    """A plugin of the process that deals out: ends a Docker Engine that a worker started, when all workers are done."""

    def __init__(self) -> None:
        self._was_there = docker_engine.find() is not None

    def pytest_unconfigure(self) -> None:
        if not self._was_there:
            docker_engine.stop()
