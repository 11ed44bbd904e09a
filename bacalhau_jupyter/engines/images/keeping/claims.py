"""What layers take of the quota while they are made: other work sees it before it is on the disk. No I/O."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class _Claim:
    announced: int
    unpacked: int = 0
    holders: int = 0


class Claims:
    """Layers that are being made, by key; work that shares a layer claims its room once.

    A layer counts with the size that its registry announces, or with what is unpacked of it if that is more.
    """

    def __init__(self) -> None:
        self._claims: dict[Hashable, _Claim] = {}

    @property
    def size(self) -> int:
        """Bytes that all of them claim."""
        return sum(max(claim.announced, claim.unpacked) for claim in self._claims.values())

    @property
    def unpacked(self) -> int:
        """Bytes that are unpacked of them so far."""
        return sum(claim.unpacked for claim in self._claims.values())

    @contextmanager
    def holding(self, sizes: Mapping[Hashable, int]) -> Iterator[None]:
        """Claim the announced sizes of layers, in bytes, for the time of a ``with`` block."""
        for key, size in sizes.items():
            claim = self._claims.setdefault(key, _Claim(size))
            claim.announced = max(claim.announced, size)
            claim.holders += 1
        try:
            yield
        finally:
            for key in sizes:
                self._leave(key)

    def grown(self, key: Hashable, unpacked: int) -> None:
        """Note how many bytes of a layer are unpacked."""
        if (claim := self._claims.get(key)) is not None:
            claim.unpacked = max(claim.unpacked, unpacked)

    def failed(self, key: Hashable) -> None:
        """Note that what was unpacked of a layer is gone again."""
        if (claim := self._claims.get(key)) is not None:
            claim.unpacked = 0

    def settle(self, key: Hashable) -> None:
        """End the claim on a layer that is made: the index counts it from now on."""
        self._claims.pop(key, None)

    def _leave(self, key: Hashable) -> None:
        if (claim := self._claims.get(key)) is not None:
            claim.holders -= 1
            if not claim.holders:
                del self._claims[key]
