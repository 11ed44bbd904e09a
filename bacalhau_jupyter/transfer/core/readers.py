"""What a result reader is: the interface between readers of results and the places that hold them.

One reader reads the published result of one execution, lazily: names first, then only the bytes that are asked
for, where the place allows it. Archives behind a URL, buckets and CIDs each have their reader; what they share is this.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bacalhau_jupyter.models.records.progress import Progress, no_progress

__all__ = ["EntryKind", "Progress", "ResultEntry", "ResultReader"]


class EntryKind(enum.Enum):
    """What an entry of a result is."""

    FILE = "file"
    DIRECTORY = "directory"
    LINK = "link"


@dataclass(frozen=True)
class ResultEntry:
    """One entry of a published result.

    Attributes
    ----------
    path
        Relative, ``/`` between its parts, none of them empty, ``.`` or ``..``.
    size
        Bytes of a file; 0 for the rest.
    target
        What a link says; it never leads out of the result.
    """

    path: str
    size: int = 0
    kind: EntryKind = EntryKind.FILE
    target: str = ""


class ResultReader(Protocol):
    """Reads one published result. Methods never block the event loop; names that climb out are refused, not skipped."""

    async def entries(self) -> Sequence[ResultEntry]:
        """Return what is there, sorted by path, parents first.

        Raises
        ------
        BacalhauError
            It is unknown; the message names the result and the reason.
        """
        ...

    def read(self, path: str, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """Yield the bytes ``start`` to ``stop`` of one file (``stop`` excluded; None: to its end).

        Raises
        ------
        NotFound
            The file does not exist.
        BacalhauError
            It can't be read.
        """
        ...

    async def save(self, target: Path, path: str = "", progress: Progress = no_progress) -> None:
        """Write everything, or one file or subtree, below the directory ``target``; keeps paths.

        Every byte that has a checksum is verified against it.

        Raises
        ------
        BacalhauError
            Nothing of it stays in ``target`` then.
        """
        ...

    async def close(self) -> None:
        """Release connections and threads."""
        ...
