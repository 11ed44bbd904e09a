"""What the uploads of each principal take, and may take."""

from __future__ import annotations

from collections.abc import Callable

from bacalhau_jupyter.models.errors import ResourceExhausted
from bacalhau_jupyter.models.jobs.units import format_bytes
from bacalhau_jupyter.uploads.index import Index
from bacalhau_jupyter.uploads.under_way import UnderWay

LimitOf = Callable[[str], int | None]
"""Returns the bytes that the uploads of a principal may take; None for no limit of its own."""


def unlimited(owner: str) -> int | None:
    """Set no limit for anybody (a `LimitOf`)."""
    return None


class Shares:
    """Accounts for principals; a content of several counts for each of them.

    Parameters
    ----------
    limit_of
        What each may take.
    contents, under_way
        What is there.
    """

    def __init__(self, limit_of: LimitOf, contents: Index, under_way: UnderWay) -> None:
        self._limit_of = limit_of
        self._contents = contents
        self._under_way = under_way

    def excess(self, owner: str, needed: int) -> int:
        """Return by how many bytes a principal would have too much with so many more; 0 or less if not."""
        limit = self._limit_of(owner)
        return 0 if limit is None else self._taken(owner) + needed - limit

    def no_room(self, owner: str, needed: int, name: str) -> ResourceExhausted:
        """Return the error for an upload that does not fit into its owner's quota."""
        size = f" ({format_bytes(needed)})" if needed else ""
        return ResourceExhausted(
            f"your quota has no room for the upload {name}{size}: your uploads may take "
            f"{format_bytes(self._limit_of(owner) or 0)}, and {format_bytes(self._taken(owner))} are being uploaded "
            "or in use",
            hint="wait until your jobs that use uploads are over, or ask the node's owner for more (API.Quotas)",
        )

    def _taken(self, owner: str) -> int:
        return self._contents.size_of(owner) + self._under_way.size_of(owner)
