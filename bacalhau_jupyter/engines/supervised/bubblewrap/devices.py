"""bubblewrap's options for the GPUs of a job."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath


def file_options(files: Iterable[tuple[str, str]]) -> list[str]:
    """Return the options for device files: where each lies here, and where the job finds it."""
    return _options(("--dev-bind", path, place) for path, place in files)


def fact_options(facts: Iterable[Path]) -> list[str]:
    """Return the options for what the job may read of ``/sys``, at the same place."""
    return _options(("--ro-bind", str(path), str(path)) for path in facts)


def link_options(links: Iterable[tuple[str, str]]) -> list[str]:
    """Return the options for links: their texts, and where they lie."""
    return _options(("--symlink", text, place) for text, place in links)


def _options(binds: Iterable[tuple[str, str, str]]) -> list[str]:
    arguments: list[str] = []
    made: set[str] = set()
    for bind, what, place in binds:
        # Spelled out, because bubblewrap makes missing parents for its own user only.
        parents = [str(parent) for parent in reversed(PurePosixPath(place).parents)][1:]
        arguments += [option for parent in parents if parent not in made for option in ("--dir", parent)]
        made.update(parents)
        arguments += [bind, what, place]
    return arguments
