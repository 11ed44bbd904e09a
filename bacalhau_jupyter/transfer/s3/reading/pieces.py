"""A download cut into pieces, and how much of it is done."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bacalhau_jupyter.lib.trees import make_directories
from bacalhau_jupyter.models.records.progress import Progress, Reading
from bacalhau_jupyter.transfer.core.files import CHUNK
from bacalhau_jupyter.transfer.s3.reading.listing import S3Object

PART_BYTES = 32 * CHUNK

_REPORTS = 200


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes ``first`` to ``last`` (inclusive) of an object."""

    item: S3Object
    path: str
    first: int
    last: int

    @property
    def is_whole(self) -> bool:
        """Whether it is all of its object."""
        return self.last + 1 - self.first == self.item.size


class Meter:
    """Adds up bytes and files of all threads; reports now and then."""

    def __init__(self, items: Sequence[S3Object], progress: Progress) -> None:
        self._total = sum(item.size for item in items)
        self._files_total = len(items)
        # Empty objects need no work.
        self._files = sum(not item.size for item in items)
        self._parts = {item.key: -(-item.size // PART_BYTES) for item in items if item.size > PART_BYTES}
        self._progress = progress
        self._done = 0
        self._reported = 0
        self._lock = threading.Lock()

    def take_back(self, count: int) -> None:
        """Forget a whole object that has to come again."""
        with self._lock:
            self._done -= count
            self._files -= 1

    def add(self, count: int, ended: str = "") -> None:
        """Count bytes; ``ended`` is the key of the object whose piece they complete."""
        with self._lock:
            self._done += count
            if ended:
                left = self._parts.get(ended, 1) - 1
                if left:
                    self._parts[ended] = left
                self._files += not left
            if self._done - self._reported < self._total // _REPORTS and self._done < self._total:
                return
            self._reported = done = self._done
            files = self._files
        self._progress(Reading("downloading", done, self._total, files, self._files_total))


def prepare(items: Sequence[S3Object], names: Mapping[str, str], directory: Path) -> None:
    """Make directories and empty files."""
    made = {""}
    for item in items:
        name = names[item.key]
        parent = name.rpartition("/")[0]
        if parent not in made:
            make_directories(directory / parent, 0o755)
            made.add(parent)
        if not item.size:
            (directory / name).touch(0o644)


class Pieces:
    """What is to be fetched, large objects first; made when asked for, because there may be very many."""

    def __init__(self, items: Sequence[S3Object], names: Mapping[str, str], directory: Path) -> None:
        self.count = sum(-(-item.size // PART_BYTES) for item in items)
        self._lock = threading.Lock()
        self._left = self._cut(items, names, str(directory))

    def next(self) -> Piece | None:
        """Return the next one; None at the end."""
        with self._lock:
            return next(self._left, None)

    @staticmethod
    def _cut(items: Sequence[S3Object], names: Mapping[str, str], directory: str) -> Iterator[Piece]:
        for item in sorted(items, key=lambda item: -item.size):
            path = f"{directory}/{names[item.key]}"
            for first in range(0, item.size, PART_BYTES):
                yield Piece(item, path, first, min(first + PART_BYTES, item.size) - 1)
