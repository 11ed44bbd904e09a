"""Packages that were fetched for the job (``--pip``): before those of its Python, behind the body's own modules."""

# ruff: noqa: PTH118, PTH208
from __future__ import annotations

import os
import sys


def add(place: str) -> None:
    """Let the body, and what it starts, import the packages and run their commands."""
    path = list(sys.path)
    place_in_path = next((number for number, each in enumerate(path) if _is_site(each)), len(path))
    added = [place]
    if any(name.endswith(".pth") for name in os.listdir(place)):
        import site

        site.addsitedir(place)
        added += [each for each in sys.path if each not in path and each != place]
    sys.path[:] = [*path[:place_in_path], *added, *path[place_in_path:]]
    _prefix("PYTHONPATH", place)
    _prefix("PATH", os.path.join(place, "bin"))


def _is_site(path: str) -> bool:
    return os.path.basename(path) in ("site-packages", "dist-packages")  # noqa: PTH119


def _prefix(name: str, place: str) -> None:
    os.environ[name] = os.pathsep.join(each for each in (place, os.environ.get(name, "")) if each)
