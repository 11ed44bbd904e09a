"""Sockets in what jobs see: a program may listen at a path of anybody's choice, inside a Python environment, too."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable

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
