"""Selects the files of a result that make up a frame."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bacalhau_jupyter.client.results.tree import HIDDEN, Part
from bacalhau_jupyter.client.tables import TooLargeForFrame, looks_like_table, table_rank
from bacalhau_jupyter.transfer.core.layout import APPENDED

_HEADS = 50
"""Files that are looked into when no name says table."""


@dataclass(frozen=True)
class ChosenTable:
    """One file to read: its name, its parts, and whether files of other executions share its name."""

    name: str
    parts: Sequence[Part]
    shared: bool


def choose_tables(
    parts_of: Mapping[str, Sequence[Part]],
    pattern: str | None,
    size_limit: int,
    head: Callable[[str], bytes],
) -> list[ChosenTable]:
    """Return the files that match a pattern, or the table that keeps most; of all executions that wrote them.

    Parameters
    ----------
    parts_of
        All files by their merged names.
    pattern
        A path or shell pattern, also below ``outputs``; None: the first table.
    size_limit
        Bytes they may have together.
    head
        Reads the first bytes of a file that only one execution wrote.

    Raises
    ------
    TooLargeForFrame
        They are larger.
    """
    names = [name for name in parts_of if HIDDEN not in name.split("/")]
    chosen = _matching(names, pattern) if pattern else _first_table(names, parts_of, head)
    tables = [
        ChosenTable(name, parts, shared=len(parts) < len(parts_of[name]))
        for name in chosen
        for parts in ([parts_of[name]] if name in APPENDED else [[part] for part in parts_of[name]])
    ]
    size = sum(part.entry.size for item in tables for part in item.parts)
    if size > size_limit:
        raise TooLargeForFrame(chosen[0] if len(tables) == 1 else f"{len(tables)} files", size, size_limit)
    return tables


def _matching(names: Sequence[str], pattern: str) -> list[str]:
    for tried in (pattern, f"outputs/{pattern}"):
        if tried in names:
            return [tried]
        if matching := [name for name in names if fnmatch.fnmatchcase(name, tried)]:
            return matching
    return []


def _first_table(
    names: Sequence[str], parts_of: Mapping[str, Sequence[Part]], head: Callable[[str], bytes]
) -> list[str]:
    names = [name for name in names if name not in APPENDED]
    tables = sorted((name for name in names if looks_like_table(name, b"")), key=table_rank)
    if tables:
        return tables[:1]
    for name in [name for name in names if len(parts_of[name]) == 1][:_HEADS]:
        if looks_like_table(name, head(name)):
            return [name]
    return []
