"""What was listed a moment ago, so that a bid, an identity and a fetch of one input list once."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence

from bacalhau_jupyter.lib.clock import SECOND, Clock
from bacalhau_jupyter.transfer.s3.reading.listing import S3Object
from bacalhau_jupyter.transfer.s3.requests.location import S3Location

KEPT_FOR_S = 300.0
MAX_OBJECTS = 300_000
"""Objects kept in all; each takes some 250 bytes."""


class ListingMemo:
    """Listings by whatever names them; the oldest go first. Usable from any thread."""

    def __init__(self, clock: Clock, kept_for_s: float = KEPT_FOR_S, max_objects: int = MAX_OBJECTS) -> None:
        self._clock = clock
        self._kept_for = int(kept_for_s * SECOND)
        self._max_objects = max_objects
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, tuple[int, Sequence[S3Object]]] = OrderedDict()
        self._count = 0

    def put(self, name: Hashable, objects: Sequence[S3Object]) -> None:
        """Keep a listing; one that is larger than everything kept may be is not."""
        with self._lock:
            self._drop(name)
            self._kept[name] = (self._clock.monotonic_ns() + self._kept_for, objects)
            self._count += len(objects)
            self._tidy()

    def get(self, name: Hashable) -> Sequence[S3Object] | None:
        """Return a listing that is fresh enough; None without one."""
        with self._lock:
            self._tidy()
            listing = self._kept.get(name)
            return None if listing is None else listing[1]

    def take(self, name: Hashable) -> Sequence[S3Object] | None:
        """Return a listing and forget it: after a fetch it is not needed again."""
        with self._lock:
            self._tidy()
            return self._drop(name)

    def _tidy(self) -> None:
        now = self._clock.monotonic_ns()
        while self._kept:
            name, (until, _) = next(iter(self._kept.items()))
            if until > now and self._count <= self._max_objects:
                return
            self._drop(name)

    def _drop(self, name: Hashable) -> Sequence[S3Object] | None:
        listing = self._kept.pop(name, None)
        if listing is None:
            return None
        self._count -= len(listing[1])
        return listing[1]


def listing_identity(
    location: S3Location, objects: Sequence[S3Object], names: Mapping[str, str]
) -> str | None:
    """Name the bytes and the layout of a listing; None when the server gave no ETags to tell bytes by.

    Parameters
    ----------
    names
        Relative path for each key (`s3_listing.local_names`).
    """
    digest = hashlib.sha256()

    def add(*texts: str) -> None:
        for text in texts:
            data = text.encode("utf-8", "surrogatepass")
            # With its length, so that no two lists of texts are the same bytes.
            digest.update(len(data).to_bytes(8, "big") + data)

    add("s3 v1", location.endpoint, "" if location.endpoint else location.region, location.bucket)
    for item in sorted(objects, key=lambda item: item.key):
        if not item.etag:
            return None
        add(names[item.key], item.key, item.etag, item.version_id, item.sha256, str(item.size))
    return f"s3:{digest.hexdigest()}"
