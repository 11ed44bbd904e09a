"""Images that an engine keeps itself, for the node's owner to look at and to clean up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from bacalhau_jupyter.plugins.contract import Progress, no_progress


@dataclass(frozen=True)
class KeptImage:
    """An image in a store: its names, bytes on disk that are its own alone, when it was used, and who holds it."""

    names: Sequence[str]
    digest: str
    image_id: str
    size: int
    used_at: float
    holders: Sequence[str]


class ImageKeeper(Protocol):
    """A store of images. Methods raise BacalhauError; nothing blocks."""

    @property
    def is_open(self) -> bool:
        """Whether it can be asked already."""
        ...

    @property
    def size(self) -> int:
        """Bytes of all images; 0 until it is open."""
        ...

    @property
    def quota(self) -> int:
        """Bytes that all images may take; 0: no limit, or not known yet."""
        ...

    async def images(self) -> Sequence[KeptImage]:
        """Return what is kept."""
        ...

    async def pull(self, reference: str, progress: Progress = no_progress) -> KeptImage:
        """Take what a reference means in its registry now, also where an image of that name is here."""
        ...

    async def load(self, path: Path, progress: Progress = no_progress) -> Sequence[KeptImage]:
        """Take the images of a ``docker save`` archive, an OCI layout directory or an OCI archive."""
        ...

    async def remove(self, reference_or_digest: str) -> int:
        """Remove an image that nobody holds; return the bytes that it gave back."""
        ...

    async def clean(self) -> int:
        """Remove all that nobody holds; return the bytes that it gave back."""
        ...

    @property
    def count(self) -> int:
        """How many images there are."""
        ...


@runtime_checkable
class KeepsImages(Protocol):
    """An engine with images of its own."""

    @property
    def images(self) -> ImageKeeper | None:
        """Its store; None where it runs none."""
        ...
