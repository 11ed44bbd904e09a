"""Which contents there are, and which go first. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from bacalhau_jupyter.uploads.contents import About


class Index:
    """The contents, by their hash; times are Unix nanoseconds."""

    def __init__(self) -> None:
        self._known: dict[str, About] = {}
        self._stays: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._known)

    @property
    def size(self) -> int:
        """Bytes of all of them."""
        return sum(about.size for about in tuple(self._known.values()))

    def size_of(self, owner: str) -> int:
        """Return the bytes of those that a principal uploaded."""
        return sum(about.size for about in tuple(self._known.values()) if owner in about.owners)

    def get(self, sha256: str) -> About | None:
        """Return what is known of a content."""
        return self._known.get(sha256)

    def add(self, about: About) -> None:
        """Take a content in, or note what is new of it."""
        self._known[about.sha256] = about

    def drop(self, sha256: str) -> None:
        """Forget a content."""
        self._known.pop(sha256, None)
        self._stays.pop(sha256, None)

    def keep(self, sha256: str, until_ns: int) -> None:
        """Let a content stay until then, whatever else."""
        self._stays[sha256] = until_ns

    def let_go(self) -> None:
        """Undo every `keep`."""
        self._stays.clear()

    def chosen(
        self,
        excess: int,
        referred: Collection[str],
        now_ns: int,
        last: Collection[str] = (),
        *,
        owner: str = "",
    ) -> Iterator[About]:
        """Yield what goes for so many bytes: the longest unused first, nothing that is referred to or has to stay.

        What is in ``last`` goes when nothing else is left; with an ``owner``, only what nobody else uploaded goes.
        """

        def turn(about: About) -> tuple[bool, int, str]:
            return about.sha256 in last, about.used_ns, about.sha256

        for about in sorted(self._known.values(), key=turn):
            if excess <= 0:
                return
            if owner and set(about.owners) != {owner}:
                continue
            if about.sha256 not in referred and self._stays.get(about.sha256, 0) <= now_ns:
                excess -= about.size
                yield about
