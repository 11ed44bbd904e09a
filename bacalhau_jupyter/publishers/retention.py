"""Which local results to remove: by age, and by their total size. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from bacalhau_jupyter.lib.clock import SECOND


@dataclass(frozen=True)
class Kept:
    """A result on disk; times are Unix nanoseconds."""

    execution_id: str
    size: int
    published_ns: int
    read_ns: int = 0


@dataclass(frozen=True)
class Rules:
    """How long and how much is kept.

    Attributes
    ----------
    quota
        Bytes that all results may take; 0 for no limit.
    max_age_s
        Seconds after which a result goes; 0 for never.
    min_age_s
        Seconds for which a result stays in any case after it was published, and after it was last read.
    """

    quota: int
    max_age_s: float
    min_age_s: float

    def protects(self, kept: Kept, now_ns: int, unfinished: Collection[str] = ()) -> bool:
        """Whether a result may not go yet: it is young, being read, or of a job that is not over."""
        latest = max(kept.published_ns, kept.read_ns)
        return kept.execution_id in unfinished or now_ns - latest < self.min_age_s * SECOND

    def expired(self, all_kept: Iterable[Kept], now_ns: int, unfinished: Collection[str] = ()) -> list[Kept]:
        """Return what is too old."""
        if self.max_age_s <= 0:
            return []
        limit = now_ns - int(self.max_age_s * SECOND)
        return [
            kept
            for kept in all_kept
            if kept.published_ns < limit and not self.protects(kept, now_ns, unfinished)
        ]

    def chosen(
        self, all_kept: Iterable[Kept], now_ns: int, older_than_s: float, unfinished: Collection[str] = ()
    ) -> list[Kept]:
        """Return what a clean-up removes: everything that old, but nothing of a job that is not over."""
        limit = now_ns - int(older_than_s * SECOND)
        return [
            kept for kept in all_kept if kept.published_ns <= limit and kept.execution_id not in unfinished
        ]

    def surplus(self, all_kept: Iterable[Kept], now_ns: int, unfinished: Collection[str] = ()) -> list[Kept]:
        """Return the oldest results whose removal brings all under the quota, as far as they may go."""
        oldest_first = sorted(all_kept, key=lambda kept: (kept.published_ns, kept.execution_id))
        excess = sum(kept.size for kept in oldest_first) - self.quota
        chosen: list[Kept] = []
        for kept in oldest_first:
            if self.quota <= 0 or excess <= 0:
                break
            if not self.protects(kept, now_ns, unfinished):
                chosen.append(kept)
                excess -= kept.size
        return chosen
