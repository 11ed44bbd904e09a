"""A list of removed local results and the reasons, in a file beside them. Functions here block."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import msgspec

FILE = "removed.jsonl"
MOST = 5000
"""How many removals are remembered; older ones are forgotten."""


class Removal(msgspec.Struct, rename="pascal"):
    """One removal; ``removed`` is RFC 3339, ``reason`` completes "it was removed"."""

    execution: str
    removed: str
    reason: str
    bytes: int = 0


def note(directory: Path, removals: list[Removal]) -> None:
    """Remember removals.

    Raises
    ------
    OSError
        The list can't be written.
    """
    path = directory / FILE
    lines = [msgspec.json.encode(removal) + b"\n" for removal in removals]
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "ab") as file:
        file.writelines(lines)
    _shorten(path)


def find(directory: Path, execution_id: str) -> Removal | None:
    """Return how the result of an execution was removed; None when that is not known."""
    quoted_id = json.dumps(execution_id).encode()
    newest = None
    with contextlib.suppress(OSError), (directory / FILE).open("rb") as file:
        for line in file:
            if quoted_id in line:
                with contextlib.suppress(msgspec.MsgspecError):
                    removal = msgspec.json.decode(line, type=Removal)
                    newest = removal if removal.execution == execution_id else newest
    return newest


def _shorten(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    if len(lines) <= MOST:
        return
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(b"".join(lines[-MOST // 2 :]))
    part.chmod(0o600)
    part.replace(path)
