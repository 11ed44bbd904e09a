"""What the content cache holds, what was used last and what has to go: bookkeeping only, no I/O."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """The contents of one input.

    Attributes
    ----------
    key
        Names the contents.
    size, files
        Bytes and regular files in it, as a person counts them.
    disk
        Bytes it takes on disk, each inode counted once.
    changed_ns
        Newest modification time in it: whatever is newer was not written by its source.
    path
        Where the input is, relative to the entry's own directory.
    """

    key: str
    size: int
    files: int
    disk: int
    changed_ns: int
    path: str


class CacheIndex:
    """Entries in the order of their last use; not thread-safe.

    Parameters
    ----------
    limit
        Bytes of disk that all entries may take.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.hits = 0
        self.misses = 0
        self.hit_bytes = 0
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._pins: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def disk(self) -> int:
        """Bytes of disk that the entries take."""
        return sum(entry.disk for entry in self._entries.values())

    def get(self, key: str) -> Entry | None:
        return self._entries.get(key)

    def add(self, entry: Entry) -> None:
        """Take in an entry, as the one used last."""
        self._entries[entry.key] = entry
        self._entries.move_to_end(entry.key)

    def used(self, key: str) -> None:
        """Note that an entry served once more."""
        entry = self._entries[key]
        self._entries.move_to_end(key)
        self.hits += 1
        self.hit_bytes += entry.size

    def drop(self, key: str) -> None:
        """Forget an entry."""
        self._entries.pop(key, None)

    def pin(self, key: str) -> None:
        """Keep what has this key from being chosen, until `unpin`; pins count."""
        self._pins[key] += 1

    def unpin(self, key: str) -> None:
        """Undo one `pin`."""
        self._pins[key] -= 1
        if self._pins[key] <= 0:
            del self._pins[key]

    def oldest(self) -> list[Entry]:
        """Return what may go, the longest unused first."""
        return [entry for key, entry in self._entries.items() if key not in self._pins]

    def surplus(self) -> list[Entry]:
        """Return what has to go for the limit to hold.

        What is larger than the limit by itself goes first: it would only drive out everything else.
        """
        free = self.oldest()
        chosen = [entry for entry in free if entry.disk > self.limit]
        excess = self.disk - sum(entry.disk for entry in chosen) - self.limit
        for entry in free:
            if excess <= 0:
                break
            if entry not in chosen:
                chosen.append(entry)
                excess -= entry.disk
        return chosen


def in_order(entries: Iterable[tuple[int, Entry]]) -> list[Entry]:
    """Return entries found after a restart by the time of their last use."""
    return [entry for _, entry in sorted(entries, key=lambda each: (each[0], each[1].key))]
