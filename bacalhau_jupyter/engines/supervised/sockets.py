"""Sockets in what jobs see: a program may listen at a path of anybody's choice, inside a Python environment, too."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from bacalhau_jupyter.plugins.contract import InputMount

MAX_ENTRIES = 500_000
"""How many entries are looked at below one place."""


def sockets_below(roots: Iterable[str], limit: int = MAX_ENTRIES) -> list[str]:
    """Return the sockets below real directories, found by looking at every entry."""
    sockets: set[str] = set()
    for root in roots:
        left, pending = limit, [root]
        while pending and left > 0:
            try:
                entries = os.scandir(pending.pop())
            except OSError:
                continue
            with entries:
                for entry in entries:
                    left -= 1
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    elif not entry.is_file(follow_symlinks=False) and not entry.is_symlink():
                        sockets.add(entry.path)  # a FIFO or a device is not part of a Python, either
    return sorted(sockets)


def listening_below(roots: Collection[str], table: str = "/proc/net/unix") -> list[str]:
    """Return the sockets below real directories that have a listener, as far as the kernel shows."""
    try:
        with open(table, "rb") as file:  # noqa: PTH123 - read for every job
            lines = file.read().splitlines()[1:]
    except OSError:
        return []
    sockets: set[str] = set()
    resolved: dict[str, str] = {}
    for line in lines:
        text = os.fsdecode(line.split(b" ", 7)[-1]) if line.count(b" ") >= 7 else ""
        if not text.startswith("/"):
            continue
        directory, _, name = text.rpartition("/")
        if directory not in resolved:
            resolved[directory] = os.path.realpath(directory or "/")
        path = f"{resolved[directory].rstrip('/')}/{name}"
        if any(path.startswith(f"{root.rstrip('/')}/") for root in roots):
            sockets.add(path)
    return sorted(sockets)


def covers(inputs: Sequence[InputMount], copied: Callable[[int], bool] = lambda _: False) -> list[str]:
    """Return the places inside the job of sockets with a listener, to be covered.

    Where jobs may write, nothing is: another job could put a link on the way, and the cover would be made behind it.

    Parameters
    ----------
    inputs
        Of the job.
    copied
        Says of an input, by its position, whether the job gets a copy, which holds no sockets.
    """
    roots = [os.path.realpath(each.path) for each in inputs]
    if not roots:
        return []
    listening = [path for path in listening_below(set(roots)) if _is_socket(path)]
    targets = [each.target.rstrip("/") for each in inputs]
    covered = []
    for index, (root, target) in enumerate(zip(roots, targets, strict=True)):
        if inputs[index].jobs_write or copied(index):
            continue
        inner = [other for other in targets if other.startswith(f"{target}/")]
        for path in listening:
            place = target + path[len(root) :]
            hides = any(place == other or place.startswith(f"{other}/") for other in inner)
            if path.startswith(f"{root.rstrip('/')}/") and not hides:
                covered.append(place)
    return covered


def uncovered(inputs: Sequence[InputMount]) -> bool:
    """Whether an input that jobs may write to holds a socket with a listener."""
    roots = {os.path.realpath(each.path) for each in inputs if each.jobs_write}
    return bool(roots) and any(_is_socket(path) for path in listening_below(roots))


def _is_socket(path: str) -> bool:
    """Whether the socket is still there: the kernel shows the name that it had once."""
    try:
        return stat.S_ISSOCK(Path(path).lstat().st_mode)
    except OSError:
        return False
